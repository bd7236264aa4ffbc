package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// pairOf is a static volume of claim shop/data, and the claim with it.
func pairOf(image string, claim *corev1.PersistentVolumeClaim) []client.Object {
	claim = claim.DeepCopy()
	claim.UID, claim.Spec.VolumeName = "u-claim", "shop.data"
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "shop.data", UID: "u-pv"}, Spec: corev1.PersistentVolumeSpec{
		ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "data", UID: "u-claim"},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
			Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: image, VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "staticVolume": "true"},
		}},
	}}
	return []client.Object{claim, pv}
}

// dataClaim is shop/data as its manifest has it.
func dataClaim(class string, annotations map[string]string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", Annotations: annotations}}
	claim.Spec.StorageClassName = &class
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	return claim
}

func ourClass(name, from string) *storagev1.StorageClass {
	retain := corev1.PersistentVolumeReclaimRetain
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "cephferry.io/provisioner", ReclaimPolicy: &retain, Parameters: map[string]string{"cephferry.io/class": from}}
}

func withProvisionerSecret(class *storagev1.StorageClass) *storagev1.StorageClass {
	class.Parameters["csi.storage.k8s.io/provisioner-secret-name"] = "provisioner"
	class.Parameters["csi.storage.k8s.io/provisioner-secret-namespace"] = "rook-ceph"
	return class
}

// TestCompareCommand: what east has, and west has or would get.
func TestCompareCommand(t *testing.T) {
	byHand := dataClaim("", map[string]string{"cephferry.io/migratable": "true", "cephferry.io/class": "block"})
	byClass := dataClaim("migratable", map[string]string{"volume.kubernetes.io/storage-provisioner": "cephferry.io/provisioner", "pv.kubernetes.io/bind-completed": "yes"})
	block := withProvisionerSecret(blockClass("block", "rook-ceph"))
	shared := cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: 1}, ClaimSize: 1}}})
	other := cephtest.New(cephtest.Pool{Name: "rbd"})
	ordinary := withProvisionerSecret(blockClass("migratable", "rook-ceph"))

	for name, test := range map[string]struct {
		east, west []client.Object
		// eastCeph and westCeph are asked, if there are any.
		eastCeph, westCeph *cephtest.Ceph
		named              bool
		code               int
		want               string
	}{
		"west has never had it": {
			east: append(pairOf("shop.data", byHand), block), west: []client.Object{block},
			want: "same claim shop/data west has no PersistentVolume yet, and would make it of the same shop.data; the same Ceph by its monitors, pool rbd",
		},
		"west has it": {
			east: append(pairOf("shop.data", byHand), block), west: append(pairOf("shop.data", byHand), block),
			want: "same claim shop/data the same Ceph by its monitors, pool rbd",
		},
		"west has another": {
			east: append(pairOf("shop.data", byHand), block), west: append(pairOf("shop.other", byHand), block), code: exitRefused,
			want: "differs claim shop/data PersistentVolume shop.data of west leads to shop.other, and the data is in shop.data",
		},
		"by a class of ours": {
			east: append(pairOf("shop.data", byClass), block, ourClass("migratable", "block")), west: []client.Object{block, ourClass("migratable", "block")},
			want: "same claim shop/data west has no PersistentVolume yet, and would make it of the same shop.data",
		},
		"where the class of that name is ceph-csi's": {
			east: append(pairOf("shop.data", byClass), block, ourClass("migratable", "block")), west: []client.Object{block, ordinary}, code: exitRefused,
			want: "differs claim shop/data west: StorageClass migratable (rook-ceph.rbd.csi.ceph.com) would make a new, empty volume",
		},
		"where there is no such class": {
			east: append(pairOf("shop.data", byClass), block, ourClass("migratable", "block")), west: []client.Object{block}, code: exitRefused,
			want: "differs claim shop/data west: there is no StorageClass migratable, so the claim would wait for ever",
		},
		"where the annotation's class is not there": {
			east: append(pairOf("shop.data", byHand), block), west: []client.Object{withProvisionerSecret(blockClass("fast", "rook-ceph"))}, code: exitRefused,
			want: "differs claim shop/data west: the claim would wait for ever: metadata.annotations[cephferry.io/class]: Invalid value: \"block\"",
		},
		"where the pool of that name is another Ceph's": {
			east: append(pairOf("shop.data", byHand), block), west: []client.Object{block}, eastCeph: shared, westCeph: other, code: exitRefused,
			want: "differs claim shop/data west would make its PersistentVolume of another shop.data: fsid is ",
		},
		"where Ceph has it": {
			east: append(pairOf("shop.data", byHand), block), west: []client.Object{block}, eastCeph: shared, westCeph: shared,
			want: "same claim shop/data west has no PersistentVolume yet, and would make it of the same shop.data; fsid ",
		},
		"where ceph-csi's configuration has no such clusterID": {
			east: append(pairOf("shop.data", byHand), block), west: []client.Object{withProvisionerSecret(blockClass("block", "far"))}, code: exitUnknown,
			want: "unknown claim shop/data west: clusterID \"far\": no ceph-csi configuration",
		},
		"a volume that nobody guards": {
			east: dynamic(), west: []client.Object{block},
			want: "note claim shop/data its volume in east is not guarded",
		},
		"a volume that nobody guards, and that is named": {
			east: dynamic(), west: []client.Object{block}, named: true, code: exitRefused,
			want: "differs claim shop/data its volume in east is not guarded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			c := &compareOptions{options: &options{std: streams{stdout: &out, stderr: &out}}}
			var claims []claim
			if test.named {
				claims = []claim{{"shop", "data"}}
			}
			err := c.compare(t.Context(), compared(t, "east", test.eastCeph, test.east), compared(t, "west", test.westCeph, test.west), claims, "shop")
			if exitCode(err) != test.code {
				t.Errorf("%v; want code %d", err, test.code)
			}
			if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, test.want) {
				t.Errorf("%s\nis not in\n%s", test.want, got)
			}
		})
	}
}

