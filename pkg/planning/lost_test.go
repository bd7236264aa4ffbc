package planning

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
)

func nodeOf(name, address string, ready corev1.ConditionStatus) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	node.Status.NodeInfo.BootID = "boot of " + name
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	return node
}

// A node of west has a volume by the API server, and no other of them.
func TestPlanForALostNode(t *testing.T) {
	west := ceph.Party{UID: "u-west", Name: "west"}
	volume, idle := pv("data", "rook-ceph"), pv("idle", "rook-ceph")
	attachment := &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: "csi-1"},
		Spec:       storagev1.VolumeAttachmentSpec{Attacher: volume.Spec.CSI.Driver, NodeName: "w2", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &volume.Name}},
	}
	for ready, want := range map[corev1.ConditionStatus]string{
		corev1.ConditionUnknown: "", corev1.ConditionFalse: "node w2 of this cluster reports", corev1.ConditionTrue: "node w2 of this cluster reports",
	} {
		p := newPlanner(t, cephtest.Operator, map[string]string{"data": "west", "idle": "west"},
			volume.DeepCopy(), idle.DeepCopy(), pv("gone", "rook-ceph"), attachment.DeepCopy(), nodeOf("w1", "10.0.2.11", corev1.ConditionTrue), nodeOf("w2", "10.0.2.12", ready))
		claims, err := p.On(t.Context(), "w2", west)
		if diff := cmp.Diff([]types.NamespacedName{{Namespace: "shop", Name: "data"}}, claims); diff != "" || err != nil {
			t.Fatalf("%v, -want +got:\n%s", err, diff)
		}
		all, err := p.Plan(t.Context(), claims, failover.Wish{Taker: ownership.Taker{Cluster: west, By: "ann"}, Lost: "w2"})
		if err != nil {
			t.Fatal(err)
		}
		if got := Refused(all); (got == nil) != (want == "") || got != nil && !strings.Contains(got.Error(), want) {
			t.Errorf("%s: got %v", ready, got)
		}
		if want != "" {
			continue
		}
		if diff := cmp.Diff(failover.Fence{Machines: []string{"10.0.2.12:0/0"}}, all[0].Plan.Fence); diff != "" {
			t.Errorf("%s: -want +got:\n%s", ready, diff)
		}
		if next := Next(all); !strings.Contains(next, "kubectl taint node w2 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute") || !strings.Contains(next, "unfence w2") {
			t.Errorf("next: %s", next)
		}
		all[0].Plan.Fence = failover.Fence{Instances: []string{"10.0.2.12:0/7"}}
		if next := Next(all); strings.Contains(next, "unfence") {
			t.Errorf("next: %s", next)
		}
	}
}

// A node is known by its object or by a record. While a record cannot be read, nobody can say that none
// names it.
func TestKnows(t *testing.T) {
	west := ceph.Party{UID: "u-west", Name: "west"}
	for name, test := range map[string]struct {
		class string
		node  string
		known bool
		err   string
	}{
		"by its object":     {"rook-ceph", "w1", true, ""},
		"by a record":       {"rook-ceph", "e1", true, ""},
		"not at all":        {"rook-ceph", "w11", false, ""},
		"nobody can say it": {"elsewhere", "w11", false, "volume shop/data"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanner(t, cephtest.Operator, map[string]string{"data": "west", "idle": "west"},
				pv("idle", "rook-ceph"), pv("data", test.class), nodeOf("w1", "10.0.2.11", corev1.ConditionTrue))
			known, err := p.Knows(t.Context(), test.node, west)
			if known != test.known || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v, %v", known, err)
			}
		})
	}
}

// Of many records that cannot be read, a person gets a few lines, and an outage behind any of them is found.
func TestKnowsOfManyUnreadRecords(t *testing.T) {
	west := ceph.Party{UID: "u-west", Name: "west"}
	var objects []client.Object
	for i := range 6 {
		objects = append(objects, pv(fmt.Sprint("data-", i), "elsewhere"))
	}
	p := newPlanner(t, cephtest.Operator, nil, objects...)
	_, err := p.Knows(t.Context(), "w11", west)
	if err == nil {
		t.Fatal("no error")
	}
	for want, times := range map[string]int{"volume shop/data-": unreadShown, "\nand 3 more volumes": 1} {
		if got := strings.Count(err.Error(), want); got != times {
			t.Errorf("%q is there %d times, want %d:\n%v", want, got, times, err)
		}
	}
	last := unread{errors.New("a"), errors.New("b"), errors.New("c"), ceph.ErrUnreachable}
	if !errors.Is(last, ceph.ErrUnreachable) || strings.Contains(last.Error(), ceph.ErrUnreachable.Error()) || !strings.HasSuffix(last.Error(), "\nand 1 more volume") {
		t.Errorf("%v", last)
	}
}
