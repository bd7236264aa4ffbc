//go:build lab

package provisioner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
)

// helm runs a Helm in the team's namespace and returns its output.
func (tm *team) helm(c *scene.Cluster, program string, args ...string) (string, error) {
	return tm.execute(map[string]string{"PATH": "/usr/bin:/bin", "HOME": stage.Home}, program,
		append(args, "--kubeconfig", c.Kubeconfig, "--namespace", tm.Namespace)...)
}

// execute runs a program with nothing but this environment, and returns all its output.
func (tm *team) execute(env map[string]string, program string, args ...string) (string, error) {
	r := scene.Command{Program: program, Args: args, Env: env}.Run(tm.Context())
	return r.Stdout + r.Stderr, r.Err
}

// chart writes a chart of these manifests.
func (tm *team) chart(manifests string) string {
	tm.Helper()
	dir := tm.TempDir()
	tm.must(os.Mkdir(filepath.Join(dir, "templates"), 0o700))
	for name, text := range map[string]string{
		"Chart.yaml":         "{apiVersion: v2, name: app, version: 0.1.0}",
		"templates/all.yaml": strings.ReplaceAll(manifests, "NS", tm.Namespace),
	} {
		tm.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: NS}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: main, image: none}], volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]}
---
`

// TestHelmWaits: what `--wait` says of a claim that gets no volume. Helm 4 reads the
// condition, and fails as soon as everything else is ready; Helm 3 reads only the
// claim's phase.
func TestHelmWaits(t *testing.T) {
	t.Parallel()
	const why = `/data not ready. status: Failed, message: metadata.annotations[cephferry.io/class]: Invalid value: "none": no such StorageClass as "none"`
	const late = "context deadline exceeded"
	for what, test := range map[string]struct {
		program, manifests, timeout string
		has, lacks                  []string
	}{
		"Helm 4, the claim alone":        {programs.helm4, "", "50s", []string{why}, []string{late}},
		"Helm 4, with what waits for it": {programs.helm4, deployment, "5s", []string{why, late}, nil},
		"Helm 3":                         {programs.helm, "", "2s", []string{late}, []string{why}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tm := newTeam(t)
			chart := tm.chart(claim("data", "16Mi", "cephferry.io/class: none") + test.manifests)
			out, err := tm.helm(east, test.program, "install", "app", chart, "--wait", "--timeout", test.timeout)
			if err == nil {
				t.Error("it was content")
			}
			for _, text := range test.has {
				if !strings.Contains(out, text) {
					t.Errorf("%q is missing in:\n%s", text, out)
				}
			}
			for _, text := range test.lacks {
				if strings.Contains(out, text) {
					t.Errorf("%q is in:\n%s", text, out)
				}
			}
			tm.event(east, "data", "Warning ProvisioningFailed", "no such StorageClass")
		})
	}
}
