package guard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// calls are the methods that Ceph was asked with.
func (w *world) calls() []string {
	var methods []string
	for _, call := range w.ceph.Calls() {
		methods = append(methods, call.Method)
	}
	return methods
}

func (w *world) image(name string) ceph.Image {
	w.t.Helper()
	image, err := w.client.Image(w.t.Context(), ceph.ImageSpec{Pool: "replicapool", Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return image
}

// record is the image's; its token and revision are nobody's business here.
func (w *world) record(name string) ceph.Record {
	w.t.Helper()
	record, err := ownership.Read(w.t.Context(), w.client, w.image(name))
	if err != nil {
		w.t.Fatal(err)
	}
	record.Token, record.Revision = "", 0
	return record
}

// write makes the image's record that of change.
func (w *world) write(name string, change func(*ceph.Record)) {
	w.t.Helper()
	_, err := ownership.Change(w.t.Context(), w.client, w.image(name), func(stored ceph.Record) (ceph.Record, error) {
		change(&stored)
		return stored, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// owned is a record of an image that a cluster has for claim shop/data, on a node.
func owned(by ceph.Party, nodes ...ceph.Node) func(*ceph.Record) {
	return func(r *ceph.Record) {
		r.State = ceph.Held
		r.Owner = &ceph.Owner{Party: by, Namespace: "shop", Claim: "data", Since: noon, Nodes: nodes}
	}
}

func fencedBy(by ceph.Party, person string) func(*ceph.Record) {
	return func(r *ceph.Record) {
		r.State = ceph.Fencing
		r.Takeover = &ceph.Takeover{Party: by, By: person, Since: noon.Add(time.Hour)}
	}
}

func sized(size string) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) {
		pv.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
	}
}

// withUID is the review of a pod as the API server sends it: the pod has its UID.
func withUID(t *testing.T, uid types.UID, claims ...string) admission.Request {
	t.Helper()
	object := pod("db-0", claims...)
	object.UID = uid
	return createPod(t, object)
}

func TestPodAcquires(t *testing.T) {
	change := ceph.Change{At: noon, Event: ceph.Acquired, Party: west}
	first := ceph.Record{
		ClaimSize: 1 << 30, State: ceph.Held, Epoch: 1, Admissions: 1, Pending: []string{"p1"}, Unbound: []string{"p1"},
		Owner:   &ceph.Owner{Party: west, Namespace: "shop", Claim: "data", Since: noon},
		History: []ceph.Change{change},
	}
	w := newWorld(t, []string{"shop.data"}, append(pair("data", sized("1Gi")), deployment("data"))...)

	same(t, allowed(guard.NoWatcher), w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1)))
	same(t, ceph.Record{}, w.record("shop.data"))
	same(t, allowed(guard.NoWatcher), w.ask("pod", dryRun(withUID(t, "p0", "data"))))
	same(t, ceph.Record{}, w.record("shop.data"))

	same(t, allowed(guard.NoWatcher), w.ask("pod", withUID(t, "p1", "data")))
	same(t, first, w.record("shop.data"))
	same(t, map[string]int{"acquire": 1}, w.ownerChanges())

	// Its own restarts write, too.
	same(t, allowed(guard.NoWatcher), w.ask("pod", withUID(t, "p2", "data")))
	second := first
	second.Admissions, second.Pending, second.Unbound = 2, []string{"p1", "p2"}, []string{"p1", "p2"}
	same(t, second, w.record("shop.data"))
	same(t, map[string]int{"acquire": 1}, w.ownerChanges())
}

// A pod that was admitted before its claim had a volume is stored already.
func TestVolumeAcquiresForPodsThatWait(t *testing.T) {
	w := newWorld(t, []string{"shop.data"}, pod("db-0", "data"))
	same(t, allowed(guard.NoWatcher), w.ask("volume", dryRun(createVolume(t, volume("data")))))
	same(t, ceph.Record{}, w.record("shop.data"))
	same(t, allowed(guard.NoWatcher), w.ask("volume", createVolume(t, volume("data"))))
	got := w.record("shop.data")
	if !ownership.Owns(got, west) || got.Pending != nil {
		t.Errorf("got %+v", got)
	}
}

func TestVolumeThatNobodyWaitsForIsNotAcquired(t *testing.T) {
	w := newWorld(t, []string{"shop.data"})
	same(t, allowed(guard.NobodyWaits), w.ask("volume", createVolume(t, volume("data"))))
	same(t, ceph.Record{}, w.record("shop.data"))
}

func TestRefusalByOwner(t *testing.T) {
	const (
		inUse  = "volume shop/data (image replicapool/shop.data) is in use by another cluster\n"
		advice = "\n  if it lives     scale the workload of claim shop/data down in east, then retry here; nothing was changed" +
			"\n  if it is dead   kubectl cephferry failover shop/data"
		since = ", claim shop/data, since 2026-11-22 12:00 UTC"
	)
	e1 := ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11", "10.0.1.12"}}
	e2 := ceph.Node{Name: "e2", Addresses: []string{"10.0.1.22"}}
	tests := map[string]struct {
		record   func(*ceph.Record)
		watchers []string
		want     string
	}{
		"admitted, on no node yet": {owned(east), nil,
			inUse + "  held by         cluster east" + since + advice},
		"attached": {owned(east, e1), nil,
			inUse + "  held by         cluster east, node e1 (10.0.1.11)" + since + advice},
		"on a node without address": {owned(east, ceph.Node{Name: "e1"}), nil,
			inUse + "  held by         cluster east, node e1" + since + advice},
		"open": {owned(east, e1), []string{"10.0.1.12:0/9"},
			inUse + "  held by         cluster east, node e1 (10.0.1.12, client.4153)" + since + advice},
		"open on one of two nodes": {owned(east, e1, e2), []string{"10.0.1.12:0/9"},
			inUse + "  held by         cluster east, node e1 (10.0.1.12, client.4153)" + since +
				"\n  held by         cluster east, node e2 (10.0.1.22)" + since + advice},
		"open by somebody else too": {owned(east, e1), []string{"10.0.3.1:0/9"},
			inUse + "  held by         cluster east, node e1 (10.0.1.11)" + since +
				"\n  held by         10.0.3.1 (client.4153), not a node of west" + advice},
		"open before its node is known": {owned(east), []string{"10.0.1.12:0/9"},
			inUse + "  held by         cluster east" + since +
				"\n  held by         10.0.1.12 (client.4153), not a node of west" + advice},
		"a cluster of the same name": {owned(ceph.Party{UID: "u-3", Name: "west"}), nil,
			inUse + "  held by         cluster west" + since + strings.ReplaceAll(advice, "east", "west")},
		"ours, and open by somebody else": {owned(west), []string{"10.0.3.1:0/9"},
			inUse + "  held by   10.0.3.1 (client.4153), not a node of west" +
				"\n  do this   scale the workload down in that cluster, then retry here; nothing was changed"},
		"being taken": {func(r *ceph.Record) { owned(east, e1)(r); fencedBy(west, "ann")(r) }, []string{"10.0.1.12:0/9"},
			"volume shop/data (image replicapool/shop.data) is being taken from cluster east" +
				"\n  held by    cluster east, node e1 (10.0.1.12, client.4153)" + since +
				"\n  taken by   ann, for cluster west, since 2026-11-22 13:00 UTC" +
				"\n  do this    finish the failover in west with kubectl cephferry failover shop/data, then retry here; nothing was changed"},
		"being taken from us": {func(r *ceph.Record) { owned(west)(r); fencedBy(east, "eve")(r) }, nil,
			"volume shop/data (image replicapool/shop.data) is being taken from cluster west" +
				"\n  held by    cluster west" + since +
				"\n  taken by   eve, for cluster east, since 2026-11-22 13:00 UTC" +
				"\n  do this    finish the failover in east with kubectl cephferry failover shop/data, then retry here; nothing was changed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, append(pair("data"), deployment("data"))...)
			w.write("shop.data", test.record)
			for _, watcher := range test.watchers {
				w.watch("shop.data", watcher)
			}
			before := w.record("shop.data")
			same(t, denied(test.want), w.ask("pod", withUID(t, "p", "data")))
			same(t, denied(test.want), w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1)))
			same(t, before, w.record("shop.data"))
		})
	}
}

