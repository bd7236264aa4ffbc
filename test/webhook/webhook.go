//go:build linux

// Package webhook runs the built webhook beside a cluster of the lab, as the chart
// sets it up: its flags, the rights of its account and the webhook configuration are
// what the chart renders.
package webhook

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
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/test/lab"
)

const (
	// Namespace is the webhook's.
	Namespace = "cephferry-system"
	// startLimit bounds the start of a webhook, and the time after which the API
	// server asks it.
	startLimit = 30 * time.Second
	poll       = 50 * time.Millisecond
	// Grace is for reviews that no API server sends, and for pods that are gone before
	// the webhook has seen them. No request takes that long here.
	Grace = 4 * time.Second
)

// Renamer are the capabilities of the Ceph user of docs/security.md that the webhook of a
// cluster with keyed images has: it can look, write records, and give images names.
var Renamer = []string{"mon", `allow r, allow command "osd blocklist"`, "osd", "profile rbd pool=replicapool"}

// Options say what to run.
type Options struct {
	Ceph    *lab.Ceph
	Cluster *lab.Cluster
	// Dir is a folder for what it writes, Chart that of the chart.
	Dir, Chart string
	// Values are for helm's --set.
	Values string
	// Helm and Webhook are the programs, Home is for what Helm caches.
	Helm, Webhook, Home string
	// Container, unless nil, gives the command that runs the pod of the chart's Deployment, and
	// ends with its arguments. The certificate and the kubeconfig of its account are in dir.
	Container func(pod corev1.PodSpec, dir string) ([]string, error)
}

// Webhook is a webhook that runs.
type Webhook struct {
	LogFile string
	URL     string
	// Page is where the page is served.
	Page string
	// Client trusts the webhook's certificate.
	Client *http.Client

	cluster     *lab.Cluster
	pod         corev1.PodSpec
	program     string
	args, env   []string
	probe, meta string
	process     *os.Process
	ended       chan struct{}
	// killed is when it was ended as by an accident.
	killed time.Time
}

// Start renders the chart, puts the account with its rights, the policies and the
// webhook configuration into the cluster, and starts the webhook as that account, with the
// flags that the chart renders. It returns when the API server asks it.
//
// Of all that only this is not the chart's: the address in the webhook
// configuration, the folder of the certificate, and the certificate, which is the
// test's, as if cert-manager had made it. Its Ceph user is the renamer.
func Start(ctx context.Context, o Options) (*Webhook, error) {
	dir, c := o.Dir, o.Cluster
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	w := &Webhook{
		program: o.Webhook,
		cluster: c,
		LogFile: filepath.Join(dir, "webhook.log"),
		URL:     fmt.Sprint("https://127.0.0.1:", ports[0]),
		meta:    fmt.Sprint("http://127.0.0.1:", ports[1], "/metrics"),
		probe:   fmt.Sprint("http://127.0.0.1:", ports[2], "/readyz"),
		Page:    fmt.Sprint("https://127.0.0.1:", ports[3]),
	}
	ca, err := makeCertificate(dir)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	w.Client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 200,
	}}

	rendered := exec.CommandContext(ctx, o.Helm, "template", "cephferry", o.Chart, "--skip-tests", "--namespace", Namespace,
		"--set", "cluster.name="+c.Name, "--set", "certificate.certManager.enabled=true",
		"--set", fmt.Sprintf("ports.webhook=%d,ports.metrics=%d,ports.probes=%d,ports.page=%d", ports[0], ports[1], ports[2], ports[3]),
		"--set", "ceph.secret.namespace="+Namespace+",ceph.secret.name=renamer", "--set", o.Values)
	rendered.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + o.Home}
	var complaints bytes.Buffer
	rendered.Stderr = &complaints
	manifests, err := rendered.Output()
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w: %s", err, complaints.String())
	}
	user, err := o.Ceph.CreateUser(ctx, "renamer-"+c.Name, Renamer...)
	if err != nil {
		return nil, err
	}
	objects, configuration, err := w.take(string(manifests), ca)
	if err != nil {
		return nil, err
	}
	// At once: kubectl takes longer to start than what it does.
	namespace := "{apiVersion: v1, kind: Namespace, metadata: {name: " + Namespace + "}}"
	if err := c.Apply(ctx, strings.Join(append([]string{namespace, RenamerSecret(user.ID, user.Key)}, objects...), "\n---\n")); err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := writeKubeconfig(ctx, c, kubeconfig); err != nil {
		return nil, err
	}
	if o.Container != nil {
		command, err := o.Container(w.pod, dir)
		if err != nil {
			return nil, fmt.Errorf("translate the chart's pod: %w", err)
		}
		w.program, w.args, w.env = command[0], command[1:], os.Environ()
	} else {
		w.args = append(w.pod.Containers[0].Args, "--cert-dir", dir) // the later one counts
		w.env = []string{"KUBECONFIG=" + kubeconfig, "POD_NAMESPACE=" + Namespace, "HOME=" + dir}
	}
	w.args = append(w.args, "--admission-grace", Grace.String())
	if err := w.Start(); err != nil {
		return nil, err
	}
	if err := c.Apply(ctx, configuration); err != nil {
		return nil, errors.Join(err, w.Kill())
	}
	unknown := filepath.Join(dir, "unknown.yaml")
	if err := os.WriteFile(unknown, []byte(unknownVolume), 0o600); err != nil {
		return nil, err
	}
	return w, within(startLimit, func() error {
		// The webhook refuses a volume that it cannot find in Ceph.
		_, err := c.Run(ctx, "create", "--dry-run=server", "-f", unknown)
		if err == nil || !strings.Contains(err.Error(), "its image is not known") {
			return errors.Join(errors.New("the API server does not ask the webhook"), err)
		}
		return nil
	})
}

