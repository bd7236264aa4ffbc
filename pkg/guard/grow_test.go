package guard_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
)

// TestGrowing: what could not grow while it was mapped exclusively grows before the
// next pod starts. A pod that is allowed to start does so whatever becomes of that.
func TestGrowing(t *testing.T) {
	const waits = "volume shop/data (image replicapool/shop.data) has 1Mi, and should grow to 3Mi once nobody uses it"
	const free, own = guard.NoWatcher, guard.OwnWatchers
	start := withUID(t, "f8", "data")
	type outcome struct {
		Answer    answer
		MiB, Wish uint64
	}
	for name, test := range map[string]struct {
		endpoint string
		request  admission.Request
		wish     uint64
		user     cephtest.User
		prepare  func(*world)
		want     outcome
	}{
		"no wish":          {request: start, want: outcome{allowed(free), 1, 0}},
		"a wish":           {request: start, wish: 3, want: outcome{allowed(free), 3, 0}},
		"the image's size": {request: start, wish: 1, want: outcome{allowed(free), 1, 0}},
		"a dry run":        {request: dryRun(start), wish: 3, want: outcome{allowed(free), 1, 3}},
		"somebody asks":    {endpoint: "scale", request: scaled(t, deploymentKind, "deployments", 0, 1), wish: 3, want: outcome{allowed(free), 1, 3}},
		"a pod of ours":    {request: start, wish: 3, prepare: func(w *world) { w.watch("shop.data", "10.0.2.11:0/1") }, want: outcome{allowed(own, waits), 1, 3}},
		"a pod of others":  {request: start, wish: 3, prepare: func(w *world) { w.watch("shop.data", foreign) }, want: outcome{denied(inUse("data", "shop.data")), 1, 3}},
		"somebody's lock":  {request: start, wish: 3, prepare: func(w *world) { w.ceph.LockImage(ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"}) }, want: outcome{allowed(free, waits), 1, 3}},
		"a full pool": {request: start, wish: 3, prepare: func(w *world) {
			w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == "GrowImage" {
					return ceph.ErrPoolFull
				}
				return proceed()
			})
		}, want: outcome{allowed(free, waits+`; that failed, and is tried again at the next start: grow image "replicapool/shop.data": `+ceph.ErrPoolFull.Error()), 1, 3}},
		"a user who cannot": {request: start, wish: 3, user: cephtest.Operator, want: outcome{allowed(free, waits+", which the webhook's Ceph user may not do; the provisioner does it, or the renderer when it is run again"), 1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, append(pair("data"), attachment("shop.data", "west-1"), deployment("data"))...)
			w.write("shop.data", func(r *ceph.Record) { r.GrowTo, r.Exclusive = test.wish<<20, true })
			if test.prepare != nil {
				test.prepare(w)
			}
			may, err := w.ceph.Dial(t.Context(), test.user)
			if err != nil {
				t.Fatal(err)
			}
			at := w.clusters["rook-ceph"]
			at.Ceph = may
			w.clusters["rook-ceph"] = at
			if test.endpoint == "" {
				test.endpoint = "pod"
			}
			got := outcome{Answer: w.ask(test.endpoint, test.request)}
			got.MiB, got.Wish = w.image("shop.data").Size>>20, w.record("shop.data").GrowTo>>20
			same(t, test.want, got)
		})
	}
}

// TestGrowingLate: nobody waits for an image that takes its time.
func TestGrowingLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []string{"shop.data"}, pair("data")...)
		w.write("shop.data", func(r *ceph.Record) { r.GrowTo = 3 << 20 })
		w.ceph.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
			if call.Method == "GrowImage" {
				<-ctx.Done()
				return ctx.Err()
			}
			return proceed()
		})
		begin := time.Now()
		got := w.ask("pod", withUID(t, "f8", "data"))
		same(t, http.StatusOK, int(got.Code))
		same(t, 1, len(got.Warnings))
		same(t, time.Second, time.Since(begin))
		w.ceph.Intercept(nil)
		same(t, 3<<20, w.record("shop.data").GrowTo)
	})
}

// TestAcquiringAnExclusiveVolume: a record that begins at the gate has the volume's
// mode.
func TestAcquiringAnExclusiveVolume(t *testing.T) {
	for options, want := range map[string]bool{"": false, "krbd:exclusive": true} {
		mapped := func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["mapOptions"] = options }
		w := newWorld(t, []string{"shop.data"}, pair("data", mapped)...)
		same(t, allowed(guard.NoWatcher), w.ask("pod", withUID(t, "f8", "data")))
		same(t, want, w.record("shop.data").Exclusive)
	}
}
