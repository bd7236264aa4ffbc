package guard_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
)

func oneWriter(pv *corev1.PersistentVolume) {
	pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
}

func exclusiveWriter(pv *corev1.PersistentVolume) {
	oneWriter(pv)
	pv.Spec.CSI.VolumeAttributes["mapOptions"] = "exclusive"
}

// An image that is not mapped exclusively gets one node at a time, and an attachment that is gone
// proves nothing: Kubernetes takes it away from a node that is out of service.
func TestASecondNode(t *testing.T) {
	const advice = "volume shop/data (image replicapool/shop.data) may still be written by node west-2 of this cluster, and its mapping is not exclusive\n" +
		"  because         node west-2 has not reported that it has unmapped the volume\n" +
		"  if it lives     delete what uses the volume there; the pod is bound when that node has let go\n" +
		"  if it is dead   kubectl cephferry failover --node west-2"
	const reinstalled = "volume shop/data (image replicapool/shop.data) may still be written by node west-2 of this cluster, and its mapping is not exclusive\n" +
		"  because         it was on node west-2, and nothing proves that the Node of that name is the same machine\n" +
		"  if it lives     delete what uses the volume there; the pod is bound when that node has let go\n" +
		"  if it is dead   node west-2 has its address now and would be fenced with it; if you know that every machine which had the image is off, or was reinstalled, " +
		"scale the workload to zero, then kubectl cephferry release shop/data --without-proof"
	// Whoever says that the reinstalled machine is off says so of all holders.
	const reinstalledAndLost = "volume shop/data (image replicapool/shop.data) may still be written by node west-2, west-3 of this cluster, and its mapping is not exclusive\n" +
		"  because         it was on node west-2, and nothing proves that the Node of that name is the same machine\n" +
		"  because         it was on node west-3, whose Node object is gone\n" +
		"  if it lives     delete what uses the volume there; the pod is bound when that node has let go\n" +
		"  if it is dead   node west-2 has its address now and would be fenced with it; first cut off node west-3, then read this refusal again\n" +
		"  if it is dead   kubectl cephferry failover --node west-3"
	holder := ceph.Node{Name: "west-2", BootID: "boot of west-2", Addresses: []string{"10.0.2.12"}}
	client := holder
	client.Clients = []string{"10.0.2.12:0/7"}
	inUse := func(name string) *corev1.Node {
		n := node(name, "10.0.2.12")
		n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute}}
		n.Status.VolumesInUse = []corev1.UniqueVolumeName{"kubernetes.io/csi/" + driver + "^shop.data"}
		return n
	}
	reports := func(name string) *corev1.Node {
		n := node(name, "10.0.2.12")
		n.Status.VolumesInUse = []corev1.UniqueVolumeName{"kubernetes.io/csi/" + driver + "^another"}
		return n
	}
	fenced := func(addrs ...string) func(*world) {
		return func(w *world) {
			if err := w.client.Blocklist(w.t.Context(), addrs, ceph.MaxFence); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	tests := map[string]struct {
		mode    func(*corev1.PersistentVolume)
		record  func(*ceph.Record)
		node    *corev1.Node
		prepare func(*world)
		want    answer
	}{
		"the other node is out of service, and its attachment is gone": {oneWriter, owned(west, holder), inUse("west-2"), nil, denied(advice)},
		"it was reinstalled, with the same address":                    {oneWriter, owned(west, ceph.Node{Name: "west-2", BootID: "an earlier boot", MachineID: "m1", Addresses: []string{"10.0.2.12"}}), reports("west-2"), nil, denied(reinstalled)},
		"it was reinstalled, and a third node is lost": {oneWriter, owned(west, ceph.Node{Name: "west-2", BootID: "an earlier boot", MachineID: "m1", Addresses: []string{"10.0.2.12"}},
			ceph.Node{Name: "west-3", BootID: "boot of west-3", Addresses: []string{"10.0.2.13"}}), reports("west-2"), nil, denied(reinstalledAndLost)},
		"it has let go":                              {oneWriter, owned(west, holder), reports("west-2"), nil, allowed(guard.NoWatcher)},
		"it is cut off":                              {oneWriter, owned(west, client), inUse("west-2"), fenced("10.0.2.12:0/0"), allowed(guard.NoWatcher)},
		"only its client is":                         {oneWriter, owned(west, client), inUse("west-2"), fenced("10.0.2.12:0/7"), denied(advice)},
		"the image is mapped exclusively":            {exclusiveWriter, func(r *ceph.Record) { owned(west, holder)(r); r.Exclusive = true }, inUse("west-2"), nil, allowed(guard.NoWatcher)},
		"the image is, and this volume of it is not": {oneWriter, func(r *ceph.Record) { owned(west, holder)(r); r.Exclusive = true }, inUse("west-2"), nil, denied(advice)},
		"the volume is for several writers": {func(pv *corev1.PersistentVolume) {
			pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		}, owned(west, holder), inUse("west-2"), nil, allowed(guard.NoWatcher)},
		"the pod goes where the volume was": {oneWriter, owned(west, ceph.Node{Name: "west-1", BootID: "boot of west-1"}), reports("west-2"), nil, allowed(guard.NoWatcher)},
		"the API server does not answer": {oneWriter, owned(west, holder), inUse("west-2"), func(w *world) {
			w.api.fail = map[string]error{"list *v1.NodeList": errors.New("it is down")}
		}, unknown("cannot know whether volume shop/data (image replicapool/shop.data) is in use by another cluster: list nodes: it is down\n  do this   fix that, then retry here; nothing was changed")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			objects := append(pair("data", test.mode), pod("db-0", "data"))
			w := newWorld(t, []string{"shop.data"}, objects...)
			if err := w.objects.Delete(t.Context(), node("west-2")); err != nil {
				t.Fatal(err)
			}
			if err := w.objects.Create(t.Context(), test.node.DeepCopy()); err != nil {
				t.Fatal(err)
			}
			w.write("shop.data", test.record)
			if test.prepare != nil {
				test.prepare(w)
			}
			before := w.record("shop.data")
			same(t, test.want, w.ask("binding", bound(t, "db-0", "west-1")))
			if after := w.record("shop.data"); test.want.Code != 200 {
				same(t, before, after)
			} else if !slices.ContainsFunc(after.Owner.Nodes, func(n ceph.Node) bool { return n.Name == "west-1" }) {
				t.Errorf("the record does not name the node: %+v", after.Owner)
			}
		})
	}
}

// Two bindings at once: the one that comes second finds what the first one wrote.
func TestASecondNodeAtTheSameTime(t *testing.T) {
	objects := append(pair("data", oneWriter), pod("db-0", "data"), pod("db-1", "data"))
	objects[2].SetUID("0")
	objects[3].SetUID("1")
	w := newWorld(t, []string{"shop.data"}, objects...)
	w.write("shop.data", func(r *ceph.Record) { owned(west)(r); r.Unbound = []string{"0", "1"} })
	once := false
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && !once {
			once = true
			w.write("shop.data", func(r *ceph.Record) { // another replica
				r.Admissions++
				r.Owner.Nodes = []ceph.Node{{Name: "west-2", BootID: "boot of west-2", Addresses: []string{"10.0.2.12"}}}
			})
		}
		return proceed()
	})
	same(t, denied("volume shop/data (image replicapool/shop.data) may still be written by node west-2 of this cluster, and its mapping is not exclusive\n"+
		"  because         it was on node west-2, whose Node object was recreated, and lists no volume in use yet\n"+
		"  if it lives     delete what uses the volume there; the pod is bound when that node has let go\n"+
		"  if it is dead   kubectl cephferry failover --node west-2"), w.ask("binding", bound(t, "db-0", "west-1")))
}
