package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cephferry/cephferry/pkg/planning"
)

// confirm asks for the names of the clusters that are dead, or of the node that is lost. Of a stranger whose cluster
// nobody named it asks for the claim.
func confirm(std streams, todo []planning.Volume) error {
	var names []string
	questions := map[string]string{}
	for _, v := range todo {
		name, question := v.Plan.From.Name, "the name of the cluster that is dead, %s,"
		if v.Plan.Wish.Lost != "" {
			name, question = v.Plan.Wish.Lost, "the name of the node that is lost, %s,"
		} else if name == "" {
			name, question = v.Claim.String(), "the claim whose strangers are cut off, %s,"
		}
		if questions[name] == "" {
			names, questions[name] = append(names, name), fmt.Sprintf(question, name)
		}
	}
	answers := bufio.NewReader(std.stdin)
	for _, name := range names {
		if err := askFor(answers, std.stderr, name, questions[name]); err != nil {
			return err
		}
	}
	return nil
}

// askFor makes a person type a name.
func askFor(answers *bufio.Reader, stderr io.Writer, name, question string) error {
	fmt.Fprintf(stderr, "\nType %s to go on: ", question)
	answer, err := answers.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != name {
		return refuse(errors.New("that is not its name; nothing was changed"))
	}
	return nil
}
