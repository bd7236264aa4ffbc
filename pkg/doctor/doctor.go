// Package doctor checks whether a workstation or a pipeline has what postrender
// needs, and says how to fix what is missing.
//
// A check is a function that looks through a small interface and returns findings,
// one line each. It changes nothing. A new check is a function here and a line in
// cmd/postrender/doctor.go.
package doctor

import (
	"fmt"
	"io"
	"slices"
)

// State says what became of a check.
type State string

// The states of a check.
const (
	OK      State = "ok"
	Problem State = "problem"
	// Skipped means that the check is not needed, or cannot be made; the finding
	// says why.
	Skipped State = "skipped"
)

// Finding is one line about one thing.
type Finding struct {
	State State
	// Check is what was looked at, in one word.
	Check string
	Says  string
	// Do mends a problem: a command where there is one.
	Do string
}

func ok(check, format string, args ...any) Finding {
	return Finding{OK, check, fmt.Sprintf(format, args...), ""}
}

func problem(check, do, format string, args ...any) Finding {
	return Finding{Problem, check, fmt.Sprintf(format, args...), do}
}

// Skip is the finding of a check that was not made.
func Skip(check, format string, args ...any) Finding {
	return Finding{Skipped, check, fmt.Sprintf(format, args...), ""}
}

// Healthy reports whether there is no problem.
func Healthy(findings []Finding) bool {
	return !slices.ContainsFunc(findings, func(f Finding) bool { return f.State == Problem })
}

// Write prints the findings:
//
//	ok       cluster    Kubernetes v1.36.3
//	problem  renderer   postrender is not in PATH, where Helm 3 looks for it
//	         do this    install -m 755 ./postrender /usr/local/bin/postrender
func Write(out io.Writer, findings []Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(out, "%-8s %-10s %s\n", f.State, f.Check, f.Says); err != nil {
			return err
		}
		if f.Do == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-8s %-10s %s\n", "", "do this", f.Do); err != nil {
			return err
		}
	}
	return nil
}
