// Command kubectl-cephferry is a kubectl plugin: it shows who owns migratable volumes,
// and takes them from a cluster that is dead.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// streams are what the process is connected to.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// errShown is for a command that has said everything already.
var errShown = errors.New("shown")

// run returns the exit code: 0, or 1 when something was refused, failed or could not
// be found out.
func run(ctx context.Context, args []string, std streams) int {
	root := newRoot(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errShown) {
		fmt.Fprintf(std.stderr, "error: %v\n", err)
		if advice := ceph.Advice(err); advice != "" {
			fmt.Fprintf(std.stderr, "  do this   %s\n", advice)
		}
	}
	return 1
}
