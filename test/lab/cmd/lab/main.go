//go:build linux

// Command lab starts and stops the lab (see package lab).
//
//	lab up [--dir .lab]
//	lab status [--dir .lab]
//	lab down [--dir .lab]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/cephferry/cephferry/test/lab"
)

const usage = "usage: lab up|status|down [--dir .lab]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("lab "+args[0], flag.ContinueOnError)
	dir := flags.String("dir", ".lab", "folder of the lab")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "up":
		tools := lab.Tools(os.Getenv(lab.ToolsVariable))
		return lab.Up(ctx, lab.Options{Dir: *dir, Tools: tools}, out)
	case "status":
		return lab.Status(*dir, out)
	case "down":
		return lab.Down(*dir, out)
	}
	return errors.New(usage)
}
