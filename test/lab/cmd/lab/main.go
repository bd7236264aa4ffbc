//go:build linux

// Command lab starts and stops the lab (see package lab).
//
//	lab up [--dir .lab] [--nodes N] [--same-addresses|--one-address] [--ignore-watchers]
//	lab status [--dir .lab]
//	lab node [--dir .lab] start|kill|freeze|thaw|cut|heal east-1
//	lab stamps [--dir .lab] replicapool/shop.data-db-0
//	lab seen [--dir .lab] east-1 shop.files
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

const usage = `usage:
  lab up [--dir .lab] [--nodes N] [--same-addresses|--one-address] [--ignore-watchers]
  lab status [--dir .lab]
  lab node [--dir .lab] start|kill|freeze|thaw|cut|heal NODE
  lab stamps [--dir .lab] POOL/IMAGE
  lab seen [--dir .lab] NODE VOLUME
  lab down [--dir .lab]`

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
	var nodes lab.Nodes
	if args[0] == "up" {
		flags.IntVar(&nodes.PerCluster, "nodes", 0, "nodes in each cluster; they need root")
		flags.BoolVar(&nodes.SameAddresses, "same-addresses", false, "give the nodes of both clusters the same addresses")
		flags.BoolVar(&nodes.OneAddress, "one-address", false, "also hide all nodes from Ceph behind one address")
		flags.BoolVar(&nodes.IgnoreWatchers, "ignore-watchers", false, "let nodes open images that have another watcher")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != map[string]int{"node": 2, "stamps": 1, "seen": 2}[args[0]] {
		return errors.New(usage)
	}
	switch args[0] {
	case "up":
		tools := lab.Tools(os.Getenv(lab.ToolsVariable))
		return lab.Up(ctx, lab.Options{Dir: *dir, Tools: tools, Nodes: nodes}, out)
	case "node":
		return lab.ActOnNode(ctx, *dir, flags.Arg(1), flags.Arg(0))
	case "stamps":
		return lab.Stamps(ctx, *dir, flags.Arg(0), out)
	case "seen":
		return lab.Seen(*dir, flags.Arg(0), flags.Arg(1), out)
	case "status":
		return lab.Status(*dir, out)
	case "down":
		return lab.Down(*dir, out)
	}
	return errors.New(usage)
}
