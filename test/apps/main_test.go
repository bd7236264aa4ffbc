//go:build linux && lab

package apps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// servers is the lab, and dir a folder beside it: with the programs' folder bin, and
// a kubeconfig that has both clusters as contexts. Both are set before the tests.
var (
	servers *lab.Lab
	dir     string
)

func TestMain(m *testing.M) {
	scene.Main(m, scene.Setup{
		Name: "apps", Nodes: lab.Nodes{PerCluster: 1}, Programs: []string{"helm", "kubectl", "postrender", "webhook"},
		Values: map[string]string{lab.East: "replicas=1", lab.West: "replicas=1"},
	}, func(s *scene.Scene) error {
		servers, dir = s.Lab, s.Dir
		return errors.Join(writePrograms(s.Programs), s.WriteContexts(filepath.Join(dir, "kubeconfig")), servers.Ceph.WaitFilesystem(context.Background()))
	})
}

// writePrograms makes the folder that is all of a script's PATH besides Debian's.
func writePrograms(programs map[string]string) error {
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"helm", "kubectl", "postrender"} {
		if err := os.Symlink(programs[name], filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	// On a machine of the Ceph cluster, rbd needs no such argument.
	rbd := fmt.Sprintf("#!/bin/sh\nexec /usr/bin/rbd --conf %s \"$@\"\n", servers.Ceph.ConfFile)
	return os.WriteFile(filepath.Join(bin, "rbd"), []byte(rbd), 0o755)
}

// app is a test with a namespace, and a folder that its scripts run in.
type app struct {
	*testing.T
	namespace, dir string
}

func newApp(t *testing.T, namespace string) *app {
	t.Helper()
	a := &app{T: t, namespace: namespace, dir: t.TempDir()}
	charts, err := filepath.Abs("../../testdata/charts")
	if err == nil {
		err = os.Symlink(filepath.Join(charts, "web"), filepath.Join(a.dir, "chart"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// scriptLimit bounds one script.
const scriptLimit = 3 * time.Minute

// script runs a script of bash, which ends at the first command that fails. It
// returns what it prints, and its error with what it complains of.
func (a *app) script(text string) (string, error) {
	r := scene.Command{
		Program: "/bin/bash", Args: []string{"-euc", text}, Dir: a.dir, Limit: scriptLimit,
		Env: map[string]string{"PATH": filepath.Join(dir, "bin") + ":/usr/bin:/bin", "KUBECONFIG": filepath.Join(dir, "kubeconfig"), "HOME": a.dir},
	}.Run(a.Context())
	if r.Err != nil {
		return r.Stdout, fmt.Errorf("%w: %s\n%s", r.Err, text, r.Stderr)
	}
	return r.Stdout, nil
}

// must is script for one that must not fail.
func (a *app) must(format string, args ...any) string {
	a.Helper()
	out, err := a.script(fmt.Sprintf(format, args...))
	if err != nil {
		a.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// refused is script for one that must fail and say this.
func (a *app) refused(script, want string) {
	a.Helper()
	if _, err := a.script(script); err == nil || !strings.Contains(err.Error(), want) {
		a.Errorf("got %v\nwant in it:\n%s", err, want)
	}
}

// get is a field of an object, as kubectl's jsonpath.
func (a *app) get(cluster *lab.Cluster, object, path string) string {
	a.Helper()
	return a.must("kubectl --context %s --namespace %s get %s -o jsonpath='%s'", cluster.Name, a.namespace, object, path)
}

// ready waits for the pods of a release.
func (a *app) ready(cluster *lab.Cluster, release string) {
	a.Helper()
	a.must("kubectl --context %s --namespace %s rollout status deployment/%s --timeout=60s", cluster.Name, a.namespace, release)
}