// All volumes of a pod or none: what is refused leaves the others alone.
func TestPodAcquiresAllOrNone(t *testing.T) {
	w := newWorld(t, []string{"shop.a", "shop.b"}, slices.Concat(pair("a"), pair("b"))...)
	// It becomes another's after it was looked at.
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && call.Image.Name == "shop.a" {
			w.ceph.Intercept(nil)
			w.write("shop.b", owned(east))
		}
		return proceed()
	})
	got := w.ask("pod", withUID(t, "p", "a", "b"))
	if got.Code != 403 || !strings.Contains(got.Message, "volume shop/b") || strings.Contains(got.Message, "volume shop/a") {
		t.Errorf("got %+v", got)
	}
	if record := w.record("shop.a"); record.State != ceph.Free {
		t.Errorf("a was not given back: %+v", record)
	}
	same(t, nil, w.ownerChanges())
}

// Somebody is faster: the watchers are looked at again before the next attempt.
func TestPodLooksAgain(t *testing.T) {
	tests := map[string]struct {
		meanwhile func(*world)
		want      answer
		puts      int
	}{
		"another pod of this cluster": {func(w *world) { w.write("shop.data", owned(west)) }, allowed(guard.NoWatcher), 3},
		"another cluster, which is done": {func(w *world) {
			w.write("shop.data", owned(east))
			w.write("shop.data", func(r *ceph.Record) { r.State, r.Owner = ceph.Free, nil })
		}, allowed(guard.NoWatcher), 4},
		"another cluster, which has it open": {func(w *world) {
			w.write("shop.data", func(r *ceph.Record) { r.Admissions++ })
			w.watch("shop.data", foreign)
		}, denied(inUse("data", "shop.data")), 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, pair("data")...)
			w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == "PutRecord" {
					w.ceph.Intercept(nil)
					test.meanwhile(w)
				}
				return proceed()
			})
			same(t, test.want, w.ask("pod", withUID(t, "p", "data")))
			puts := 0
			for _, method := range w.calls() {
				if method == "PutRecord" {
					puts++
				}
			}
			same(t, test.puts, puts)
		})
	}
}

