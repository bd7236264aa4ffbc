package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gate is the webhook that every pod with a claim passes in a guarded namespace.
const gate = "pod.guard.cephferry.io"

func newCheck(o *options) *cobra.Command {
	var limit time.Duration
	command := &cobra.Command{
		Use:   "check",
		Short: "Ask the webhook, by a dry run, for a refusal",
		Long: `Asks the API server, by a dry run, to start a pod that the webhook must refuse: the pod names its
node and a claim that does not exist. This shows whether pods of the namespace reach the
webhook, and whether it answers. Ceph is not queried, and nothing is changed.

The namespace must be guarded. The chart's tests, "helm test", create one for this.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			connected, err := o.cluster("")
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(command.Context(), limit)
			defer cancel()
			said, err := askForRefusal(ctx, connected.Client, connected.namespace, pause)
			if err != nil {
				return err
			}
			fmt.Fprintf(o.std.stdout, "The webhook refuses what it must:\n%s\n", said)
			return nil
		},
	}
	command.Flags().DurationVar(&limit, "timeout", apiLimit, "`time` that the webhook may take to answer")
	return command
}

// askForRefusal asks until the webhook answers, and returns what it says. Who is not refused by the
// webhook itself has proven nothing.
func askForRefusal(ctx context.Context, api client.Client, namespace string, pause func(context.Context) error) (string, error) {
	for {
		err := api.Create(ctx, mustNotStart(namespace), client.DryRunAll)
		said := ""
		if err != nil {
			said = err.Error()
		}
		_, refusal, refused := strings.Cut(said, fmt.Sprintf("admission webhook %q denied the request: ", gate))
		switch {
		case err == nil:
			return "", fmt.Errorf("a pod that must be refused was admitted in namespace %s: the API server does not ask the webhook about its pods\n"+
				"  do this   see whether the namespace is guarded: kubectl get namespace %s --show-labels has cephferry.io/guarded=true; "+
				"and whether the guard exists: kubectl get validatingwebhookconfigurations", namespace, namespace)
		case refused:
			return refusal, nil
		case !strings.Contains(said, fmt.Sprintf("failed calling webhook %q", gate)) && ctx.Err() == nil:
			return "", unknown(fmt.Errorf("the API server does not get as far as asking the webhook: %w", err))
		}
		if waited := pause(ctx); waited != nil {
			return "", fmt.Errorf("pods of namespace %s pass the webhook, and it does not answer: %w\n"+
				"  do this   see whether a pod of it is ready: kubectl get pods -A -l app.kubernetes.io/name=cephferry; until then, pods with claims wait in guarded namespaces", namespace, err)
		}
	}
}

// mustNotStart is a pod that the webhook refuses whatever Ceph says: nobody would look at its claim
// before it is mounted. It meets the Pod Security Standard restricted, so that nothing else refuses it.
func mustNotStart(namespace string) *corev1.Pod {
	yes, no := true, false
	user, grace := int64(65532), int64(0)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cephferry-check"},
		Spec: corev1.PodSpec{
			NodeName:                      "cephferry-check",
			AutomountServiceAccountToken:  &no,
			TerminationGracePeriodSeconds: &grace,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &user, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "check", Image: "cephferry-check",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "cephferry-check"},
			}}},
		},
	}
}
