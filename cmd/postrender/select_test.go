package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/docs"
)

// harbor is a stream of a chart without a value for the annotation of one of its claims.
const harbor = `---
# Source: harbor/templates/registry/registry-pvc.yaml
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: harbor-registry
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 5Gi}}
---
# Source: harbor/templates/redis/statefulset.yaml
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: harbor-redis
spec:
  replicas: 1
  serviceName: harbor-redis
  selector: {matchLabels: {app: harbor}}
  template:
    metadata: {labels: {app: harbor}}
    spec: {containers: [{name: redis, image: redis}]}
  volumeClaimTemplates:
    - metadata:
        name: data
        annotations:
          cephferry.io/migratable: "true"
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: ceph-block
        resources: {requests: {storage: 1Gi}}
`

// TestSelect: the flag does to a claim what the annotation does.
func TestSelect(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "no-such-file"))
	redis := func(stream string) string {
		return strings.NewReplacer("cephferry.io/migratable: \"true\"\n", "cephferry.io/class: \"ceph-block\"\n          cephferry.io/migratable: \"true\"\n",
			"storageClassName: ceph-block", `storageClassName: ""`).Replace(stream)
	}
	registry := func(stream string) string {
		return strings.NewReplacer("metadata:\n  name: harbor-registry\nspec:\n", "metadata:\n  annotations:\n    cephferry.io/migratable: \"true\"\n  name: harbor-registry\nspec:\n  storageClassName: \"\"\n").Replace(stream)
	}
	for name, test := range map[string]struct {
		args []string
		want result
	}{
		"nothing selected":                 {nil, result{Stdout: redis(harbor)}},
		"a claim":                          {[]string{"--select", "pvc/harbor-*"}, result{Stdout: registry(redis(harbor))}},
		"what is annotated is selected":    {[]string{"--select", "StatefulSet/harbor-redis:data", "--select", "pvc/*"}, result{Stdout: registry(redis(harbor))}},
		"a selector that matches nothing":  {[]string{"--select", "pvc/none-*"}, result{Code: 1, Stderr: "postrender: --select pvc/none-*: matches no claim and no claim template of these manifests\n"}},
		"one of two that matches nothing":  {[]string{"--select", "pvc/*", "--select", "sts/*:logs"}, result{Code: 1, Stderr: "postrender: --select sts/*:logs: matches no claim and no claim template of these manifests\n"}},
		"a list of a selector that misses": {[]string{"list", "--namespace", "shop", "--select", "pvc/none-*"}, result{Code: 1, Stderr: "postrender: --select pvc/none-*: matches no claim and no claim template of these manifests\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, runWith(t, harbor, nil, test.args...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestListAsDocumented: what docs/postrender.md shows is what the command in it prints.
func TestListAsDocumented(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "no-such-file"))
	const prompt = "$ helm template harbor harbor/harbor | postrender "
	document, err := docs.Files.ReadFile("postrender.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(document), prompt)
	if !found {
		t.Fatalf("docs/postrender.md has no %q", prompt)
	}
	shown, _, _ = strings.Cut(shown, "```")
	command, output, _ := strings.Cut(shown, "\n")
	args := strings.Fields(strings.ReplaceAll(command, "'", ""))
	if args[0] != "list" {
		t.Fatalf("the command is %q", command)
	}
	if diff := cmp.Diff(result{Stdout: output}, runWith(t, harbor, nil, args...)); diff != "" {
		t.Errorf("-documented +got:\n%s", diff)
	}
}