func TestRecordsThatCannotBeUsed(t *testing.T) {
	const volume = "volume shop/data (image replicapool/shop.data)"
	putFails := func(cause error) func(*world) {
		return func(w *world) {
			w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == "PutRecord" {
					return cause
				}
				return proceed()
			})
		}
	}
	notTaken := func(cause error) string {
		return fmt.Sprintf("%s cannot be taken for west: acquire: write record of image \"replicapool/shop.data\": %v\n  do this   %s; no pod was started", volume, cause, ceph.Advice(cause))
	}
	later := unknown(fmt.Sprintf("cannot know whether %s is in use by another cluster: read record of image \"replicapool/shop.data\": decode record: version 9, this program knows version 4: %v\n  do this   %s; nothing was changed",
		volume, ceph.ErrRecordUnknown, ceph.Advice(ceph.ErrRecordUnknown)))
	tests := map[string]struct {
		change     func(*world)
		pod, scale answer
	}{
		"of a later version": {
			func(w *world) { w.ceph.WriteRecord(w.image("shop.data"), []byte(`{"version":9}`)) },
			later, later,
		},
		"a user who may only look": {
			func(w *world) {
				observer, err := w.ceph.Dial(t.Context(), cephtest.Observer)
				if err != nil {
					t.Fatal(err)
				}
				w.clusters["rook-ceph"] = struct {
					guard.Ceph
					radosNamespace string
				}{observer, ""}
			},
			unknown(notTaken(ceph.ErrPermission)), allowed(guard.NoWatcher),
		},
		"a pool that is full": {putFails(ceph.ErrPoolFull), unknown(notTaken(ceph.ErrPoolFull)), allowed(guard.NoWatcher)},
		"an outage between":   {putFails(ceph.ErrUnreachable), unknown(notTaken(ceph.ErrUnreachable)), allowed(guard.NoWatcher)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, append(pair("data"), deployment("data"))...)
			test.change(w)
			same(t, test.pod, w.ask("pod", withUID(t, "p", "data")))
			same(t, test.scale, w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1)))
		})
	}
}

