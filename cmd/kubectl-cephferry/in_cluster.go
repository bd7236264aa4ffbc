package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/podrun"
)

const (
	// podSeconds is after how long the pod is ended, whatever it does. What it had begun goes on
	// when the command is run again.
	podSeconds = 30 * 60
	// podStarts is how long it may take to start, with its image.
	podStarts = 2 * time.Minute
)

// runsInPod are the commands that ask Ceph and need nothing of this machine.
var runsInPod = []string{"status", "clusters", "history", "failover", "unfence", "release", "restore"}

// inPod runs the command as a pod beside the webhook. The error has its exit code.
func (o *options) inPod(command *cobra.Command, args []string) error {
	ctx := command.Context()
	if err := mayRunInPod(command); err != nil {
		return err
	}
	c, err := o.cluster("")
	if err != nil {
		return err
	}
	deployment, err := webhookDeployment(ctx, c)
	if err != nil {
		return err
	}
	by := ""
	if flag := command.LocalFlags().Lookup("by"); flag != nil && !flag.Changed {
		if by, err = person(ctx, c, ""); err != nil {
			return err
		}
	}
	pod, err := podrun.Pod(deployment, podCommand(command, args, c.namespace, by), podSeconds)
	if err != nil {
		return err
	}
	// A log has no end that is known.
	config := rest.CopyConfig(c.config)
	config.Timeout = 0
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	runner := &podrun.Runner{
		API: c.Client, Stdout: o.std.stdout, Stderr: o.std.stderr, Now: time.Now, Pause: pause, StartLimit: podStarts, EndLimit: podStarts,
		Logs: func(ctx context.Context, namespace, name string) (io.ReadCloser, error) {
			return clients.CoreV1().Pods(namespace).GetLogs(name, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
		},
	}
	code, err := runner.Run(ctx, pod)
	switch {
	case errors.Is(err, podrun.ErrUnknown):
		return unknown(err)
	case err != nil:
		return mayNot(err)
	}
	return coded{errShown, code}
}

// mayRunInPod refuses what a pod cannot do.
func mayRunInPod(command *cobra.Command) error {
	flags := command.Flags()
	changed := func(name string) bool { return flags.Lookup(name) != nil && flags.Changed(name) }
	switch {
	case !slices.Contains(runsInPod, command.Name()):
		return fmt.Errorf("--in-cluster: %s does not run in a pod", command.Name())
	case changed("ceph-conf") || changed("ceph-keyring"):
		return errors.New("--ceph-conf and --ceph-keyring: the pod has no file of this machine; leave out --in-cluster")
	case changed("watch"):
		return errors.New("--watch: a pod that watches would be ended; leave out one of --watch and --in-cluster")
	case command.Name() == "failover" && !changed("yes") && !changed("drop"):
		return errors.New("--in-cluster: nobody can answer the pod; look at status first, then name the cluster that is dead with --from, and --yes")
	}
	return nil
}

// webhookDeployment is what the pod is made of.
func webhookDeployment(ctx context.Context, api client.Reader) (*appsv1.Deployment, error) {
	var list appsv1.DeploymentList
	if err := api.List(ctx, &list, client.MatchingLabels{"app.kubernetes.io/name": "cephferry"}); err != nil {
		return nil, fmt.Errorf("look for the webhook's Deployment: %w", err)
	}
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("--in-cluster: there are %d Deployments with the label app.kubernetes.io/name=cephferry, and the pod is made of the only one", len(list.Items))
	}
	return &list.Items[0], nil
}

// podCommand is the same command with --direct, without what says how this machine reaches the
// cluster. by is the person, if the command records one.
func podCommand(command *cobra.Command, args []string, namespace, by string) []string {
	line := []string{"kubectl-cephferry", command.Name(), "--direct", "--namespace=" + namespace}
	if by != "" {
		line = append(line, "--by="+by)
	}
	own := kubectlFlags()
	reaches := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.AddFlags(reaches)
	command.Flags().Visit(func(flag *pflag.Flag) {
		if flag.Name == "in-cluster" || flag.Name == "direct" || reaches.Lookup(flag.Name) != nil {
			return
		}
		values := []string{flag.Value.String()}
		if several, ok := flag.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, value := range values {
			line = append(line, "--"+flag.Name+"="+value)
		}
	})
	return append(append(line, "--"), args...)
}
