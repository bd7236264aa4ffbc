//go:build lab

package chart

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	registrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

const claimed = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "namespace": "shop"}, "spec": {"containers": [{"name": "db", "image": "db"}], ` +
	`"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}}`

// certManagerWebhooks send the objects of cert-manager to its own webhook, as its chart does.
const certManagerWebhooks = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: cert-manager-webhook, annotations: {cert-manager.io/inject-ca-from-secret: cert-manager/cert-manager-webhook-ca}}
webhooks:
  - name: webhook.cert-manager.io
    clientConfig: {url: "https://localhost:PORT/mutate"}
    rules: [{apiGroups: [cert-manager.io], apiVersions: [v1], operations: [CREATE], resources: [certificaterequests]}]
    admissionReviewVersions: [v1]
    sideEffects: None
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: cert-manager-webhook, annotations: {cert-manager.io/inject-ca-from-secret: cert-manager/cert-manager-webhook-ca}}
webhooks:
  - name: webhook.cert-manager.io
    clientConfig: {url: "https://localhost:PORT/validate"}
    rules: [{apiGroups: [cert-manager.io], apiVersions: [v1], operations: [CREATE, UPDATE], resources: ["*/*"]}]
    admissionReviewVersions: [v1]
    sideEffects: None
`

// TestCertManager: with cert-manager the webhook gets its certificate, the API server trusts it by its name
// in the cluster, and both follow when it is renewed, without a restart.
func TestCertManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, namespace := range []string{"rook-ceph", "cert-manager", own} {
		w.namespace(t, namespace, false)
	}
	w.namespace(t, "shop", true)
	w.storage(t)
	w.apply(t, "shop", claimOf("shop", "data"))
	w.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--namespace", "shop", "--timeout=60s")
	w.startCertManager(t)
	w.helm(t, 3, "install", "cephferry", chartDir, "--set", "cluster.name=west,certificate.certManager.enabled=true")
	w.kubectl(t, "wait", "--for=condition=Ready", "certificate/cephferry", "--namespace", own, "--timeout=60s")

	served := w.serve(t, "cephferry-tls")
	w.leadTo(t, served.port)
	before := w.answers(t, served)

	// As cmctl renew does it.
	w.kubectl(t, "patch", "certificate/cephferry", "--namespace", own, "--subresource=status", "--type=json",
		`--patch=[{"op": "add", "path": "/status/conditions/-", "value": {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "renewed"}}]`)
	scene.Eventually(t, "another certificate", func() error {
		if w.issued(t).Equal(before) {
			return errors.New("it is still the same")
		}
		return nil
	})
	// The kubelet has not brought it yet, and what the API server trusts by now vouches for the old one.
	w.trustsCA(t)
	if still, err := w.serving(t, served); err != nil || !still.Equal(before) {
		t.Errorf("between the renewal and the kubelet: %v", err)
	}
	if err := w.refusal(t); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Remove(filepath.Join(served.certificates, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.mountCertificate(t, "cephferry-tls", served.certificates); err != nil {
		t.Fatal(err)
	}
	if after := w.answers(t, served); after.Equal(before) {
		t.Error("it serves with the certificate from before")
	}
}

// startCertManager starts cert-manager's three programs, and returns when its webhook answers.
func (w *world) startCertManager(t *testing.T) {
	t.Helper()
	program, err := lab.Tools(os.Getenv(lab.ToolsVariable)).Find("cert-manager")
	if err != nil {
		t.Fatal(err)
	}
	w.kubectl(t, "apply", "--server-side", "--filename", filepath.Join(filepath.Dir(program), "crds"))
	w.kubectl(t, "wait", "--for=condition=Established", "--all", "customresourcedefinitions", "--timeout=60s")
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, "", strings.ReplaceAll(certManagerWebhooks, "PORT", port))
	for _, args := range [][]string{{"controller", w.Kubeconfig}, {"cainjector", w.Kubeconfig}, {"webhook", w.Kubeconfig, port}} {
		var said bytes.Buffer
		cmd := exec.Command(program, args...)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("cert-manager %s:\n%s", args[0], said.String())
			}
		})
	}
	// What its webhook would refuse tells that it is asked.
	scene.Eventually(t, "cert-manager's webhook", func() error {
		_, err := w.Run(t.Context(), "apply", "--server-side", "--dry-run=server", "--filename", w.write(t,
			"{apiVersion: cert-manager.io/v1, kind: Issuer, metadata: {name: none, namespace: cert-manager}, spec: {}}"))
		if err == nil || !strings.Contains(err.Error(), "denied the request") {
			return fmt.Errorf("an issuer of nothing: %v", err)
		}
		return nil
	})
}

// leadTo has the API server reach the webhook on this machine by the name of its Service, for which the
// certificate is: there is no network of pods here.
func (w *world) leadTo(t *testing.T, port string) {
	t.Helper()
	w.kubectl(t, "patch", "service/cephferry", "--namespace", own, "--type=merge",
		`--patch={"spec": {"type": "ExternalName", "externalName": "localhost", "clusterIP": null, "clusterIPs": null, "selector": null}}`)
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	to := int32(number)
	scene.Eventually(t, "the port in the webhook configuration", func() error { // the cainjector writes it, too
		configuration, err := w.configuration(t)
		if err != nil {
			return err
		}
		for i := range configuration.Webhooks {
			configuration.Webhooks[i].ClientConfig.Service.Port = &to
		}
		_, err = w.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Update(t.Context(), configuration, metav1.UpdateOptions{})
		return err
	})
}

func (w *world) configuration(t *testing.T) (*registrationv1.ValidatingWebhookConfiguration, error) {
	return w.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "cephferry", metav1.GetOptions{})
}

// issued is the certificate in the Secret.
func (w *world) issued(t *testing.T) *x509.Certificate {
	t.Helper()
	secret, err := w.Client.CoreV1().Secrets(own).Get(t.Context(), "cephferry-tls", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(secret.Data["tls.crt"])
	if block == nil {
		t.Fatalf("tls.crt is %q", secret.Data["tls.crt"])
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// trustsCA waits until the API server trusts the CA of the Secret.
func (w *world) trustsCA(t *testing.T) {
	t.Helper()
	scene.Eventually(t, "the CA of the Secret in the webhook configuration", func() error {
		configuration, err := w.configuration(t)
		if err != nil {
			return err
		}
		secret, err := w.Client.CoreV1().Secrets(own).Get(t.Context(), "cephferry-tls", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, webhook := range configuration.Webhooks {
			if ca := webhook.ClientConfig.CABundle; len(ca) == 0 || !bytes.Equal(ca, secret.Data["ca.crt"]) {
				return fmt.Errorf("%s trusts %q", webhook.Name, ca)
			}
		}
		return nil
	})
}

// serving returns the certificate that the webhook serves with, if what the API server trusts vouches for it.
func (w *world) serving(t *testing.T, at served) (*x509.Certificate, error) {
	t.Helper()
	configuration, err := w.configuration(t)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(configuration.Webhooks[0].ClientConfig.CABundle) {
		return nil, errors.New("there is no CA")
	}
	connection, err := tls.Dial("tcp", "localhost:"+at.port, &tls.Config{RootCAs: roots, ServerName: "cephferry." + own + ".svc"})
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0], nil
}

// answers returns the certificate of the Secret when the webhook serves with it, the API server trusts it,
// and a pod is refused by the webhook.
func (w *world) answers(t *testing.T, at served) *x509.Certificate {
	t.Helper()
	w.trustsCA(t)
	issued := w.issued(t)
	scene.Eventually(t, "an answer with the certificate of the Secret", func() error {
		serving, err := w.serving(t, at)
		if err != nil {
			return err
		}
		if !serving.Equal(issued) {
			return fmt.Errorf("it serves with %s, and the Secret has %s", serving.SerialNumber, issued.SerialNumber)
		}
		return w.refusal(t)
	})
	return issued
}

// refusal returns an error unless the webhook refuses a pod: then the API server has reached it.
func (w *world) refusal(t *testing.T) error {
	_, err := w.Run(t.Context(), "create", "--filename", w.write(t, claimed))
	if err == nil || !strings.Contains(err.Error(), `admission webhook "pod.guard.cephferry.io" denied the request`) {
		return fmt.Errorf("a pod: %v", err)
	}
	return nil
}