// dynamic is shop/data with a volume of ceph-csi's.
func dynamic() []client.Object {
	objects := pairOf("0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002", dataClaim("block", nil))
	delete(objects[1].(*corev1.PersistentVolume).Spec.CSI.VolumeAttributes, "staticVolume")
	return objects
}

// compared is one end, with Ceph if it is asked.
func compared(t *testing.T, name string, storage *cephtest.Ceph, objects []client.Object) end {
	t.Helper()
	api := shows(t, interceptor.Funcs{}, objects...)
	e := end{name: name, uid: "u-" + name, api: api, finder: volumes.Finder{Cache: api, API: api, Scope: volumes.ScopeMigratable}}
	e.entry = func(_ context.Context, clusterID string) (csiconfig.Entry, error) {
		if clusterID != "rook-ceph" {
			return csiconfig.Entry{}, fmt.Errorf("clusterID %q: %w", clusterID, csiconfig.ErrNotFound)
		}
		return csiconfig.Entry{ClusterID: clusterID, Monitors: []string{"10.0.0.1:6789"}}, nil
	}
	if storage != nil {
		cluster, err := storage.Dial(t.Context(), cephtest.Observer)
		if err != nil {
			t.Fatal(err)
		}
		e.storages = leads{cluster}
	}
	return e
}

func TestCompareDocument(t *testing.T) {
	var out bytes.Buffer
	c := &compareOptions{options: &options{std: streams{stdout: &out}}, output: "yaml"}
	block := withProvisionerSecret(blockClass("block", "rook-ceph"))
	if err := c.compare(t.Context(), compared(t, "east", nil, []client.Object{block}), compared(t, "west", nil, []client.Object{block}), nil, "shop"); err != nil {
		t.Fatal(err)
	}
	want := "findings:\n- detail: the same Ceph by its monitors, pool rbd\n  verdict: same\n  what: StorageClass block\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}
