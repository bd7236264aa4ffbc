package inventory

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// crowd is a cluster with n volumes that are open on its node, and counts what it is asked.
func crowd(t *testing.T, n int, attached bool) (i *Inventory, calls map[string]int, storage *cephtest.Ceph) {
	t.Helper()
	var images []cephtest.Image
	objects := []client.Object{node("b1"), &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: driver}, Spec: storagev1.CSIDriverSpec{AttachRequired: &attached}}}
	for k := range n {
		name := fmt.Sprint("data-", k)
		volume := pv(name)
		volume.Spec.ClaimRef.UID = types.UID("uid-" + name)
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: volume.Spec.ClaimRef.UID}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: volume.Name}}
		user := pod("p-"+name, "e1", corev1.PodRunning)
		user.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = name
		attachment := attachment(volume.Name)
		attachment.Name = "csi-" + name
		objects = append(objects, volume, claim, user)
		if attached {
			objects = append(objects, attachment)
		}
		images = append(images, cephtest.Image{Name: "shop." + name, Layout: ceph.Layout{Size: 1}})
	}
	calls = map[string]int{}
	api := fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
			calls[fmt.Sprintf("get %T", into)]++
			return c.Get(ctx, key, into, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
			calls[fmt.Sprintf("list %T", into)]++
			return c.List(ctx, into, options...)
		},
	}).Build()
	storage = cephtest.New(cephtest.Pool{Name: "rbd", Images: images})
	cluster, err := storage.Dial(t.Context(), cephtest.Operator)
	if err != nil {
		t.Fatal(err)
	}
	for k := range n {
		storage.AddWatcher(ceph.ImageSpec{Pool: "rbd", Name: images[k].Name}, ceph.Watcher{Addr: fmt.Sprint("10.0.1.11:0/", k+1), Client: "client.4"})
	}
	return &Inventory{
		API:      api,
		Finder:   volumes.Finder{Cache: api, API: api, Scope: volumes.ScopeMigratable},
		Usage:    &usage.Gatherer{API: api},
		Storages: oneCeph{cluster},
	}, calls, storage
}

// The API server is asked as often about many volumes as about one, and Ceph as often about
// each.
func TestStatusAsksOnceForAllVolumes(t *testing.T) {
	for name, attached := range map[string]bool{"with attachments": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			count := func(n int) (map[string]int, int) {
				i, calls, storage := crowd(t, n, attached)
				all, err := i.Volumes(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				before := len(storage.Calls())
				rows := i.Status(t.Context(), all)
				if len(rows) != n {
					t.Fatalf("%d rows", len(rows))
				}
				for _, row := range rows {
					if row.Error != "" || len(row.Watchers) != 1 || row.Watchers[0].Foreign != "" {
						t.Errorf("row %+v", row)
					}
				}
				return calls, len(storage.Calls()) - before
			}
			one, each := count(1)
			many, all := count(60)
			if diff := cmp.Diff(one, many); diff != "" {
				t.Errorf("requests for one volume - and for many +:\n%s", diff)
			}
			if all > 60*each {
				t.Errorf("%d calls of Ceph for one volume, %d for 60", each, all)
			}
		})
	}
}

func TestFindAsksOnceForAllClaims(t *testing.T) {
	i, calls, _ := crowd(t, 60, true)
	var names []types.NamespacedName
	for k := range 60 {
		names = append(names, types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("data-", k)})
	}
	names = append(names, types.NamespacedName{Namespace: "bank", Name: "absent"})
	found, err := i.Find(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	for k, f := range found {
		if want := "shop." + names[k].Name; k < 60 && (f.Err != nil || f.PV.Name != want) {
			t.Errorf("%s: %+v", names[k], f)
		}
	}
	if found[60].Err == nil {
		t.Error("a claim that is not there is found")
	}
	want := map[string]int{"list *v1.PersistentVolumeList": 1, "list *v1.PersistentVolumeClaimList": 1, "get *v1.PersistentVolumeClaim": 1}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Claims that wait for their volume are planned with what was read once.
func TestFindPlansWithWhatWasReadOnce(t *testing.T) {
	i, calls, _ := crowd(t, 1, true)
	api := i.API.(client.Client)
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: "ceph-block", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}}, Provisioner: driver,
			Parameters: map[string]string{
				"clusterID": "rook-ceph", "pool": "rbd", "csi.storage.k8s.io/fstype": "ext4",
				"csi.storage.k8s.io/node-stage-secret-name": "n", "csi.storage.k8s.io/node-stage-secret-namespace": "rook-ceph",
				"csi.storage.k8s.io/provisioner-secret-name": "p", "csi.storage.k8s.io/provisioner-secret-namespace": "rook-ceph",
			},
		},
	}
	var names []types.NamespacedName
	for k := range 20 {
		claim := waiting(fmt.Sprint("waits-", k), nil)
		objects = append(objects, claim)
		names = append(names, client.ObjectKeyFromObject(claim))
	}
	for _, object := range objects {
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	found, err := i.Find(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	for k, f := range found {
		if f.Err != nil || f.PV.Name != "shop."+names[k].Name {
			t.Errorf("%s: %+v, %v", names[k], f.Volume, f.Err)
		}
	}
	for what, n := range calls {
		if n > 1 {
			t.Errorf("%s: %d times", what, n)
		}
	}
}
