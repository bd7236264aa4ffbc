//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
)

// The sample charts, and the values that they take.
const (
	// web is a Deployment with the claim <release>-files.
	web = "../../testdata/charts/web"
	// db is a StatefulSet with the claims data-<release>-<ordinal>.
	db = "../../testdata/charts/db"

	migratable = `--set-string=persistence.annotations.cephferry\.io/migratable=true`
)

func size(quantity string) string { return "--set=persistence.size=" + quantity }
func replicas(n string) string    { return "--set=replicas=" + n }
func class(name string) string    { return "--set=persistence.storageClass=" + name }
func imageName(name string) string {
	return `--set=persistence.annotations.cephferry\.io/image=` + name
}
func arguments(args ...string) (all []string) {
	for _, arg := range args {
		all = append(all, "--post-renderer-args="+arg)
	}
	return all
}

// chart makes a chart of these templates, and returns its folder.
func (team *team) chart(templates map[string]string) string {
	team.Helper()
	dir := team.TempDir()
	team.write(filepath.Join(dir, "Chart.yaml"), "apiVersion: v2\nname: small\nversion: 0.1.0\n")
	for name, content := range templates {
		team.write(filepath.Join(dir, "templates", name), content)
	}
	return dir
}

// claim is a manifest; edit replaces parts of it, in pairs of old and new.
func claim(edit ...string) string {
	return strings.NewReplacer(edit...).Replace(`apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
  annotations:
    cephferry.io/migratable: "true"
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ceph-block
  resources:
    requests:
      storage: 1Gi
`)
}

const configMap = `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  greeting: hello
`

func (team *team) write(path, content string) string {
	team.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		team.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		team.Fatal(err)
	}
	return path
}
