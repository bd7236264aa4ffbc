// Command bench measures what docs/performance.md shows and prints its tables.
// It asserts nothing: figures depend on the machine, so each is beside a
// yardstick that was measured in the same run, turn by turn.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cephferry/cephferry/test/lab"
)

const (
	streamSize = 5 << 20
	claims     = 3 // a large chart has few
	rounds     = 30
	slowRounds = 3
	images     = 200
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "cephferry-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	if err := rendering(ctx, out, dir, tools); err != nil {
		return err
	}
	return creating(ctx, out, dir, tools)
}

// contender is a command that is measured.
type contender struct {
	name string
	argv []string
	// stdin is the file it reads; empty for none.
	stdin  string
	rounds int
	times  []time.Duration
}

// race runs the contenders turn by turn, so that a busy moment of the machine
// hits all of them.
func race(ctx context.Context, contenders []*contender) error {
	for round := range slices.MaxFunc(contenders, func(a, b *contender) int { return a.rounds - b.rounds }).rounds {
		for _, c := range contenders {
			if round >= c.rounds {
				continue
			}
			elapsed, err := c.once(ctx)
			if err != nil {
				return err
			}
			c.times = append(c.times, elapsed)
		}
	}
	return nil
}

// once is the time from the start of the command to the end of its output, which
// goes through a pipe as it does under Helm.
func (c *contender) once(ctx context.Context) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if c.stdin != "" {
		file, err := os.Open(c.stdin)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		cmd.Stdin = file
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		return 0, err
	}
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(c.argv, " "), err, stderr.String())
	}
	return time.Since(begin), nil
}

func (c *contender) median() time.Duration {
	sorted := slices.Sorted(slices.Values(c.times))
	return sorted[len(sorted)/2]
}

// table prints medians and how often the yardstick fits into each.
func table(out io.Writer, title string, yardstick *contender, contenders []*contender) {
	fmt.Fprintf(out, "\n%s\n\n", title)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug|tabwriter.AlignRight)
	fmt.Fprintf(w, "\t command\t median\t times %s\t runs\t\n", yardstick.name)
	fmt.Fprintf(w, "\t---\t---\t---\t---\t\n")
	for _, c := range contenders {
		fmt.Fprintf(w, "\t %s\t %.1f ms\t %.2f\t %d\t\n", c.name, float64(c.median().Microseconds())/1000, float64(c.median())/float64(yardstick.median()), len(c.times))
	}
	w.Flush()
}