// unknownVolume is a guarded volume that does not say where its image is.
const unknownVolume = `
apiVersion: v1
kind: PersistentVolume
metadata:
  name: unknown
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  claimRef: {namespace: default, name: unknown}
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    volumeHandle: unknown
    volumeAttributes: {staticVolume: "true"}
`

// RenamerSecret is the Secret from which the webhook takes its Ceph user.
func RenamerSecret(id, key string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: renamer, namespace: %s}, stringData: {userID: %s, userKey: %q}}", Namespace, id, key)
}

// take takes over the pod, and returns the account, its rights, the classes and the policies, and the
// webhook configuration.
func (w *Webhook) take(manifests string, ca []byte) (objects []string, configuration string, err error) {
	for _, manifest := range strings.Split(manifests, "\n---\n") {
		var is struct{ Kind string }
		if err := yaml.Unmarshal([]byte(manifest), &is); err != nil {
			return nil, "", err
		}
		switch is.Kind {
		case "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "StorageClass", "CustomResourceDefinition",
			"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
			objects = append(objects, manifest)
		case "Deployment":
			var deployment appsv1.Deployment
			if err := yaml.UnmarshalStrict([]byte(manifest), &deployment); err != nil {
				return nil, "", err
			}
			w.pod = deployment.Spec.Template.Spec
		case "ValidatingWebhookConfiguration":
			var webhooks registrationv1.ValidatingWebhookConfiguration
			if err := yaml.UnmarshalStrict([]byte(manifest), &webhooks); err != nil {
				return nil, "", err
			}
			for i := range webhooks.Webhooks {
				client := &webhooks.Webhooks[i].ClientConfig
				url := w.URL + *client.Service.Path
				*client = registrationv1.WebhookClientConfig{URL: &url, CABundle: ca}
			}
			data, err := yaml.Marshal(webhooks)
			if err != nil {
				return nil, "", err
			}
			configuration = string(data)
		}
	}
	if len(w.pod.Containers) == 0 || configuration == "" {
		return nil, "", errors.New("the chart renders no Deployment or no webhook configuration")
	}
	return objects, configuration, nil
}

