//go:build linux && lab

package apps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

// servers is the lab, and dir a folder beside it: with the programs' folder bin, and
// a kubeconfig that has both clusters as contexts. Both are set before the tests.
var (
	servers *lab.Lab
	dir     string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apps:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	if dir, err = os.MkdirTemp("", "apps-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	if servers, err = lab.Start(ctx, lab.Options{Dir: filepath.Join(dir, "lab"), Tools: tools, Nodes: lab.Nodes{PerCluster: 1}}); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	if err := errors.Join(writePrograms(tools), writeKubeconfig(), servers.Ceph.WaitFilesystem(ctx)); err != nil {
		return 0, err
	}
	var started []*webhook.Webhook
	for _, cluster := range []*lab.Cluster{servers.East, servers.West} {
		w, err := startWebhook(ctx, cluster, tools)
		if err != nil {
			return 0, fmt.Errorf("start the webhook in %s: %w", cluster.Name, err)
		}
		defer w.Kill()
		started = append(started, w)
	}
	code = m.Run()
	for _, w := range started {
		if code != 0 {
			fmt.Fprintln(os.Stderr, lab.Tail(w.LogFile))
		}
		err = errors.Join(err, w.MayDoAll())
	}
	return code, err
}

func startWebhook(ctx context.Context, cluster *lab.Cluster, tools lab.Tools) (*webhook.Webhook, error) {
	options := webhook.Options{
		Ceph: servers.Ceph, Cluster: cluster, Dir: filepath.Join(dir, "webhook-"+cluster.Name),
		Chart: "../../charts/cephferry", Values: "replicas=1", Home: filepath.Join(dir, "home"),
	}
	var errs [2]error
	options.Helm, errs[0] = tools.Find("helm")
	options.Webhook, errs[1] = tools.Find("webhook")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return webhook.Start(ctx, options)
}

// writePrograms makes the folder that is all of a script's PATH besides Debian's.
func writePrograms(tools lab.Tools) error {
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"helm", "kubectl", "postrender"} {
		path, err := tools.Find(name)
		if err != nil {
			return err
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	// On a machine of the Ceph cluster, rbd needs no such argument.
	rbd := fmt.Sprintf("#!/bin/sh\nexec /usr/bin/rbd --conf %s \"$@\"\n", servers.Ceph.ConfFile)
	return os.WriteFile(filepath.Join(bin, "rbd"), []byte(rbd), 0o755)
}

func writeKubeconfig() error {
	both := clientcmdapi.NewConfig()
	for _, cluster := range []*lab.Cluster{servers.East, servers.West} {
		one, err := clientcmd.LoadFromFile(cluster.Kubeconfig)
		if err != nil {
			return err
		}
		at := one.Contexts[one.CurrentContext]
		both.Clusters[cluster.Name] = one.Clusters[at.Cluster]
		both.AuthInfos[cluster.Name] = one.AuthInfos[at.AuthInfo]
		both.Contexts[cluster.Name] = &clientcmdapi.Context{Cluster: cluster.Name, AuthInfo: cluster.Name}
	}
	return clientcmd.WriteToFile(*both, filepath.Join(dir, "kubeconfig"))
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
	ctx, cancel := context.WithTimeout(a.Context(), scriptLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/bash", "-euc", text)
	cmd.Dir = a.dir
	cmd.Env = []string{
		"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin", "KUBECONFIG=" + filepath.Join(dir, "kubeconfig"), "HOME=" + a.dir,
	}
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%w: %s\n%s", err, text, stderr.String())
	}
	return stdout.String(), nil
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

// settleLimit is how long something may take that needs nobody any more.
const settleLimit = 30 * time.Second

func (a *app) eventually(what string, holds func() bool) {
	a.Helper()
	for begin := time.Now(); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > settleLimit {
			a.Fatalf("not after %s: %s", settleLimit, what)
		}
	}
}
