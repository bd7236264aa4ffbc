//go:build lab

package guard

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	registrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/test/lab"
)

const (
	chartDir = "../../charts/cephferry"
	// own is the namespace of the webhook.
	own = "cephferry-system"
	// startLimit bounds the start of a webhook, and the time after which the API
	// server asks it.
	startLimit = 30 * time.Second
)

// observer is the Ceph user of docs/security.md that can only look.
var observer = []string{
	"mon", "allow r",
	"osd", "allow r class-read pool=replicapool object_prefix rbd_id., allow r class-read pool=replicapool object_prefix rbd_header., " +
		"allow r class-read pool=replicapool object_prefix rbd_directory, allow r class-read pool=replicapool object_prefix rbd_info",
}

// webhook is the built webhook beside a cluster.
type webhook struct {
	args, env        []string
	logFile          string
	url, probe, meta string
	client           *http.Client // trusts the webhook's certificate

	process *os.Process
	ended   chan struct{}
}

// startGuard renders the chart with these values, puts the account with its rights
// and the webhook configuration into the cluster, and starts the webhook as that
// account, with the flags that the chart renders. Of all that only this is not the
// chart's: the address in the webhook configuration, the folder of the certificate,
// and the certificate, which is the test's, as if cert-manager had made it.
func startGuard(ctx context.Context, storage *lab.Ceph, c *cluster, dir, values string) (*webhook, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	w := &webhook{
		logFile: filepath.Join(dir, "webhook.log"),
		url:     fmt.Sprint("https://127.0.0.1:", ports[0]),
		meta:    fmt.Sprint("http://127.0.0.1:", ports[1], "/metrics"),
		probe:   fmt.Sprint("http://127.0.0.1:", ports[2], "/readyz"),
	}
	ca, err := makeCertificate(dir)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	w.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 200,
	}}

	rendered := exec.CommandContext(ctx, programs.helm, "template", "cephferry", chartDir, "--namespace", own, "--kube-version", "1.36.3",
		"--set", "cluster.name="+c.Name, "--set", "certificate.certManager.enabled=true",
		"--set", fmt.Sprintf("ports.webhook=%d,ports.metrics=%d,ports.probes=%d", ports[0], ports[1], ports[2]),
		"--set", "ceph.secret.namespace="+own+",ceph.secret.name=observer", "--set", values)
	rendered.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + programs.home}
	manifests, err := rendered.Output()
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	user, err := storage.CreateUser(ctx, "observer-"+c.Name, observer...)
	if err != nil {
		return nil, err
	}
	if err := c.Apply(ctx, "{apiVersion: v1, kind: Namespace, metadata: {name: "+own+"}}"); err != nil {
		return nil, err
	}
	if err := c.Apply(ctx, observerSecret(user.ID, user.Key)); err != nil {
		return nil, err
	}
	configuration, err := w.take(ctx, c, string(manifests), ca)
	if err != nil {
		return nil, err
	}
	w.args = append(w.args, "--cert-dir", dir) // the later one counts
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := writeKubeconfig(ctx, c, kubeconfig); err != nil {
		return nil, err
	}
	w.env = []string{"KUBECONFIG=" + kubeconfig, "POD_NAMESPACE=" + own, "HOME=" + dir}
	if err := w.start(); err != nil {
		return nil, err
	}
	if err := c.Apply(ctx, configuration); err != nil {
		return nil, errors.Join(err, w.kill())
	}
	return w, within(startLimit, func() error {
		// The webhook refuses a volume that it cannot find in Ceph.
		_, err := c.Run(ctx, "create", "--dry-run=server", "-f", filepath.Join("testdata", "unknown.yaml"))
		if err == nil || !strings.Contains(err.Error(), "its image is not known") {
			return errors.Join(errors.New("the API server does not ask the webhook"), err)
		}
		return nil
	})
}

func observerSecret(id, key string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: observer, namespace: %s}, stringData: {userID: %s, userKey: %q}}", own, id, key)
}