func rendering(ctx context.Context, out io.Writer, dir string, tools lab.Tools) error {
	stream, class := filepath.Join(dir, "all.yaml"), filepath.Join(dir, "class.yaml")
	if err := os.WriteFile(stream, manifests(), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(class, []byte(storageClass("pool")), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte("resources: [all.yaml]\n"), 0o600); err != nil {
		return err
	}
	withCgo, err := tools.Find("postrender")
	if err != nil {
		return err
	}
	static := filepath.Join(filepath.Dir(withCgo), runtime.GOOS+"-"+runtime.GOARCH, "postrender")
	kustomize, err := tools.Find("kustomize")
	if err != nil {
		return err
	}
	flags := []string{"--dry-run", "--namespace", "shop", "--storage-class", class}
	cat := &contender{name: "cat", argv: []string{"cat"}, stdin: stream, rounds: rounds}
	contenders := []*contender{
		cat,
		{name: "postrender without cgo", argv: append([]string{static}, flags...), stdin: stream, rounds: rounds},
		{name: "postrender with cgo", argv: append([]string{withCgo}, flags...), stdin: stream, rounds: rounds},
		{name: "postrender --version with cgo", argv: []string{withCgo, "--version"}, rounds: rounds},
		{name: "kustomize build", argv: []string{kustomize, "build", dir}, rounds: slowRounds},
	}
	if err := race(ctx, contenders); err != nil {
		return err
	}
	table(out, fmt.Sprintf("Rendering a stream of %d MiB with %d migratable claims", streamSize>>20, claims), cat, contenders)
	return nil
}

// creating measures how long a release with many claims takes, beside a loop
// over the rbd command.
func creating(ctx context.Context, out io.Writer, dir string, tools lab.Tools) error {
	ceph, err := lab.StartCeph(ctx, lab.Options{Dir: filepath.Join(dir, "ceph"), Tools: tools})
	if err != nil {
		return err
	}
	defer ceph.Stop()
	class := filepath.Join(dir, "class.yaml")
	if err := os.WriteFile(class, []byte(storageClass(lab.Pool)), 0o600); err != nil {
		return err
	}
	postrender, err := tools.Find("postrender")
	if err != nil {
		return err
	}
	loop := &contender{name: "a loop of rbd create"}
	ours := &contender{name: "postrender --create client"}
	again := &contender{name: "the same again, nothing to do"}
	for round := range slowRounds {
		var stream bytes.Buffer
		begin := time.Now()
		for i := range images {
			if _, err := ceph.RBD(ctx, "create", "--size", "1G", fmt.Sprintf("%s/loop.%d-%d", lab.Pool, round, i)); err != nil {
				return err
			}
			stream.WriteString(claim(fmt.Sprintf("data-%d-%d", round, i)))
		}
		loop.times = append(loop.times, time.Since(begin))
		file := filepath.Join(dir, "claims.yaml")
		if err := os.WriteFile(file, stream.Bytes(), 0o600); err != nil {
			return err
		}
		for _, c := range []*contender{ours, again} {
			c.stdin = file
			c.argv = []string{postrender, "--namespace", "shop", "--storage-class", class, "--ceph-conf", ceph.ConfFile}
			elapsed, err := c.once(ctx)
			if err != nil {
				return err
			}
			c.times = append(c.times, elapsed)
		}
	}
	table(out, fmt.Sprintf("Making %d images of 1 GiB", images), ours, []*contender{loop, ours, again})
	return nil
}

// manifests is a stream of streamSize bytes like that of a large chart: many
// deployments, services and config maps, and among them a few claims.
func manifests() []byte {
	var stream bytes.Buffer
	for i := 0; stream.Len() < streamSize; i++ {
		fmt.Fprintf(&stream, deployment, i)
		fmt.Fprintf(&stream, "---\n# Source: shop/templates/service-%[1]d.yaml\napiVersion: v1\nkind: Service\nmetadata:\n  name: app-%[1]d\nspec:\n  selector: {app: app-%[1]d}\n  ports:\n  - {name: http, port: 80}\n", i)
		fmt.Fprintf(&stream, "---\n# Source: shop/templates/config-%[1]d.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-%[1]d\ndata:\n  settings.conf: |\n", i)
		for line := range 40 {
			fmt.Fprintf(&stream, "    option_%d = \"value %d of a setting, with a \\\\ in it\" # default\n", line, i)
		}
		if i < claims {
			stream.WriteString(claim(fmt.Sprintf("data-%d", i)))
		}
	}
	return stream.Bytes()
}

const deployment = `---
# Source: shop/templates/deployment-%[1]d.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-%[1]d
  labels: {app.kubernetes.io/name: app-%[1]d}
spec:
  replicas: 2
  selector:
    matchLabels:
      app: app-%[1]d
  template:
    metadata:
      labels:
        app: app-%[1]d
    spec:
      containers:
      - name: app
        image: example/app:1.0
        args: ["--listen=:8080", "--config=/etc/app/settings.conf"]
        ports:
        - name: http
          containerPort: 8080
        volumeMounts:
        - name: config
          mountPath: /etc/app
      volumes:
      - name: config
        configMap:
          name: app-%[1]d
`

func claim(name string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: %s
  annotations:
    cephferry.io/migratable: "true"
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ceph-block
  resources:
    requests:
      storage: 1Gi
`, name)
}

func storageClass(pool string) string {
	return fmt.Sprintf(`apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: ceph-block
provisioner: rook-ceph.rbd.csi.ceph.com
parameters:
  clusterID: rook-ceph
  pool: %s
  imageFeatures: layering
  csi.storage.k8s.io/node-stage-secret-name: rook-csi-rbd-node
  csi.storage.k8s.io/node-stage-secret-namespace: rook-ceph
`, pool)
}
