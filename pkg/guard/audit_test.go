package guard_test

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// TestAudit: the audit log says of each answer what it rests on, also when nothing is refused.
func TestAudit(t *testing.T) {
	const data = "volume shop/data (image replicapool/shop.data)"
	for name, test := range map[string]struct {
		change func(*world)
		claims []string
		want   map[string]string
	}{
		"a pod acquires a new image": {
			claims: []string{"data"},
			want:   map[string]string{"result": "allowed", "reason": "no-watcher", "volume": data, "owner": "nobody", "record": "none", "acquired": "1"},
		},
		"a pod of the owner": {
			change: func(w *world) { w.write("shop.data", owned(west)) },
			claims: []string{"data"},
			want:   map[string]string{"result": "allowed", "reason": "no-watcher", "volume": data, "owner": "west (u-west)", "record": "held, epoch 0, revision 4"},
		},
		"another cluster's image": {
			change: func(w *world) { w.write("shop.data", owned(east)) },
			claims: []string{"data"},
			want:   map[string]string{"result": "denied", "reason": "owned-elsewhere", "volume": data, "owner": "east (u-east)", "record": "held, epoch 0, revision 4"},
		},
		"two volumes, one of which is another cluster's": {
			change: func(w *world) { w.write("shop.data", owned(east)) },
			claims: []string{"data", "used"},
			want: map[string]string{"result": "denied", "reason": "owned-elsewhere", "volume": data + "\nvolume shop/used (image replicapool/shop.used)",
				"owner": "east (u-east)\nnobody", "record": "held, epoch 0, revision 4\nnone"},
		},
		"Ceph does not answer": {
			change: func(w *world) { w.ceph.Intercept(cephtest.Unreachable) },
			claims: []string{"data"},
			want:   map[string]string{"result": "unknown", "reason": "ceph-unknown", "volume": data, "owner": "unknown", "record": "unknown"},
		},
		"a pod without a guarded volume": {
			want: map[string]string{"result": "allowed", "reason": "nothing-guarded"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data", "shop.used"}, append(pair("data"), pair("used")...)...)
			if test.change != nil {
				test.change(w)
			}
			same(t, test.want, w.handler("pod").Handle(t.Context(), createPod(t, pod("db-0", test.claims...))).AuditAnnotations)
		})
	}
}

// TestAuditIsBounded: a pod with many claims does not fill the audit log.
func TestAuditIsBounded(t *testing.T) {
	var claims []string
	var objects []client.Object
	for i := range 20 {
		claims = append(claims, fmt.Sprintf("data-%02d", i))
		objects = append(objects, pair(claims[i])...)
	}
	w := newWorld(t, nil, objects...)
	got := w.handler("pod").Handle(t.Context(), createPod(t, pod("db-0", claims...))).AuditAnnotations
	if lines := strings.Split(got["volume"], "\n"); len(lines) != 9 || lines[8] != "and 12 more" {
		t.Errorf("got %q", lines)
	}
	same(t, 8, strings.Count(got["owner"], "unknown"))
}

// TestHelp: a refusal ends with the address of its section, in the answer and in the event, and the
// log does not repeat it.
func TestHelp(t *testing.T) {
	const document = "https://example.com/troubleshooting.md"
	for name, test := range map[string]struct {
		change  func(*world)
		request func(*testing.T) admission.Request
		want    string
	}{
		"a foreign watcher": {
			change: func(w *world) { w.watch("shop.data", foreign) },
			want:   "\n" + inUse("data", "shop.data") + "\n  see       " + document + "#foreign-watchers",
		},
		"another cluster's image": {
			change: func(w *world) { w.write("shop.data", owned(east)) },
			want: "\nvolume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by         cluster east, claim shop/data, since 2026-11-22 12:00 UTC\n" +
				"  if it lives     scale the workload of claim shop/data down in east, then retry here; nothing was changed\n" +
				"  if it is dead   kubectl cephferry failover shop/data\n" +
				"  see             " + document + "#owned-elsewhere",
		},
		"a review that cannot be read": {
			request: func(*testing.T) admission.Request { return admission.Request{} },
			want:    "\nread the admission review: there is no content to decode\n  see       " + document + "#malformed",
		},
		"a pod that is allowed": {want: "no-watcher"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, pair("data")...)
			request := createPod(t, pod("db-0", "data"))
			if test.change != nil {
				test.change(w)
			}
			if test.request != nil {
				request = test.request(t)
			}
			h := w.handler("pod")
			h.Help = document
			got := h.Handle(t.Context(), request)
			same(t, test.want, got.Result.Message)
			for _, event := range w.events {
				same(t, "Pod shop/db-0: "+strings.TrimPrefix(test.want, "\n"), event)
			}
			for _, line := range w.logs {
				if strings.Contains(line, document) {
					t.Errorf("the log says %s", line)
				}
			}
		})
	}
}

// TestTaken: who hears of acquired images hears once of those that became this cluster's.
func TestTaken(t *testing.T) {
	w := newWorld(t, []string{"shop.data", "shop.used"}, append(pair("data"), pair("used")...)...)
	w.write("shop.used", owned(west))
	var taken []string
	w.endpoints.Taken = func(v volumes.Volume) { taken = append(taken, v.Claim) }
	for range 2 {
		w.ask("pod", createPod(t, pod("db-0", "data", "used")))
	}
	same(t, []string{"data"}, taken)
}

// TestEqualRefusalsAreOneLine: a controller that asks on does not fill the log.
func TestEqualRefusalsAreOneLine(t *testing.T) {
	w := newWorld(t, []string{"shop.data"}, pair("data")...)
	w.write("shop.data", owned(east, ceph.Node{Name: "e1"}))
	h := w.handler("pod")
	for range 50 {
		h.Handle(t.Context(), createPod(t, pod("db-0", "data")))
	}
	same(t, 1, len(w.logs))
	same(t, 50, w.counted()["pod denied "+string(guard.OwnedElsewhere)])
}
