package main

import (
	"bufio"
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/test/lab"
)

const startLimit = time.Minute

// program runs beside this one.
type program struct {
	pid     int
	logFile string
	kill    context.CancelFunc
	done    chan struct{}
}

// startProgram runs argv until stop, or until this program ends. Its output goes
// to a log file.
func startProgram(ctx context.Context, logFile string, env []string, argv ...string) (*program, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ctx, kill := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	// `rbd watch` ends at the end of its input.
	input, err := cmd.StdinPipe()
	if err != nil {
		kill()
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &program{logFile: logFile, kill: kill, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the starting thread ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer kill()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed
			_ = input.Close()
		}
	}()
	return p, <-started
}

func (p *program) stop() {
	p.kill()
	<-p.done
}

// await polls check until it succeeds.
func (p *program) await(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w\n%s", err, lab.Tail(p.logFile))
		case <-p.done:
			return fmt.Errorf("it ended by itself\n%s", lab.Tail(p.logFile))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cpu is the processor time that the program has used, in steps of 10 ms.
func (p *program) cpu() (time.Duration, error) { return cpuOf(p.pid) }

func cpuOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// utime and stime, counted from the state, see proc_pid_stat(5).
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// memory is VmRSS or VmHWM, its peak, in bytes.
func (p *program) memory(field string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		var kib int64
		if _, err := fmt.Sscanf(line, field+": %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("process %d has no %s", p.pid, field)
}

// server is a webhook that answers admission reviews.
type server struct {
	*program
	url  string
	http *http.Client
	// metrics is empty for the one that always allows.
	metrics string
}

// counters are what a server has spent since it started. Decisions and seconds
// are as it measures itself.
type counters struct {
	decisions, decisionSeconds, cephSeconds, processorSeconds float64
}

func (c counters) plus(d counters) counters {
	return counters{c.decisions + d.decisions, c.decisionSeconds + d.decisionSeconds, c.cephSeconds + d.cephSeconds, c.processorSeconds + d.processorSeconds}
}

func (c counters) minus(d counters) counters {
	return counters{c.decisions - d.decisions, c.decisionSeconds - d.decisionSeconds, c.cephSeconds - d.cephSeconds, c.processorSeconds - d.processorSeconds}
}

// counters implements a contender's meter.
func (s *server) counters(ctx context.Context) (counters, error) {
	var c counters
	if s.metrics != "" {
		series, err := s.scrape(ctx)
		if err != nil {
			return c, err
		}
		c.decisions = sum(series, "cephferry_decision_seconds_count{")
		c.decisionSeconds = sum(series, "cephferry_decision_seconds_sum{")
		c.cephSeconds = sum(series, "cephferry_ceph_call_seconds_sum{")
	}
	cpu, err := s.cpu()
	c.processorSeconds = cpu.Seconds()
	return c, err
}

// scrape returns the metrics by their names with labels.
func (s *server) scrape(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.metrics, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	series := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		if series[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
			return nil, fmt.Errorf("read metric %q: %w", line, err)
		}
	}
	if len(series) == 0 {
		return nil, fmt.Errorf("get %s: %s", s.metrics, response.Status)
	}
	return series, nil
}

// sum is that of the series whose names begin so.
func sum(series map[string]float64, prefix string) float64 {
	total := 0.0
	for name, value := range series {
		if strings.HasPrefix(name, prefix) {
			total += value
		}
	}
	return total
}

// startWebhook starts bin/webhook as the guard of the cluster, with further variables, and
// returns when it is ready.
func startWebhook(ctx context.Context, tools lab.Tools, cluster *lab.Cluster, certificate certificate, logFile string, env ...string) (*server, error) {
	path, err := tools.Find("webhook")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	local := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	started, err := startProgram(ctx, logFile, append(env, "KUBECONFIG="+cluster.Kubeconfig), path,
		"--cluster-name", cluster.Name, "--cert-dir", certificate.dir, "--webhook-port", fmt.Sprint(ports[0]),
		"--metrics-bind-address", local(1), "--health-probe-bind-address", local(2))
	if err != nil {
		return nil, fmt.Errorf("start webhook: %w", err)
	}
	s := &server{program: started, url: "https://" + local(0), http: certificate.client(), metrics: "http://" + local(1) + "/metrics"}
	if err := s.await(ctx, func() error { return isOK(ctx, http.DefaultClient, "http://"+local(2)+"/readyz") }); err != nil {
		s.stop()
		return nil, fmt.Errorf("start webhook: %w", err)
	}
	return s, nil
}

// alwaysAllow is the argument with which this program is the yardstick: a webhook
// that allows everything.
const alwaysAllow = "always-allow"

func startAlwaysAllow(ctx context.Context, certificate certificate, logFile string) (*server, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	started, err := startProgram(ctx, logFile, nil, path, alwaysAllow, certificate.dir, fmt.Sprint(ports[0]))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", alwaysAllow, err)
	}
	s := &server{program: started, url: fmt.Sprintf("https://127.0.0.1:%d", ports[0]), http: certificate.client()}
	if err := s.await(ctx, func() error { return isOK(ctx, s.http, s.url+"/readyz") }); err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s: %w", alwaysAllow, err)
	}
	return s, nil
}

func serveAlwaysAllow(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s: wants a folder and a port", alwaysAllow)
	}
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("%s: %w", alwaysAllow, err)
	}
	s := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: args[0]})
	s.Register("/validate/pod", &webhook.Admission{Handler: admission.HandlerFunc(
		func(context.Context, admission.Request) admission.Response { return admission.Allowed("always") },
	)})
	s.Register("/readyz", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return s.Start(ctx)
}

func isOK(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s: %s", url, response.Status, body)
	}
	return nil
}

// certificate is a self-made one for loopback, in a folder as tls.crt and tls.key.
type certificate struct {
	dir   string
	roots *x509.CertPool
}

func makeCertificate(dir string) (certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "127.0.0.1"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return certificate{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return certificate{}, err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	made := certificate{dir: dir, roots: x509.NewCertPool()}
	made.roots.AppendCertsFromPEM(public)
	return made, errors.Join(
		os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "tls.crt"), public, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), private, 0o600),
	)
}

// client keeps its connections, and speaks HTTP/1.1, as the API server does with
// webhooks.
func (c certificate) client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: c.roots},
		MaxIdleConnsPerHost: clients,
	}}
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