// take applies the account and its rights, takes over the flags, and returns the
// webhook configuration.
func (w *webhook) take(ctx context.Context, c *cluster, manifests string, ca []byte) (string, error) {
	var result string
	for _, manifest := range strings.Split(manifests, "\n---\n") {
		var is struct{ Kind string }
		if err := yaml.Unmarshal([]byte(manifest), &is); err != nil {
			return "", err
		}
		switch is.Kind {
		case "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding":
			if err := c.Apply(ctx, manifest); err != nil {
				return "", err
			}
		case "Deployment":
			var deployment appsv1.Deployment
			if err := yaml.UnmarshalStrict([]byte(manifest), &deployment); err != nil {
				return "", err
			}
			w.args = deployment.Spec.Template.Spec.Containers[0].Args
		case "ValidatingWebhookConfiguration":
			var configuration registrationv1.ValidatingWebhookConfiguration
			if err := yaml.UnmarshalStrict([]byte(manifest), &configuration); err != nil {
				return "", err
			}
			for i := range configuration.Webhooks {
				client := &configuration.Webhooks[i].ClientConfig
				url := w.url + *client.Service.Path
				*client = registrationv1.WebhookClientConfig{URL: &url, CABundle: ca}
			}
			data, err := yaml.Marshal(configuration)
			if err != nil {
				return "", err
			}
			result = string(data)
		}
	}
	if w.args == nil || result == "" {
		return "", errors.New("the chart renders no Deployment or no webhook configuration")
	}
	return result, nil
}

// writeKubeconfig writes a kubeconfig of the webhook's account.
func writeKubeconfig(ctx context.Context, c *cluster, path string) error {
	token, err := c.Run(ctx, "create", "token", "cephferry", "--namespace", own, "--duration=2h")
	if err != nil {
		return err
	}
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		return err
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: strings.TrimSpace(string(token))}
	}
	return clientcmd.WriteToFile(*config, path)
}

// start starts the process and returns when it is ready.
func (w *webhook) start() error {
	log, err := os.OpenFile(w.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(programs.webhook, w.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = w.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// Pdeathsig is about the thread (https://go.dev/issue/27505).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	w.process, w.ended = cmd.Process, ended
	if err := within(startLimit, func() error {
		select {
		case <-ended:
			return errors.New("it has ended")
		default:
			return w.ready()
		}
	}); err != nil {
		return fmt.Errorf("start the webhook: %w\n%s", err, lab.Tail(w.logFile))
	}
	return nil
}

// ready asks the readiness probe.
func (w *webhook) ready() error {
	_, err := w.get(w.probe)
	return err
}

func (w *webhook) get(url string) (string, error) {
	response, err := w.client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s: %s", url, response.Status, body)
	}
	return string(body), err
}

// kill ends the process as an accident does. A second one does nothing.
func (w *webhook) kill() error { return w.signal(syscall.SIGKILL) }

// stop ends it well.
func (w *webhook) stop() error { return w.signal(syscall.SIGTERM) }

func (w *webhook) signal(signal syscall.Signal) error {
	if err := w.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-w.ended:
		return nil
	case <-time.After(startLimit):
		return fmt.Errorf("the webhook still runs %s after %s", startLimit, signal)
	}
}

// mayDoAll returns what the webhook was not allowed to do, by what it wrote.
func (w *webhook) mayDoAll() error {
	log, err := os.ReadFile(w.logFile)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "forbidden: User") {
			return fmt.Errorf("the chart gives the webhook too few rights: %s", line)
		}
	}
	return nil
}

// metric is the sum of a metric over all labels that contain these.
func (w *webhook) metric(name string, labels ...string) (float64, error) {
	body, err := w.get(w.meta)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " "):]), 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}

// makeCertificate writes tls.crt and tls.key for 127.0.0.1 and returns what to
// trust.
func makeCertificate(dir string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "webhook"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return bytes.Clone(certificate), errors.Join(
		os.WriteFile(filepath.Join(dir, "tls.crt"), certificate, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), private, 0o600))
}

// freePorts are from below the range from which the kernel takes ports for
// outgoing connections.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 12000 + mathrand.IntN(8000)
		listener, err := net.Listen("tcp", fmt.Sprint(":", port))
		if err != nil {
			continue
		}
		defer listener.Close()
		if ports = append(ports, port); len(ports) == count {
			return ports, nil
		}
	}
	return nil, errors.New("none of 1000 tried ports is free")
}

// within polls until check is content, and returns its last error.
func within(limit time.Duration, check func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollInterval) {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
