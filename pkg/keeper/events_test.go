package keeper_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// TestHeard: which volumes a change in Kubernetes concerns, and whether it ends a use.
func TestHeard(t *testing.T) {
	const inUse = "kubernetes.io/csi/" + rbdDriver + "^shop.data"
	// twice is the handle of a volume that the index has by its image and by a uuid.
	const twice = "0001-0009-rook-ceph-0000000000000002-6d5e1c1e-0f4b-4f0c-9c57-0f3f1e6d2b5a"
	reporting := func(volumes ...corev1.UniqueVolumeName) *corev1.Node {
		n := node("w2", "10.0.2.12")
		n.Status.VolumesInUse = volumes
		return n
	}
	changed := func(change func(*corev1.Node)) *corev1.Node {
		n := node("w1", "10.0.2.11")
		change(n)
		return n
	}
	finished := boundPod("p")
	finished.Status.Phase = corev1.PodFailed
	ready := boundPod("p")
	ready.Status.Phase = corev1.PodRunning
	starting := boundPod("p")
	starting.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue}}
	unready := boundPod("p")
	unready.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionFalse}}
	attached := attachment("shop.data", "w1")
	attached.Status.Attached = true
	inline := attachment("shop.data", "w1")
	inline.Spec.Source.PersistentVolumeName = nil
	labelled := volume("shop.data", "data")
	labelled.Labels = map[string]string{"a": "b"}
	deleted := volume("shop.data", "data")
	deleted.DeletionTimestamp = &metav1.Time{Time: noon}
	for name, test := range map[string]struct {
		before, now client.Object
		want        []string
		ended       bool
	}{
		"a pod is stored":               {nil, pod("p", "data"), []string{"shop.data"}, false},
		"a pod of another claim":        {nil, pod("p", "other"), nil, false},
		"a pod is bound":                {pod("p", "data"), boundPod("p"), []string{"shop.data"}, false},
		"a pod runs":                    {boundPod("p"), ready, []string{"shop.data"}, false},
		"a pod's init containers start": {unready, starting, []string{"shop.data"}, false},
		"a pod's init containers go on": {starting, starting, nil, false},
		"a pod is not ready to start":   {boundPod("p"), unready, nil, false},
		"a pod runs on":                 {ready, ready, nil, false},
		"a pod fails":                   {ready, finished, []string{"shop.data"}, true},
		"a pod is gone":                 {boundPod("p"), nil, []string{"shop.data"}, true},
		"an attachment comes":           {nil, attachment("shop.data", "w1"), []string{"shop.data"}, false},
		"a node is attached":            {attachment("shop.data", "w1"), attached, nil, false},
		"an attachment stays":           {attached, attached, nil, false},
		"an attachment goes":            {attached, nil, []string{"shop.data"}, true},
		"an inline volume":              {nil, inline, nil, false},
		"a kubelet reports the volume":  {reporting(), reporting(inUse), []string{"shop.data"}, false},
		"a kubelet reports a volume whose image's name ends in a uuid": {
			reporting(), reporting("kubernetes.io/csi/" + rbdDriver + "^" + twice), []string{"twice"}, false,
		},
		"a kubelet has unmapped it":       {reporting(inUse), reporting(), []string{"shop.data"}, true},
		"a kubelet reports other volumes": {reporting(inUse), reporting(inUse, "kubernetes.io/csi/"+rbdDriver+"^other", "kubernetes.io/nfs/x"), nil, false},
		"a holder's heartbeat": {node("w1", "10.0.2.11"), changed(func(n *corev1.Node) {
			n.Status.Conditions[0].LastHeartbeatTime = metav1.Time{Time: noon}
		}), nil, false},
		"a holder boots":               {node("w1", "10.0.2.11"), changed(func(n *corev1.Node) { n.Status.NodeInfo.BootID = "next" }), []string{"held"}, false},
		"a holder has another address": {node("w1", "10.0.2.11"), node("w1", "10.0.2.99"), []string{"held"}, false},
		"a holder's Node is gone":      {node("w1", "10.0.2.11"), nil, []string{"held"}, false},
		"a holder comes by another name": {nil, changed(func(n *corev1.Node) {
			n.Name, n.UID, n.Status.NodeInfo.BootID = "w9", "object of w9", "next"
		}), []string{"held"}, false},
		"another node comes":        {nil, node("w2", "10.0.2.12"), nil, false},
		"a volume comes":            {nil, volume("shop.data", "data"), []string{"shop.data"}, false},
		"a volume gets a label":     {volume("shop.data", "data"), labelled, nil, false},
		"a volume gets a claim":     {volume("shop.data", "data"), volume("shop.data", "other"), []string{"shop.data"}, false},
		"a volume is being deleted": {volume("shop.data", "data"), deleted, []string{"shop.data"}, false},
		"a volume is gone":          {volume("shop.data", "data"), nil, []string{"shop.data"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := volume("held", "held")
			held.Spec.CSI.VolumeHandle = "shop.held"
			byTwo := volume("twice", "twice")
			byTwo.Spec.CSI.VolumeHandle = twice
			delete(byTwo.Spec.CSI.VolumeAttributes, "staticVolume")
			w := newWorld(t, held, attachment("held", "w1"), byTwo)
			w.ceph.RemoveImage(theData)
			image, err := w.client.CreateImage(t.Context(), ceph.ImageSpec{Pool: "replicapool", Name: "shop.held"}, ceph.Layout{Size: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			_, err = ownership.Change(t.Context(), w.client, image, func(stored ceph.Record) (ceph.Record, error) {
				return ownership.Acquire(stored, ownership.Request{Cluster: west, Namespace: "shop", Claim: "held", Nodes: nodeW1, Now: noon})
			})
			if err != nil {
				t.Fatal(err)
			}
			w.keep("held")
			got, ended := w.keeper.Heard(t, test.before, test.now)
			if !slices.Equal(got, test.want) || ended != test.ended {
				t.Errorf("concerns %v, ended: %v; want %v, %v", got, ended, test.want, test.ended)
			}
		})
	}
}
