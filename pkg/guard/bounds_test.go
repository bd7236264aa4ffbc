package guard_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
)

// What one request may cost: of a workload 32 claims are looked at, of a pod 256. Each of them
// takes three calls of Ceph, and of the API server two for claim and volume, also for one that
// may be on its way, and one for its driver if a stranger watches the image. What other clusters tell
// is read of the first four volumes, in two calls of Ceph each.
const (
	ahead, ofPod = 32, 256
	perVolume    = 3
	told         = 4 * 2
	perClaim     = 2
	perRefusal   = 1
	workload     = 1
)

// TestRequestsCostLittle: however absurd an object is, a request about it makes no more
// calls than a large one does.
func TestRequestsCostLittle(t *testing.T) {
	names := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("c-%03d", i))
		}
		return all
	}
	templates := func(n int) *appsv1.StatefulSet {
		s := statefulSet(0)
		s.Spec.VolumeClaimTemplates = nil
		for i := range n {
			s.Spec.VolumeClaimTemplates = append(s.Spec.VolumeClaimTemplates,
				corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("t-", i)}})
		}
		return s
	}
	const most = 1<<31 - 1
	sets := func(to int) admission.Request { return scaled(t, statefulSetKind, "statefulsets", 0, to) }
	createSet := func(s *appsv1.StatefulSet, replicas int32) admission.Request {
		s.Spec.Replicas = &replicas
		return review(t, admissionv1.Create, statefulSetKind, "statefulsets", s, nil)
	}
	tests := map[string]struct {
		target   client.Object
		endpoint string
		request  admission.Request
		// claims are bound to volumes. Another cluster has all of them open if they are used,
		// and is their owner if they are owned.
		claims      []string
		used, owned bool
		result      guard.Result
		reason      guard.Reason
		// api and ceph are how many calls there may be at most.
		api, ceph int
	}{
		"a StatefulSet rises by two thousand million ordinals": {
			target: statefulSet(0), endpoint: "scale", request: sets(most),
			result: guard.Allowed, reason: guard.NothingGuarded, api: workload + ahead*perClaim,
		},
		"a StatefulSet of ten templates rises by a thousand ordinals": {
			target: templates(10), endpoint: "scale", request: sets(1000),
			result: guard.Allowed, reason: guard.NothingGuarded, api: workload + ahead*perClaim,
		},
		"a StatefulSet of a thousand templates rises by one ordinal": {
			target: templates(1000), endpoint: "scale", request: sets(1),
			result: guard.Allowed, reason: guard.NothingGuarded, api: workload + ahead*perClaim,
		},
		"a StatefulSet of a thousand templates is created with the most replicas": {
			endpoint: "scale", request: createSet(templates(1000), most),
			result: guard.Allowed, reason: guard.NothingGuarded, api: workload + ahead*perClaim,
		},
		"a StatefulSet without templates rises to the most": {
			target: templates(0), endpoint: "scale", request: sets(most),
			result: guard.Allowed, reason: guard.NothingGuarded, api: 1,
		},
		"a Deployment of 300 volumes that another cluster has": {
			target: deployment(names(300)...), endpoint: "scale", request: scaled(t, deploymentKind, "deployments", 0, most), claims: names(300), used: true,
			result: guard.Denied, reason: guard.ForeignWatchers, api: workload + ahead*perRefusal, ceph: ahead * perVolume,
		},
		"a Deployment of 300 volumes that another cluster has is created": {
			endpoint: "scale", request: review(t, admissionv1.Create, deploymentKind, "deployments", deployment(names(300)...), nil), claims: names(300), used: true,
			result: guard.Allowed, reason: guard.PodsWait, api: workload + ahead*perRefusal, ceph: ahead * perVolume,
		},
		"a Deployment of 1000 claims without volumes": {
			target: deployment(names(1000)...), endpoint: "scale", request: scaled(t, deploymentKind, "deployments", 0, 1),
			result: guard.Allowed, reason: guard.NothingGuarded, api: workload + ahead*perClaim,
		},
		"a pod of as many volumes as it may have": {
			endpoint: "pod", request: createPod(t, pod("db-0", names(ofPod)...)), claims: names(ofPod),
			result: guard.Allowed, reason: guard.NoWatcher, api: ofPod * perClaim, ceph: ofPod * (perVolume + 1), // and the new record
		},
		"a pod of as many volumes as it may have, which another cluster has": {
			endpoint: "pod", request: createPod(t, pod("db-0", names(ofPod)...)), claims: names(ofPod), used: true,
			result: guard.Denied, reason: guard.ForeignWatchers, api: ofPod * (perClaim + perRefusal), ceph: ofPod * perVolume,
		},
		"a pod of as many volumes as it may have, which another cluster has and owns": {
			endpoint: "pod", request: createPod(t, pod("db-0", names(ofPod)...)), claims: names(ofPod), used: true, owned: true,
			result: guard.Denied, reason: guard.ForeignWatchers, api: ofPod * perClaim, ceph: ofPod*perVolume + told,
		},
		"a pod of as many claims as it may have, without volumes": {
			endpoint: "pod", request: createPod(t, pod("db-0", names(ofPod)...)),
			result: guard.Allowed, reason: guard.NothingGuarded, api: ofPod * perClaim,
		},
		"a pod with one claim too many": {
			endpoint: "pod", request: createPod(t, pod("db-0", names(ofPod+1)...)), claims: names(ofPod + 1),
			result: guard.Denied, reason: guard.TooManyClaims,
		},
		"a pod of 10,000 claims": {
			endpoint: "pod", request: createPod(t, pod("db-0", names(10_000)...)), claims: names(1),
			result: guard.Denied, reason: guard.TooManyClaims,
		},
		"a pod of 10,000 claims is bound": {
			target: pod("db-0", names(10_000)...), endpoint: "binding", request: bound(t, "db-0", "west-1"), claims: names(1),
			result: guard.Denied, reason: guard.TooManyClaims, api: 1,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var images []string
			var objects []client.Object
			for _, claim := range test.claims {
				images, objects = append(images, "shop."+claim), append(objects, pair(claim)...)
			}
			if test.target != nil {
				objects = append(objects, test.target)
			}
			w := newWorld(t, images, objects...)
			w.limit = time.Minute // calls are counted, and the race detector is slow
			for _, image := range images {
				if test.used {
					w.watch(image, foreign)
				}
				if test.owned {
					w.write(image, owned(east))
				}
			}
			before := len(w.ceph.Calls())
			w.ask(test.endpoint, test.request)
			if got, want := w.counted(), fmt.Sprint(test.endpoint, " ", test.result, " ", test.reason); got[want] != 1 {
				t.Errorf("answers %v, want %s", got, want)
			}
			if n := len(w.api.calls); n > test.api {
				t.Errorf("%d calls of the API server, want %d at most", n, test.api)
			}
			if n := len(w.ceph.Calls()) - before; n > test.ceph {
				t.Errorf("%d calls of Ceph, want %d at most", n, test.ceph)
			}
		})
	}
}