// TestRefusedWait: who was refused is remembered, whatever it was for, and a dry run is not.
func TestRefusedWait(t *testing.T) {
	tests := map[string]func(*world){
		"another cluster is the owner": func(w *world) { w.write("shop.data", owned(east)) },
		"Ceph does not answer":         func(w *world) { w.ceph.Intercept(cephtest.Unreachable) },
		"the API server does not answer": func(w *world) {
			w.api.fail = map[string]error{"get *v1.PersistentVolumeClaim data": errors.New("timed out")}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, pair("data")...)
			change(w)
			waits := &waiting{}
			handler := w.handler("pod")
			handler.Waiting = waits
			handler.Handle(t.Context(), dryRun(withUID(t, "p", "data")))
			same(t, nil, waits.refused)
			handler.Handle(t.Context(), withUID(t, "p", "data"))
			same(t, []string{"db-0 data"}, waits.refused)
		})
	}
}

// ownerChanges are those that were counted.
func (w *world) ownerChanges() map[string]int {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	changes := map[string]int{}
	for _, family := range families {
		if family.GetName() != "cephferry_owner_changes_total" {
			continue
		}
		for _, metric := range family.Metric {
			changes[metric.Label[0].GetValue()] = int(metric.Counter.GetValue())
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return changes
}

// bound is the review of a pod's binding to a node.
func bound(t *testing.T, pod, node string) admission.Request {
	t.Helper()
	binding := &corev1.Binding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Binding"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}
	request := review(t, admissionv1.Create, corev1.SchemeGroupVersion.WithKind("Binding"), "pods", binding, nil)
	request.SubResource, request.Name = "binding", pod
	return request
}

// The node is in the record before the pod can use its volume there.
func TestBinding(t *testing.T) {
	const inUse = "volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
		"  held by         cluster east, claim shop/data, since 2026-11-22 12:00 UTC\n" +
		"  if it lives     scale the workload of claim shop/data down in east, then retry here; nothing was changed\n" +
		"  if it is dead   kubectl cephferry failover shop/data"
	w1 := ceph.Node{Name: "west-1", Addresses: []string{"10.0.2.11"}, BootID: "boot of west-1"}
	tests := map[string]struct {
		request   admission.Request
		change    func(*world)
		want      answer
		wantNodes []ceph.Node
	}{
		"to a node":                {request: bound(t, "db-0", "west-1"), want: allowed(guard.NoWatcher), wantNodes: []ceph.Node{w1}},
		"to a node of its own":     {request: bound(t, "db-0", "west-9"), want: allowed(guard.NoWatcher), wantNodes: []ceph.Node{{Name: "west-9"}}},
		"a dry run":                {request: dryRun(bound(t, "db-0", "west-1")), want: allowed(guard.NoWatcher)},
		"of a pod without claims":  {request: bound(t, "plain", "west-1"), want: allowed(guard.NothingGuarded)},
		"of a pod that is gone":    {request: bound(t, "gone", "west-1"), want: allowed(guard.NothingGuarded)},
		"of what cannot be read":   {request: review(t, admissionv1.Create, corev1.SchemeGroupVersion.WithKind("Binding"), "pods", nil, nil), want: malformed("there is no content to decode")},
		"of a pod that has a node": {request: createPod(t, withNode(pod("db-1", "data"), "west-1")), want: allowed(guard.NoWatcher), wantNodes: []ceph.Node{w1}},
		"after somebody took the image": {
			request: bound(t, "db-0", "west-1"), change: func(w *world) { w.write("shop.data", owned(east)) },
			want: denied(inUse),
		},
		"without the API server": {
			request: bound(t, "db-0", "west-1"), change: func(w *world) { w.api.fail = map[string]error{"get *v1.Pod db-0": errors.New("boom")} },
			want: unknown("cannot know whether a volume of pod shop/db-0 is in use by another cluster: read the pod: boom\n  do this   fix that, then retry here; nothing was changed"),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, append(pair("data"), pod("db-0", "data"), pod("plain"))...)
			if test.change != nil {
				test.change(w)
			}
			endpoint := "binding"
			if test.request.Kind.Kind == "Pod" {
				endpoint = "pod"
			}
			same(t, test.want, w.ask(endpoint, test.request))
			var nodes []ceph.Node
			if owner := w.record("shop.data").Owner; owner != nil {
				nodes = owner.Nodes
			}
			same(t, test.wantNodes, nodes)
		})
	}
}

func withNode(pod *corev1.Pod, node string) *corev1.Pod {
	pod.Spec.NodeName = node
	return pod
}
