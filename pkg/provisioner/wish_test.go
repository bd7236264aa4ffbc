package provisioner

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// TestGrowingByRecord: the renderer could not make the image larger while it was
// mapped exclusively, and left word in its record.
func TestGrowingByRecord(t *testing.T) {
	exclusive := func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["mapOptions"] = "exclusive" }
	elsewhere := func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["pool"] = "ssd" }
	const waits = "image shop.data is mapped exclusively and cannot grow now; it grows to 4Mi when nobody uses it, and the filesystem with it: scale the workload to zero and up again"
	type outcome struct {
		MiB, Wish  uint64
		Conditions []string
		Events     []string
		After      time.Duration
	}
	for name, test := range map[string]struct {
		wish    uint64
		volume  []func(*corev1.PersistentVolume)
		watcher bool
		connect error
		want    outcome
	}{
		"a wish":                        {wish: 4, volume: []func(*corev1.PersistentVolume){byRenderer, exclusive}, want: outcome{4, 0, nil, []string{"Normal Resized: grew image replicapool/north/shop.data to 4Mi"}, retryWish}},
		"a wish, and somebody uses it":  {wish: 4, volume: []func(*corev1.PersistentVolume){exclusive}, watcher: true, want: outcome{2, 4, []string{"FileSystemResizePending: " + waits}, []string{"Normal FileSystemResizeRequired: " + waits}, retryInvalid}},
		"no wish":                       {volume: []func(*corev1.PersistentVolume){exclusive}, want: outcome{MiB: 2, After: retryWish}},
		"not exclusive":                 {wish: 4, want: outcome{MiB: 2, Wish: 4}},
		"another claim's":               {wish: 4, volume: []func(*corev1.PersistentVolume){exclusive, forClaim("bank", "data", "2")}, want: outcome{MiB: 2, Wish: 4}},
		"its predecessor's":             {wish: 4, volume: []func(*corev1.PersistentVolume){exclusive, forClaim("shop", "data", "0")}, want: outcome{MiB: 2, Wish: 4}},
		"a pool of no class":            {wish: 4, volume: []func(*corev1.PersistentVolume){exclusive, elsewhere}, want: outcome{MiB: 2, Wish: 4, After: retryWish}},
		"a secret that may not be read": {wish: 4, volume: []func(*corev1.PersistentVolume){exclusive}, connect: errors.New("forbidden"), want: outcome{MiB: 2, Wish: 4, After: retryWish}},
	} {
		t.Run(name, func(t *testing.T) {
			claim := edit(pvc(), func(c *corev1.PersistentVolumeClaim) {
				c.Spec.VolumeName, c.Status.Phase = "shop.data", corev1.ClaimBound
			})
			w := newWorld(t, grownImage(2, 1), claim, ptr(volume(test.volume...)))
			admin, err := w.ceph.Dial(t.Context(), cephtest.Provisioner)
			if err != nil {
				t.Fatal(err)
			}
			image, err := admin.Image(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ownership.Change(t.Context(), admin, image, func(stored ceph.Record) (ceph.Record, error) {
				stored.GrowTo, stored.Exclusive = test.wish*mib, true
				return stored, nil
			}); err != nil {
				t.Fatal(err)
			}
			if test.watcher {
				w.ceph.AddWatcher(spec, ceph.Watcher{Addr: "10.0.1.12:0/1", Client: "client.1"})
			}
			w.connect = test.connect
			for range 2 { // what was said is not said again
				result, err := w.reconcile("data")
				if err != nil {
					t.Fatal(err)
				}
				record, err := ownership.Read(t.Context(), admin, image)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "outcome", test.want, outcome{w.ceph.ImageLayout(spec).Size / mib, record.GrowTo / mib, w.conditions("data"), w.events, result.RequeueAfter})
			}
		})
	}
}
