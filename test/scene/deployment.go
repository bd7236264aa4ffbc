//go:build lab

package scene

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Deployment puts the webhook's Deployment into a cluster, with the cluster's name and these
// flags, and without pods: the webhook runs beside it, and the plugin reads its flags.
func Deployment(flags ...string) func(context.Context, *Cluster) error {
	return func(ctx context.Context, c *Cluster) error {
		args := slices.Concat([]string{"--cluster-name=" + c.Name}, flags)
		return c.Apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: cephferry-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cephferry, namespace: cephferry-system, labels: {app.kubernetes.io/name: cephferry}}
spec:
  replicas: 0
  selector: {matchLabels: {app: cephferry}}
  template:
    metadata: {labels: {app: cephferry}}
    spec:
      containers: [{name: webhook, image: none, args: [%s]}]
`, strings.Join(args, ", ")))
	}
}
