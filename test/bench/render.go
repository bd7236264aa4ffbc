package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/cephferry/cephferry/test/lab"
)

const (
	streamSize = 5 << 20
	claims     = 3 // a large chart has few
	rounds     = 30
	slowRounds = 3
)

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
	built, err := tools.Find("postrender")
	if err != nil {
		return err
	}
	withCgo, err := installed(dir, "postrender-cgo", built)
	if err != nil {
		return err
	}
	static, err := installed(dir, "postrender-static", filepath.Join(filepath.Dir(built), runtime.GOOS+"-"+runtime.GOARCH, "postrender"))
	if err != nil {
		return err
	}
	kustomize, err := tools.Find("kustomize")
	if err != nil {
		return err
	}
	if kustomize, err = installed(dir, "kustomize", kustomize); err != nil {
		return err
	}
	flags := []string{"--create=client", "--dry-run", "--namespace", "shop", "--storage-class", class}
	cat := &contender{name: "cat", once: command(stream, "cat"), rounds: rounds}
	contenders := []*contender{
		cat,
		{name: "postrender without cgo", once: command(stream, append([]string{static}, flags...)...), rounds: rounds},
		{name: "postrender with cgo", once: command(stream, append([]string{withCgo}, flags...)...), rounds: rounds},
		{name: "postrender --version with cgo", once: command("", withCgo, "--version"), rounds: rounds},
		{name: "kustomize build", once: command("", kustomize, "build", dir), rounds: slowRounds},
	}
	if err := race(ctx, contenders); err != nil {
		return err
	}
	medians(out, fmt.Sprintf("Rendering a stream of %d MiB with %d migratable claims", streamSize>>20, claims), cat, contenders)
	return nil
}

// installed returns a copy of a program, written from its start to its end as an installation writes it. So the
// kernel has it in some hundred large pieces. What the linker has written is in thousands of small ones, and
// each start takes a millisecond longer to map those.
func installed(dir, name, program string) (string, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, data, 0o700)
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
