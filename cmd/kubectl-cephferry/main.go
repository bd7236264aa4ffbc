// Command kubectl-cephferry is a kubectl plugin: it shows who owns migratable volumes, moves
// workloads between clusters, and takes volumes from a cluster that is dead.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/term"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/podrun"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	colour := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stdout.Fd()))
	var stderr io.Writer = os.Stderr
	if os.Getenv(podrun.MarkEnv) != "" {
		stderr = &podrun.Marker{Out: os.Stderr}
	}
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, stderr, colour})
	stop()
	os.Exit(code)
}

// streams are what the process is connected to.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// colour: stdout is a terminal that shows colours.
	colour bool
}

// run returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	root := newRoot(std) //nolint:contextcheck // its commands get ctx when they are run
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errShown) {
		fmt.Fprintf(std.stderr, "error: %v\n", err)
		if advice := ceph.Advice(err); advice != "" {
			fmt.Fprintf(std.stderr, "  do this   %s\n", advice)
		}
	}
	return exitCode(err)
}
