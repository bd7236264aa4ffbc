//go:build lab

package chart

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// TestServe runs the real webhook as the Deployment would: with its flags, with
// the permissions of its account, and with its Secret mounted. It becomes ready, serves the
// page, and is forbidden nothing on the way.
func TestServe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, namespace := range []string{"rook-ceph", "shop", own} {
		w.namespace(t, namespace, false)
	}
	w.storage(t)
	w.helm(t, 3, "install", "cephferry", chartDir, "--set", "cluster.name=west")

	served := w.serve(t, "cephferry-certificate")
	scene.Eventually(t, "the CA in the webhook configuration", func() error {
		bundles := strings.Fields(w.kubectl(t, "get", "validatingwebhookconfiguration/cephferry", "--output=jsonpath={.webhooks[*].clientConfig.caBundle}"))
		if len(bundles) != 5 {
			return fmt.Errorf("%d webhooks have it", len(bundles))
		}
		return nil
	})
	scene.Eventually(t, "the label on the namespace of the volume that was there before", func() error {
		if got := w.kubectl(t, "get", "namespace/shop", `--output=jsonpath={.metadata.labels.cephferry\.io/guarded}`); got != "true" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	scene.Eventually(t, "the lease", func() error {
		_, err := w.Run(t.Context(), "get", "lease/cephferry-webhook", "--namespace", own)
		return err
	})
	w.page(t, served.page)
}

// storage makes a guarded volume in namespace shop, whose Ceph answers nobody.
func (w *world) storage(t *testing.T) {
	t.Helper()
	w.apply(t, "rook-ceph", `
{apiVersion: v1, kind: Secret, metadata: {name: rook-csi-rbd-node}, stringData: {userID: node, userKey: bm9uZQ==}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ceph-csi-config}
data: {config.json: '[{"clusterID":"rook-ceph","monitors":["127.0.0.1:1"]}]'}
`)
	w.apply(t, "", volume("shop", rbd, image, "claimRef: {namespace: shop, name: data}"))
}

// served is a webhook that runs, the folder of its certificate and where it serves.
type served struct{ certificates, port, page string }

// serve runs the webhook with the flags of the Deployment, as its account, with the certificate
// of that Secret, and returns when it is ready. It ends with the test.
func (w *world) serve(t *testing.T, secret string) served {
	t.Helper()
	program, err := lab.Tools(os.Getenv(lab.ToolsVariable)).Find("webhook")
	if err != nil {
		t.Fatal(err)
	}
	certificates, stopped := t.TempDir(), make(chan error, 1)
	probes, page := freeAddress(t), freeAddress(t)
	_, webhookPort, _ := net.SplitHostPort(freeAddress(t))
	args := strings.Fields(w.kubectl(t, "get", "deployment/cephferry", "--namespace", own,
		`--output=jsonpath={range .spec.template.spec.containers[0].args[*]}{@}{"\n"}{end}`))
	args = slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--cert-dir=") })
	// The last of a flag that is given twice holds.
	args = append(args, "--cert-dir="+certificates, "--health-probe-bind-address="+probes,
		"--webhook-port="+webhookPort, "--metrics-bind-address="+freeAddress(t), "--page-bind-address="+page)

	// The kubelet starts no pod without a Secret that is not optional.
	optional := w.kubectl(t, "get", "deployment/cephferry", "--namespace", own, "--output=jsonpath={.spec.template.spec.volumes[0].secret.optional}")
	if err := w.mountCertificate(t, secret, certificates); err != nil && optional != "true" {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "webhook.log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"KUBECONFIG=" + w.asAccount(t), "POD_NAMESPACE=" + own}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { stopped <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-stopped
		said, err := os.ReadFile(log.Name())
		if err != nil {
			t.Error(err)
		}
		if t.Failed() || strings.Contains(string(said), "forbidden") {
			t.Errorf("webhook %s:\n%s", strings.Join(args, " "), said)
		}
	})

	scene.Eventually(t, "the webhook to be ready", func() error {
		select {
		case err := <-stopped:
			stopped <- err
			t.Fatalf("the webhook ended: %v", err)
		default:
		}
		if err := w.mountCertificate(t, secret, certificates); err != nil {
			return err
		}
		response, err := http.Get("http://" + probes + "/readyz?verbose")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
	return served{certificates, webhookPort, page}
}

// mountCertificate does what the kubelet does when the Secret has its keys.
func (w *world) mountCertificate(t *testing.T, secret, dir string) error {
	t.Helper()
	for _, name := range []string{"tls.key", "tls.crt"} { // the webhook waits for the latter
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		path := "--output=jsonpath={.data." + strings.Replace(name, ".", `\.`, 1) + "}"
		data, err := base64.StdEncoding.DecodeString(w.kubectl(t, "get", "secret/"+secret, "--namespace", own, path))
		if err != nil {
			return err
		}
		if len(data) == 0 {
			return errors.New("there is no certificate")
		}
		if err := os.WriteFile(file+".part", data, 0o600); err != nil {
			return err
		}
		if err := os.Rename(file+".part", file); err != nil {
			return err
		}
	}
	return nil
}

// asAccount is a kubeconfig of the webhook's account.
func (w *world) asAccount(t *testing.T) string {
	t.Helper()
	token := w.kubectl(t, "create", "token", "cephferry", "--namespace", own)
	data, err := os.ReadFile(w.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	file := w.write(t, string(data))
	for _, args := range [][]string{
		{"set-credentials", "account", "--token", token},
		{"set-context", "--current", "--user", "account"},
	} {
		w.kubectl(t, append([]string{"config", "--kubeconfig", file}, args...)...)
	}
	return file
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
