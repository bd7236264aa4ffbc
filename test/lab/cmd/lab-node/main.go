//go:build linux && cgo && (pacific || quincy || reef || squid || tentacle)

// Command lab-node runs on the lab's nodes and beside its control planes
// (see package agent). Package lab starts it.
//
//	lab-node agent --kubeconfig FILE --operator NAMESPACE --cluster NAME --node NAME --address IP --seen DIR
//	lab-node attacher --kubeconfig FILE --operator NAMESPACE
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cephferry/cephferry/test/lab/agent"
	"github.com/cephferry/cephferry/test/lab/libcephfs"
	"github.com/cephferry/cephferry/test/lab/librbd"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab-node:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: lab-node agent|attacher --kubeconfig FILE …")
	}
	config := agent.Config{Dial: librbd.Dial, Mount: libcephfs.Mount, Log: slog.New(slog.NewTextHandler(os.Stdout, nil))}
	flags := flag.NewFlagSet("lab-node "+args[0], flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	flags.StringVar((*string)(&config.Operator), "operator", "", "namespace of Rook's operator")
	flags.StringVar(&config.Cluster, "cluster", "", "name of the cluster, for the stamps")
	flags.StringVar(&config.Node, "node", "", "name of the node")
	flags.StringVar(&config.Address, "address", "", "the node's address")
	flags.StringVar(&config.Seen, "seen", "", "folder for what pods see in CephFS volumes")
	flags.BoolVar(&config.IgnoreWatchers, "ignore-watchers", false, "open images that have another watcher, which ceph-csi doesn't")
	flags.DurationVar(&config.StampInterval, "stamp-interval", 500*time.Millisecond, "time between two stamps of a pod")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	access, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	access.QPS, access.Burst = 500, 1000
	access.ContentType = runtime.ContentTypeProtobuf // as kubelet does
	if config.Client, err = kubernetes.NewForConfig(access); err != nil {
		return err
	}
	switch args[0] {
	case "agent":
		return agent.Run(ctx, config)
	case "attacher":
		return agent.Attach(ctx, config.Client, config.Operator, config.Log)
	}
	return fmt.Errorf("unknown command %q", args[0])
}
