//go:build linux && lab

package lab_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
)

// share: nodes of both clusters have one subvolume mounted at once, and each reads
// what the other writes.
func (w world) share(t *testing.T, east, west string) {
	ctx := t.Context()
	root := w.subvolume(t, "shared")
	nodes := map[*lab.Cluster]*lab.Node{w.East: w.node(t, w.East, east), w.West: w.node(t, w.West, west)}
	for cluster, node := range nodes {
		if err := cluster.Apply(ctx, fmt.Sprintf(sharedVolumeAndPod, "shared", lab.Filesystem, root, node.Name)); err != nil {
			t.Fatal(err)
		}
	}
	for cluster, node := range nodes {
		w.ready(t, cluster, "shared")
		attached := w.get(t, cluster, `volumeattachment -o=jsonpath={range.items[?(@.spec.source.persistentVolumeName=="shared")]}{.spec.attacher},{.spec.nodeName},{.status.attached},{.metadata.finalizers[0]}{end}`)
		if want := "rook-ceph.cephfs.csi.ceph.com," + node.Name + ",true,external-attacher/rook-ceph-cephfs-csi-ceph-com"; attached != want {
			t.Errorf("attachment = %q, want %q", attached, want)
		}
	}
	bothSee := func(what string) {
		t.Helper()
		for _, reader := range nodes {
			for _, writer := range nodes {
				before := w.seen(t, reader, writer)
				await(t, fmt.Sprintf("%s sees new stamps of %s %s", reader.Name, writer.Name, what), func() bool {
					return w.seen(t, reader, writer) >= before+3
				})
			}
		}
	}
	bothSee("at the beginning")

	var table strings.Builder
	if err := lab.Seen(filepath.Dir(filepath.Dir(w.Ceph.ConfFile)), east, "shared", &table); err != nil {
		t.Error(err)
	}
	for _, node := range nodes {
		if !strings.Contains(table.String(), node.Name) {
			t.Errorf("%s is not in\n%s", node.Name, &table)
		}
	}

	// The mount is in the node's network.
	cut := nodes[w.East]
	if err := cut.Cut(ctx); err != nil {
		t.Fatal(err)
	}
	before := w.seen(t, cut, cut)
	time.Sleep(2 * time.Second) // ten stamps long
	if after := w.seen(t, cut, cut); after > before+1 {
		t.Errorf("a node that is cut off wrote stamps %d to %d", before, after)
	}
	if err := cut.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	bothSee("after the cut")

	for cluster := range nodes {
		if _, err := cluster.Run(ctx, "delete", "pod", "shared"); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range nodes {
		await(t, node.Name+" has unmounted it", func() bool {
			seen, err := node.Sees("shared")
			if err != nil {
				t.Fatal(err)
			}
			return seen == nil
		})
	}
	for cluster := range nodes {
		if _, err := cluster.Run(ctx, "delete", "pvc/shared", "pv/shared", "--timeout=10s"); err != nil {
			t.Error(err)
		}
	}
}

// subvolume makes a subvolume and returns its path.
func (w world) subvolume(t *testing.T, name string) string {
	t.Helper()
	if err := w.Ceph.WaitFilesystem(t.Context()); err != nil {
		t.Fatal(err)
	}
	var path string
	for _, args := range [][]string{
		{"fs", "subvolumegroup", "create", lab.Filesystem, "csi"},
		{"fs", "subvolume", "create", lab.Filesystem, name, "--group_name", "csi", "--size", "16777216"},
		{"fs", "subvolume", "getpath", lab.Filesystem, name, "--group_name", "csi"},
	} {
		out, err := w.Ceph.Run(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		path = strings.TrimSpace(string(out))
	}
	return path
}

// seen is the number of the newest stamp of a pod on writer that reader sees.
func (w world) seen(t *testing.T, reader, writer *lab.Node) uint64 {
	t.Helper()
	newest, err := reader.Sees("shared")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range newest {
		if s.Cluster == writer.Cluster && s.Node == writer.Name {
			return s.Sequence
		}
	}
	return 0
}

const sharedVolumeAndPod = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 16Mi}
  accessModes: [ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: default, name: %[1]s}
  csi:
    driver: rook-ceph.cephfs.csi.ceph.com
    volumeHandle: %[1]s
    nodeStageSecretRef: {name: rook-csi-cephfs-node, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, fsName: %[2]s, rootPath: %[3]s, staticVolume: "true"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[1]s, namespace: default}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: ""
  volumeName: %[1]s
  resources: {requests: {storage: 16Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: default}
spec:
  nodeSelector: {kubernetes.io/hostname: %[4]s}
  containers: [{name: main, image: none}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: %[1]s}}]
`
