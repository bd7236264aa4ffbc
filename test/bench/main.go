// Command bench measures what docs/performance.md shows and prints its tables.
// It asserts nothing about time: figures depend on the machine, so each is beside
// a yardstick that was measured in the same run, turn by turn. A wrong answer ends
// it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/cephferry/cephferry/test/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctrl.SetLogger(logr.Discard())
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == alwaysAllow {
		return serveAlwaysAllow(ctx, args[1:])
	}
	dir, err := os.MkdirTemp("", "cephferry-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	for _, part := range []struct {
		name    string
		measure func(context.Context, io.Writer, string, lab.Tools) error
	}{
		{"render", rendering},
		{"create", creating},
		{"guard", guarding},
		{"names", naming},
		{"handover", handing},
	} {
		// With names of parts as arguments, only those.
		if len(args) > 0 && !slices.Contains(args, part.name) {
			continue
		}
		if err := part.measure(ctx, out, dir, tools); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
