package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/restore"
)

// leads is where the clusterID rook-ceph leads; no other one is configured.
type leads struct{ storage ceph.Cluster }

func (l leads) Cluster(_ context.Context, clusterID string) (ceph.Cluster, string, error) {
	if clusterID != "rook-ceph" {
		return nil, "", fmt.Errorf("clusterID %q: %w", clusterID, csiconfig.ErrNotFound)
	}
	return l.storage, "", nil
}

func blockClass(name, clusterID string) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "rook-ceph.rbd.csi.ceph.com", Parameters: map[string]string{
		"clusterID": clusterID, "pool": "rbd",
		"csi.storage.k8s.io/node-stage-secret-name": "node", "csi.storage.k8s.io/node-stage-secret-namespace": "rook-ceph",
	}}
}

// TestRestore: west prints what east had, from the records of a Ceph.
func TestRestore(t *testing.T) {
	storage := cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{
		{Name: "shop.data", Layout: ceph.Layout{Size: 1 << 30, Features: []string{"layering"}}, ClaimSize: 1 << 30},
		{Name: "shop.free", Layout: ceph.Layout{Size: 1 << 30}, ClaimSize: 1 << 30},
	}})
	cluster, err := storage.Dial(t.Context(), cephtest.Observer)
	if err != nil {
		t.Fatal(err)
	}
	image, err := cluster.Image(t.Context(), ceph.ImageSpec{Pool: "rbd", Name: "shop.data"})
	if err != nil {
		t.Fatal(err)
	}
	storage.WriteRecord(image, ceph.Record{Token: "t", ClaimSize: 1 << 30, State: ceph.Held, Epoch: 1,
		Owner: &ceph.Owner{Party: ceph.Party{UID: "u-east", Name: "east"}, Namespace: "shop", Claim: "data", Since: since}}.Encode())
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "u-west"}}
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	block := blockClass("ceph-block", "rook-ceph")
	wish := restore.Wish{From: "east", AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeMode: corev1.PersistentVolumeFilesystem, Volumes: true}
	ours := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "migratable"}, Provisioner: "cephferry.io/provisioner", Parameters: map[string]string{"cephferry.io/class": "ceph-block"}}
	retain := corev1.PersistentVolumeReclaimRetain
	ours.ReclaimPolicy = &retain
	files := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "nfs"}, Provisioner: "nfs.csi.k8s.io"}

	for name, test := range map[string]struct {
		objects []client.Object
		wish    func(*restore.Wish)
		code    int
		out     []string
		err     string
	}{
		"all is known":                           {objects: []client.Object{system, shop, block, files}, out: []string{"kind: PersistentVolume\n", "  name: data\n", "cephferry.io/class: ceph-block", "storage: 1Gi"}},
		"a class of ours":                        {objects: []client.Object{system, shop, block, ours}, out: []string{"storageClassName: migratable"}},
		"a namespace that is not there":          {objects: []client.Object{system, block}, out: []string{"# Before: kubectl create namespace shop\n"}},
		"a class that leads nobody knows where":  {objects: []client.Object{system, shop, block, blockClass("far", "far")}, code: exitUnknown, out: []string{"  name: data\n", "# Cannot know the records where StorageClass far leads: "}, err: "not all records can be read, and the claims in them are missing:\nthe records where StorageClass far leads: "},
		"no class":                               {objects: []client.Object{system, shop, files}, code: exitFailed, err: "this cluster has no StorageClass of RBD"},
		"only one that leads nobody knows where": {objects: []client.Object{system, shop, blockClass("far", "far")}, code: exitUnknown, err: "cannot know the records where StorageClass far leads: "},
		"nobody has said the modes":              {objects: []client.Object{system, shop, block}, wish: func(w *restore.Wish) { w.VolumeMode = "" }, code: exitRefused, err: "neither access modes nor volume mode of shop/data"},
		"something is left out":                  {objects: []client.Object{system, shop, block}, wish: func(w *restore.Wish) { w.Class = "fast" }, code: exitFailed, out: []string{"# Left out: claim shop/data"}, err: "1 claim left out"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			r := &restoreOptions{options: &options{std: streams{stdout: &out, stderr: &out}}}
			asked := wish
			if test.wish != nil {
				test.wish(&asked)
			}
			err := r.restore(t.Context(), &inventory.Inventory{API: shows(t, interceptor.Funcs{}, test.objects...)}, leads{cluster}, "west", asked)
			if exitCode(err) != test.code || test.err != "" && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v; want code %d, %s", err, test.code, test.err)
			}
			for _, want := range test.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it prints no %q:\n%s", want, out.String())
				}
			}
		})
	}
}
