package guard_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
)

// TestCreated creates Deployment shop/db: it is stored whatever is known of its volumes.
func TestCreated(t *testing.T) {
	e1 := ceph.Node{Name: "e1", Addresses: []string{"10.0.1.12"}}
	e2 := ceph.Node{Name: "e2", Addresses: []string{"10.0.1.13"}}
	const waits = "the pods of Deployment shop/db wait: volume shop/"
	tests := map[string]struct {
		claims []string
		change func(*world)
		want   answer
	}{
		"another cluster is the owner": {
			claims: []string{"a"},
			change: func(w *world) {
				w.write("shop.a", owned(east, e1, e2))
				w.watch("shop.a", foreign)
			},
			want: allowed(guard.PodsWait, waits+"a (image replicapool/shop.a) is in use by another cluster, "+
				"held by cluster east, node e1 (10.0.1.12, client.4153), claim shop/data, since 2026-11-22 12:00 UTC"),
		},
		"somebody takes it from its owner": {
			claims: []string{"a"},
			change: func(w *world) {
				w.write("shop.a", owned(east, e1))
				w.write("shop.a", fencedBy(west, "ann"))
			},
			want: allowed(guard.PodsWait, waits+"a (image replicapool/shop.a) is being taken from cluster east, "+
				"held by cluster east, node e1 (10.0.1.12), claim shop/data, since 2026-11-22 12:00 UTC"),
		},
		"of several volumes two are in use, and one is on CephFS": {
			claims: []string{"a", "b", "c", "shared"},
			change: func(w *world) {
				w.watch("shop.a", foreign)
				w.watch("shop.c", foreign)
			},
			want: allowed(guard.PodsWait,
				waits+"a (image replicapool/shop.a) is in use by another cluster, held by 10.0.1.12 (client.4153), not a node of west",
				waits+"c (image replicapool/shop.c) is in use by another cluster, held by 10.0.1.12 (client.4153), not a node of west",
				"volume shop/shared is on CephFS, which several clusters may use at once; it is not guarded"),
		},
		"six volumes are in use": {
			claims: []string{"a", "b", "c", "d", "e", "f"},
			change: func(w *world) {
				for _, claim := range []string{"a", "b", "c", "d", "e", "f"} {
					w.write("shop."+claim, owned(east))
				}
			},
			want: allowed(guard.PodsWait,
				waits+"a (image replicapool/shop.a) is in use by another cluster, held by cluster east, claim shop/data, since 2026-11-22 12:00 UTC",
				waits+"b (image replicapool/shop.b) is in use by another cluster, held by cluster east, claim shop/data, since 2026-11-22 12:00 UTC",
				waits+"c (image replicapool/shop.c) is in use by another cluster, held by cluster east, claim shop/data, since 2026-11-22 12:00 UTC",
				waits+"d (image replicapool/shop.d) is in use by another cluster, held by cluster east, claim shop/data, since 2026-11-22 12:00 UTC",
				"the pods of Deployment shop/db wait for 2 more volumes"),
		},
		"Ceph does not answer": {
			claims: []string{"a"},
			change: func(w *world) { w.ceph.Intercept(cephtest.Unreachable) },
			want: allowed(guard.CephUnknown, "the pods of Deployment shop/db wait: cannot know whether volume shop/a (image replicapool/shop.a) "+
				"is in use by another cluster: look at image \"replicapool/shop.a\": "+ceph.ErrUnreachable.Error()),
		},
		"the API server does not answer": {
			claims: []string{"gone"},
			change: func(w *world) {
				w.api.fail = map[string]error{"get *v1.PersistentVolumeClaim gone": errors.New("timed out")}
			},
			want: allowed(guard.KubernetesUnknown, "the pods of Deployment shop/db wait: cannot know whether a volume of namespace shop "+
				"is in use by another cluster: read PersistentVolumeClaim shop/gone: timed out"),
		},
		"nobody has the volume": {
			claims: []string{"a"},
			change: func(*world) {},
			want:   allowed(guard.NoWatcher),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			objects := pair("shared", cephFS)
			var images []string
			for _, claim := range []string{"a", "b", "c", "d", "e", "f"} {
				objects, images = slices.Concat(objects, pair(claim)), append(images, "shop."+claim)
			}
			w := newWorld(t, images, objects...)
			test.change(w)
			request := review(t, admissionv1.Create, deploymentKind, "deployments", deployment(test.claims...), nil)
			got := w.ask("scale", request)
			same(t, test.want, got)
			same(t, got, w.ask("scale", dryRun(request)))
			for _, warning := range got.Warnings {
				if strings.ContainsFunc(warning, unicode.IsControl) {
					t.Errorf("the API server would drop %q", warning)
				}
			}
			// The pods tell, as soon as there are any.
			same(t, nil, w.events)
			same(t, nil, w.logs)
		})
	}
}

// TestCreatedStartsNothing: what was stored with a warning has its pods refused, and is
// remembered until its volumes are free.
func TestCreatedStartsNothing(t *testing.T) {
	tests := map[string]struct {
		change func(*world)
		reason guard.Reason
	}{
		"another cluster has the volume": {func(w *world) { w.watch("shop.data", foreign) }, guard.PodsWait},
		"Ceph does not answer": {
			func(w *world) { w.ceph.Intercept(cephtest.Unreachable) }, guard.CephUnknown,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, pair("data")...)
			test.change(w)
			remembered := &waiting{}
			ask := func(endpoint string, request admission.Request) bool {
				handler := w.handler(endpoint)
				handler.Waiting = remembered
				return handler.Handle(t.Context(), request).Allowed
			}
			if !ask("scale", review(t, admissionv1.Create, deploymentKind, "deployments", deployment("data"), nil)) {
				t.Error("the Deployment is refused")
			}
			same(t, nil, remembered.refused)
			same(t, 1, w.counted()["scale allowed "+string(test.reason)])
			if ask("pod", createPod(t, pod("db-0", "data"))) {
				t.Error("its pod is admitted")
			}
			same(t, []string{"db-0 data"}, remembered.refused)
		})
	}
}
