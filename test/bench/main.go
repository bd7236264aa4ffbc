// Command bench measures what docs/performance.md shows, and prints its tables with the
// published figures in parentheses.
// It asserts nothing about time. Figures depend on the machine, so each is beside
// a yardstick that was measured in the same run, in turns with it. A wrong answer ends
// the run.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
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

// part measures one thing, and prints tables in Markdown, each under its title.
type part struct {
	name    string
	measure func(context.Context, io.Writer, string, lab.Tools) error
}

var parts = []part{
	{"render", rendering},
	{"create", creating},
	{"guard", guarding},
	{"names", naming},
	{"handover", handing},
	{"steady", steadying},
	{"rtt", roundTrips},
	{"leader", leading},
	{"many", crowding},
	{"status", telling},
	{"growth", growing},
}

// quickly is what admissions cost, in less time.
var quickly = []part{{"guard", admitting}}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == alwaysAllow {
		return serveAlwaysAllow(ctx, args[1:])
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "measure only what admissions cost, with fewer runs")
	write := flags.Bool("write", false, "put the tables into "+published)
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(parts, flags.Args())
	if err != nil {
		return err
	}
	if *quick {
		if chosen = quickly; *write || flags.NArg() > 0 {
			return errors.New("-quick goes alone: what it measures is not published")
		}
	}
	dir, err := os.MkdirTemp("", "cephferry-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	report, err := newReport(out, *write)
	if err != nil {
		return err
	}
	defer report.end()
	for _, part := range chosen {
		var printed bytes.Buffer
		err := part.measure(ctx, &printed, dir, tools)
		if err != nil {
			_, _ = out.Write(printed.Bytes()) // what was measured before that
		} else {
			err = report.add(part.name, &printed)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// choose returns the parts with these names, all without a name.
func choose(parts []part, names []string) ([]part, error) {
	if len(names) == 0 {
		return parts, nil
	}
	var chosen []part
	for _, name := range names {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q", name)
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}
