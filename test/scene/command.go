//go:build lab

package scene

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
)

// commandLimit bounds a command that doesn't say its own limit.
const commandLimit = time.Minute

// Command is a program to run, with nothing but this environment, make's setting of the
// garbage collector and a language: most of them are Go programs that end within a second.
type Command struct {
	Program string
	Args    []string
	Env     map[string]string
	Stdin   string
	Dir     string
	// Limit is when it is killed; 0 is after a minute.
	Limit time.Duration
}

// Result is what became of a command.
type Result struct {
	Stdout, Stderr string
	Code           int
	Err            error
}

// Exec is the command as package exec runs it, without its limit.
func (c Command) Exec(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Program, c.Args...)
	cmd.Dir, cmd.WaitDelay, cmd.Stdin = c.Dir, time.Second, strings.NewReader(c.Stdin)
	cmd.Env = []string{"GOGC=" + cmp.Or(os.Getenv("GOGC"), "100"), lab.FewMessages}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		cmd.Env = append(cmd.Env, name+"="+c.Env[name])
	}
	return cmd
}

// Run runs the command to its end.
func (c Command) Run(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Limit, commandLimit))
	defer cancel()
	cmd := c.Exec(ctx)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), err}
}

// Trimmed is the result without white space around what was printed.
func (r Result) Trimmed() Result {
	r.Stdout, r.Stderr = strings.TrimSpace(r.Stdout), strings.TrimSpace(r.Stderr)
	return r
}

// Must is for a command that has to succeed. It returns its stdout.
func (r Result) Must(t testing.TB) string {
	t.Helper()
	if r.Err != nil {
		t.Fatalf("%v\n%s%s", r.Err, r.Stdout, r.Stderr)
	}
	return r.Stdout
}