// TestWhatIsNotLookedAtIsSaid: who raises a workload far knows of how much the answer
// is, if any of it is guarded.
func TestWhatIsNotLookedAtIsSaid(t *testing.T) {
	const more = "the volumes of the first 32 claims may be used here; those of 8 more are checked when their pods are created"
	tests := map[string]struct {
		pair  string
		watch bool
		to    int
		want  answer
	}{
		"the last that is looked at is free":      {"data-db-31", false, 40, allowed(guard.NoWatcher, more)},
		"the last that is looked at is in use":    {"data-db-31", true, 40, denied(inUse("data-db-31", "shop.data-db-31"))},
		"the first that is not looked at":         {"data-db-32", true, 40, allowed(guard.NothingGuarded)},
		"all are looked at, and the last is free": {"data-db-31", false, 32, allowed(guard.NoWatcher)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop." + test.pair}, append(pair(test.pair), statefulSet(0))...)
			if test.watch {
				w.watch("shop."+test.pair, foreign)
			}
			same(t, test.want, w.ask("scale", scaled(t, statefulSetKind, "statefulsets", 0, test.to)))
		})
	}
}

func TestTooManyClaimsText(t *testing.T) {
	w := newWorld(t, nil)
	same(t, denied("the pod has 257 claims, and at most 256 volumes of a pod are checked\n"+
		"  do this   spread the volumes over several pods; nothing was changed"), w.ask("pod", createPod(t, pod("db-0", make([]string, 257)...))))
}

// TestFree is what the waker asks several times a second for as long as a workload waits, so
// it costs a look at one volume, and of the API server nothing but the attachments of its
// own cluster.
func TestFree(t *testing.T) {
	const explained = "10.0.2.11:0/1"
	tests := map[string]struct {
		change    func(*world)
		want      bool
		api, ceph int
	}{
		"both are free":                          {func(*world) {}, true, 0, 2 * perVolume},
		"this cluster uses the second one":       {func(w *world) { w.watch("shop.own", explained) }, true, 1, 2 * perVolume},
		"another cluster has the first one open": {func(w *world) { w.watch("shop.data", foreign) }, false, 0, perVolume},
		"another cluster owns the first one":     {func(w *world) { w.write("shop.data", owned(east)) }, false, 0, perVolume},
		"another cluster owns the first one and has it open": {func(w *world) {
			w.write("shop.data", owned(east))
			w.watch("shop.data", foreign)
		}, false, 0, perVolume},
		"this cluster owns the first one":  {func(w *world) { w.write("shop.data", owned(west)) }, true, 0, 2 * perVolume},
		"the first one is being taken":     {func(w *world) { w.write("shop.data", owned(west)); w.write("shop.data", fencedBy(east, "ann")) }, false, 0, perVolume},
		"the second one is open elsewhere": {func(w *world) { w.watch("shop.own", foreign) }, false, 1, 2 * perVolume},
		"Ceph does not answer":             {func(w *world) { w.ceph.Intercept(cephtest.Unreachable) }, false, 0, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data", "shop.own"}, slices.Concat(pair("data"), pair("own"), []client.Object{attachment("shop.own", "west-1")})...)
			found, err := w.endpoints.Finder.OfClaims(t.Context(), namespace, []string{"data", "own"})
			if err != nil {
				t.Fatal(err)
			}
			test.change(w)
			before := len(w.ceph.Calls())
			same(t, test.want, w.endpoints.Free(t.Context(), found.Guarded))
			same(t, test.api, len(w.api.calls))
			same(t, test.ceph, len(w.ceph.Calls())-before)
		})
	}
}