// writeKubeconfig writes a kubeconfig of the webhook's account.
func writeKubeconfig(ctx context.Context, c *lab.Cluster, path string) error {
	token, err := c.Run(ctx, "create", "token", "cephferry", "--namespace", Namespace, "--duration=2h")
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

// Start starts the process and returns when it is ready. After [Webhook.Kill] it does not
// wait for the end of its own lease, in which nobody leads.
func (w *Webhook) Start() error {
	if err := w.EndLease(); err != nil {
		return err
	}
	log, err := os.OpenFile(w.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(w.program, w.args...)
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
			return w.Ready()
		}
	}); err != nil {
		return fmt.Errorf("start the webhook: %w\n%s", err, lab.Tail(w.LogFile))
	}
	return nil
}

// EndLease takes the leader's lease away if nobody has renewed it since the process was
// killed, so that another one leads at once.
func (w *Webhook) EndLease() error {
	if w.killed.IsZero() {
		return nil
	}
	lease := []string{"lease/cephferry-webhook", "--namespace", Namespace, "--ignore-not-found"}
	out, err := w.cluster.Run(context.Background(), append([]string{"get", "-o=jsonpath={.spec.renewTime}"}, lease...)...)
	if err != nil || len(out) == 0 {
		return err
	}
	renewed, err := time.Parse(time.RFC3339Nano, string(out))
	if err != nil || renewed.After(w.killed) {
		return err
	}
	_, err = w.cluster.Run(context.Background(), append([]string{"delete"}, lease...)...)
	return err
}

// Replica starts one more process with the same account. It is asked by tests only.
func (w *Webhook) Replica() (*Webhook, error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	replica := *w
	replica.killed = time.Time{}
	replica.LogFile += ".replica"
	replica.URL = fmt.Sprint("https://127.0.0.1:", ports[0])
	replica.meta = fmt.Sprint("http://127.0.0.1:", ports[1], "/metrics")
	replica.Page = fmt.Sprint("https://127.0.0.1:", ports[3])
	replica.probe = fmt.Sprint("http://127.0.0.1:", ports[2], "/readyz")
	replica.args = append(slices.Clone(w.args), fmt.Sprint("--webhook-port=", ports[0]),
		fmt.Sprint("--metrics-bind-address=:", ports[1]), fmt.Sprint("--health-probe-bind-address=:", ports[2]),
		fmt.Sprint("--page-bind-address=:", ports[3]))
	return &replica, replica.Start()
}

// Ready asks the readiness probe.
func (w *Webhook) Ready() error {
	_, err := w.get(w.probe)
	return err
}

func (w *Webhook) get(url string) (string, error) {
	response, err := w.Client.Get(url)
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

// Kill ends the process as an accident does. A second one does nothing.
func (w *Webhook) Kill() error {
	err := w.signal(syscall.SIGKILL)
	w.killed = time.Now()
	return err
}

// Stop ends it well.
func (w *Webhook) Stop() error { return w.signal(syscall.SIGTERM) }

func (w *Webhook) signal(signal syscall.Signal) error {
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

// Leads reports whether the process is the leader.
func (w *Webhook) Leads() (bool, error) {
	leads, err := w.Metric("leader_election_master_status")
	return leads == 1, err
}

// MayDoAll returns what the webhook was not allowed to do, by what it wrote. Lines
// with one of the expected texts do not count.
func (w *Webhook) MayDoAll(expected ...string) error {
	log, err := os.ReadFile(w.LogFile)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(log)) {
		isExpected := slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(line, text) })
		if strings.Contains(line, "forbidden: User") && !isExpected {
			return fmt.Errorf("the chart gives the webhook too few rights: %s", line)
		}
	}
	return nil
}

// Metric is the sum of a metric over all labels that contain these.
func (w *Webhook) Metric(name string, labels ...string) (float64, error) {
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
	for deadline := time.Now().Add(limit); ; time.Sleep(poll) {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
