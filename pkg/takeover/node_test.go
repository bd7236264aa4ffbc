package takeover

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

// inWest is a test in which the images of shop/a and shop/c are west's, and its node w1 has them. That of
// a is cut off by its client, that of c by its machine.
func inWest(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, cephtest.Provisioner)
		r.node(func(n *corev1.Node) { n.Status.NodeInfo.MachineID = "machine of w1" })
		for _, claim := range []string{"a", "c"} {
			record := r.record(claim)
			if claim == "a" {
				r.ceph.RenameImage(ceph.ImageSpec{Pool: "rbd", Name: "shop.a~east"}, "shop.a~west")
			}
			r.writers[claim].Close()
			r.opens(claim, 1)
			record.Owner.Party = west()
			record.Owner.Nodes = []ceph.Node{{
				Name: "w1", Addresses: []string{"10.0.2.11"}, BootID: "boot of w1", UID: "object of w1", MachineID: "machine of w1",
				Clients: []string{ownClient(claim, 1)},
			}}
			r.put(claim, record)
		}
		test(t, r)
	})
}

func ownClient(claim string, n int) string {
	return "10.0.2.11:0/" + string(claim[0]-'a'+'1') + string(rune('0'+n))
}

// opens is the n-th client of w1 that opens the image.
func (r *rig) opens(claim string, n int) {
	r.Helper()
	name := "shop." + claim
	if claim == "a" {
		name += "~west"
	}
	writer, err := r.ceph.OpenImage(ceph.ImageSpec{Pool: "rbd", Name: name}, ceph.Watcher{Addr: ownClient(claim, n), Client: "client." + claim, Cookie: 1})
	if err != nil {
		r.Fatal(err)
	}
	r.writers[claim] = writer
}

func (r *rig) node(change func(*corev1.Node)) {
	r.Helper()
	var node corev1.Node
	if err := r.api.Get(context.Background(), client.ObjectKey{Name: "w1"}, &node); err != nil {
		r.Fatal(err)
	}
	change(&node)
	if err := r.api.Status().Update(context.Background(), &node); err != nil {
		r.Fatal(err)
	}
}

// reboots is w1 with another boot, which has the image open and stands in the record. Its old clients are gone.
func (r *rig) reboots(claims ...string) {
	r.Helper()
	r.node(func(n *corev1.Node) { n.Status.NodeInfo.BootID = "second boot of w1" })
	for _, claim := range claims {
		r.writers[claim].Close()
		r.opens(claim, 2)
		record := r.record(claim)
		record.Owner.Nodes[0].BootID, record.Owner.Nodes[0].Clients = "second boot of w1", []string{ownClient(claim, 2)}
		r.put(claim, record)
	}
}

func (r *rig) lost(claims ...string) {
	r.Helper()
	t := &v1alpha1.Takeover{ObjectMeta: metav1.ObjectMeta{Name: "lost", CreationTimestamp: metav1.Now()}, Spec: v1alpha1.TakeoverSpec{From: "west", Node: "w1", By: "ann"}}
	for _, claim := range claims {
		t.Spec.Claims = append(t.Spec.Claims, v1alpha1.ClaimReference{Namespace: "shop", Name: claim})
	}
	r.add(t)
}

// wantCutOff: the images are west's, and its node never writes again.
func (r *rig) wantCutOff(claims ...string) {
	r.Helper()
	for _, claim := range claims {
		record := r.record(claim)
		if last := record.History[len(record.History)-1]; record.State != ceph.Held || record.Owner.Party != west() || last.Event != ceph.NodeFenced || last.By != "ann" {
			r.Errorf("image of %s: %s, %+v, %+v", claim, record.State, record.Owner, last)
		}
		if err := r.writers[claim].Write("late"); !errors.Is(err, ceph.ErrBlocklisted) {
			r.Errorf("the node writes to the image of %s: %v", claim, err)
		}
	}
}

func (r *rig) wantWrites(claims ...string) {
	r.Helper()
	for _, claim := range claims {
		if err := r.writers[claim].Write("alive"); err != nil {
			r.Errorf("the node cannot write to the image of %s: %v", claim, err)
		}
	}
}

func TestANodeIsCutOff(t *testing.T) {
	inWest(t, func(t *testing.T, r *rig) {
		r.lost()
		planned := r.must("lost", v1alpha1.TakeoverPlanned)
		plan := planned.Status.Plan
		want := []string{"10.0.2.11:0/0", "10.0.2.11:0/11", "10.0.2.11:0/31", "boot of w1"}
		if diff := cmp.Diff(want, append(append(append([]string{}, plan.Machines...), plan.Instances...), plan.Boots...)); diff != "" || planned.Status.TakenCount != 0 || planned.Status.VolumeCount != 2 {
			t.Errorf("-want +got:\n%s%+v", diff, planned.Status)
		}
		r.wantWrites("a", "c")
		r.confirm("lost", plan.Hash)
		done := r.must("lost", v1alpha1.TakeoverDone)
		r.wantCutOff("a", "c")
		wantSays(t, done.Status.Message, "Node w1 can no longer write to these volumes", "kubectl cephferry unfence w1")
		var conditions []string
		for _, c := range done.Status.Conditions {
			conditions = append(conditions, c.Type+" "+string(c.Status))
		}
		if diff := cmp.Diff([]string{"MachinesFenced True", "InstancesFenced True", "InForce True", "NodeFenced True"}, conditions); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if done.Status.TakenCount != 2 || done.Status.Volumes[0].Step != "NodeFenced" {
			t.Errorf("%+v", done.Status)
		}
	})
}

// A leader that is killed anywhere goes on, as long as the node is what it was.
func TestKilledLeaderCutsANodeOff(t *testing.T) {
	for left := 1; ; left++ {
		finished := false
		inWest(t, func(t *testing.T, r *rig) {
			r.lost()
			r.confirm("lost", r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
			r.left = left
			got, err := r.reconcile("lost")
			finished = err == nil && got.Status.Phase == v1alpha1.TakeoverDone && r.left > 0
			r.restart(cephtest.Provisioner)
			r.must("lost", v1alpha1.TakeoverDone)
			r.wantCutOff("a", "c")
		})
		if finished {
			break
		}
	}
}

// Interrupted, it goes on with what was confirmed, and with nothing else.
func TestANodeIsNoLongerWhatWasConfirmed(t *testing.T) {
	for name, test := range map[string]struct {
		claim  string
		change func(*rig)
		says   string
		phase  v1alpha1.TakeoverPhase
	}{
		"another boot, of which only the machine is known": {"c", func(r *rig) { r.reboots("c") }, "node w1 has rebooted since the plan was made", v1alpha1.TakeoverFailed},
		"another boot, of which the client is known":       {"a", func(r *rig) { r.reboots("a") }, "node w1 has rebooted since the plan was made", v1alpha1.TakeoverFailed},
		"the same boot has opened the image again": {"a", func(r *rig) { r.writers["a"].Close(); r.opens("a", 2) },
			"client 10.0.2.11:0/12 would be fenced too, which was not in the plan: node w1 has opened the image since", v1alpha1.TakeoverFailed},
		"an hour": {"a", func(*rig) { time.Sleep(begunWithin + time.Second) }, "was not cut off from volume shop/a within 1h0m0s", v1alpha1.TakeoverFailed},
		"its kubelet reports": {"a", func(r *rig) {
			r.node(func(n *corev1.Node) {
				n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
			})
		}, "node w1 of this cluster reports to its API server", v1alpha1.TakeoverFailed},
		"the boot is over, and nothing is to be done": {"a", func(r *rig) { r.node(func(n *corev1.Node) { n.Status.NodeInfo.BootID = "second" }) },
			"this Takeover cut nothing off, and need not: node w1 has rebooted since", v1alpha1.TakeoverDone},
	} {
		t.Run(name, func(t *testing.T) {
			inWest(t, func(t *testing.T, r *rig) {
				r.lost(test.claim)
				r.interrupted("Blocklist")
				test.change(r)
				got := r.must("lost", test.phase)
				wantSays(t, got.Status.Message, test.says)
				if len(r.changes) > 0 {
					t.Errorf("it did %q", r.changes)
				}
				r.wantWrites(test.claim)
			})
		})
	}
}

// attached is the attachment of shop/c to w1, which is all that says that w1 has it.
func (r *rig) attached(before ...ceph.Node) *storagev1.VolumeAttachment {
	r.Helper()
	record := r.record("c")
	record.Owner.Nodes = before
	r.put("c", record)
	volume := "shop.c"
	attachment := &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: "csi-c"},
		Spec:       storagev1.VolumeAttachmentSpec{Attacher: "rook-ceph.rbd.csi.ceph.com", NodeName: "w1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &volume}},
	}
	if err := r.api.Create(context.Background(), attachment); err != nil {
		r.Fatal(err)
	}
	return attachment
}

func (r *rig) detach(attachment *storagev1.VolumeAttachment) {
	r.Helper()
	if err := r.api.Delete(context.Background(), attachment); err != nil {
		r.Fatal(err)
	}
}

// A volume that Kubernetes or the record do not show on the node any more is not safe from it.
func TestNothingIsLeftToDoAndNothingWasCutOff(t *testing.T) {
	const unsafe = "node w1 may write to volume shop/c (node w1 does not have it). Make sure that the node is off or has rebooted"
	for name, test := range map[string]struct {
		claims []string
		change func(*rig) func()
		says   string
		taken  int32
	}{
		"the attachment goes away": {[]string{"c"}, func(r *rig) func() {
			attachment := r.attached()
			return func() { r.detach(attachment) }
		}, "this Takeover cut nothing off; " + unsafe, 0},
		"another boot than the one that has it is over": {[]string{"c"}, func(r *rig) func() {
			attachment := r.attached(ceph.Node{Name: "w1", Addresses: []string{"10.0.2.11"}, BootID: "an earlier one", UID: "object of w1", MachineID: "machine of w1"})
			return func() { r.detach(attachment) }
		}, "this Takeover cut nothing off; " + unsafe, 0},
		"another cluster owns it": {[]string{"c"}, func(r *rig) func() {
			return func() {
				record := r.record("c")
				record.Owner.Party = east()
				r.put("c", record)
			}
		}, "this Takeover cut nothing off; node w1 may write to volume shop/c (it is not this cluster's)", 0},
		"one of two": {[]string{"a", "c"}, func(r *rig) func() {
			attachment := r.attached()
			return func() { r.detach(attachment) }
		}, "this Takeover did not cut off everything; " + unsafe, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWest(t, func(t *testing.T, r *rig) {
				change := test.change(r)
				r.lost(test.claims...)
				r.interrupted("Blocklist")
				change()
				got := r.must("lost", v1alpha1.TakeoverDone)
				wantSays(t, got.Status.Message, test.says)
				if got.Status.TakenCount != test.taken {
					t.Errorf("%d volumes are safe; want %d", got.Status.TakenCount, test.taken)
				}
				if len(got.Status.Conditions) == 0 {
					t.Error("no conditions")
				}
				for _, c := range got.Status.Conditions {
					if c.Status != metav1.ConditionFalse {
						t.Errorf("%s is %s", c.Type, c.Status)
					}
				}
				r.wantWrites("c")
			})
		})
	}
}

// Refused on the way, it looks again for what the node has, and finds nothing.
func TestNothingShowsWhatTheNodeHas(t *testing.T) {
	inWest(t, func(t *testing.T, r *rig) {
		record := r.record("a")
		record.Owner.Nodes = nil
		r.put("a", record)
		r.writers["a"].Close()
		attachment := r.attached()
		r.lost()
		r.interrupted("Blocklist")
		r.node(func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		})
		r.must("lost", v1alpha1.TakeoverFailed)
		r.node(func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown })
		r.must("lost", v1alpha1.TakeoverFailed)
		r.confirm("lost", "")
		r.detach(attachment)
		got := r.must("lost", v1alpha1.TakeoverDone)
		wantSays(t, got.Status.Message, "this Takeover cut nothing off; node w1 may write to volume shop/c (nothing shows that node w1 has it)")
		if got.Status.TakenCount != 0 || !meta.IsStatusConditionFalse(got.Status.Conditions, nodeCondition) {
			t.Errorf("%+v", got.Status)
		}
		r.wantWrites("c")
	})
}

// interrupted is a takeover whose plan was confirmed, and whose leader is killed with its first call of that
// name. It returns the hash.
func (r *rig) interrupted(call string) string {
	r.Helper()
	hash := r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash
	r.confirm("lost", hash)
	r.before = func(this string) error {
		if this == call {
			return errKilled
		}
		return nil
	}
	if got, err := r.reconcile("lost"); err == nil || got.Status.Confirmed != hash {
		r.Fatalf("%v, %+v", err, got.Status)
	}
	r.restart(cephtest.Provisioner)
	return hash
}

// What was refused after its confirmation is not done when the reason is gone, until it is confirmed again.
func TestANodeThatCameBackAndFellSilentAgain(t *testing.T) {
	inWest(t, func(t *testing.T, r *rig) {
		r.lost("a")
		r.interrupted("Blocklist")
		r.node(func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		})
		r.must("lost", v1alpha1.TakeoverFailed)
		r.node(func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown })
		wantSays(t, r.must("lost", v1alpha1.TakeoverFailed).Status.Message, "To confirm it again, empty spec.confirm first")
		r.wantWrites("a")
		r.confirm("lost", "")
		r.confirm("lost", r.must("lost", v1alpha1.TakeoverFailed).Status.Plan.Hash)
		r.must("lost", v1alpha1.TakeoverDone)
		r.wantCutOff("a")
	})
}

// A client that comes while the node is being cut off is not fenced until the plan with it is confirmed, and
// when it has gone again, the node is as much alive.
func TestANodeOpensTheImageWhileItIsCutOff(t *testing.T) {
	for _, gone := range []bool{false, true} {
		inWest(t, func(t *testing.T, r *rig) {
			r.lost("a")
			r.confirm("lost", r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
			came := false
			r.before = func(call string) error {
				if call == "Barrier" && !came {
					came = true
					r.writers["a"].Close()
					r.opens("a", 2)
				}
				return nil
			}
			got, err := r.reconcile("lost")
			if err == nil || got.Status.Phase != v1alpha1.TakeoverFailed || !came {
				t.Fatalf("%v, %+v", err, got.Status)
			}
			wantSays(t, got.Status.Message, "does not go on without another confirmation", "node w1 has opened the image since the plan was made (client "+ownClient("a", 2)+")")
			r.wantWrites("a")
			r.restart(cephtest.Provisioner)
			if gone {
				r.writers["a"].Close()
			}
			r.must("lost", v1alpha1.TakeoverFailed)
			if r.must("lost", v1alpha1.TakeoverFailed); len(r.changes) > 0 {
				t.Errorf("it did %q", r.changes)
			}
		})
	}
}

// A node whose boot nobody knows does not go on by itself, and may be confirmed again.
func TestANodeWhoseBootIsNotKnown(t *testing.T) {
	inWest(t, func(t *testing.T, r *rig) {
		r.node(func(n *corev1.Node) { n.Status.NodeInfo.BootID = "" })
		record := r.record("c")
		record.Owner.Nodes[0].BootID = ""
		r.put("c", record)
		r.lost("c")
		r.interrupted("Blocklist")
		wantSays(t, r.must("lost", v1alpha1.TakeoverFailed).Status.Message, "its bootID was not recorded", "empty spec.confirm first")
		r.wantWrites("c")
		r.confirm("lost", "")
		got := r.must("lost", v1alpha1.TakeoverFailed)
		if got.Status.Confirmed != "" {
			t.Errorf("confirmed is %q", got.Status.Confirmed)
		}
		if len(r.changes) > 0 {
			t.Errorf("it did %q", r.changes)
		}
		got = r.must("lost", v1alpha1.TakeoverFailed)
		r.confirm("lost", got.Status.Plan.Hash)
		r.must("lost", v1alpha1.TakeoverDone)
		r.wantCutOff("c")
	})
}

// A reboot is not told as a fence that was lifted, and its plan may be confirmed as the message says.
func TestANodeRebootsAfterItsMachineWasFenced(t *testing.T) {
	inWest(t, func(t *testing.T, r *rig) {
		r.lost("c")
		r.interrupted("Barrier")
		if !meta.IsStatusConditionTrue(r.get("lost").Status.Conditions, machinesCondition) {
			t.Fatal("the machine was not fenced")
		}
		r.node(func(n *corev1.Node) { n.Status.NodeInfo.BootID = "second boot of w1" })
		record := r.record("c")
		record.Owner.Nodes[0].BootID, record.Owner.Nodes[0].Clients = "second boot of w1", nil
		r.put("c", record)
		got := r.must("lost", v1alpha1.TakeoverFailed)
		wantSays(t, got.Status.Message, "node w1 has rebooted since the plan was made", got.Status.Plan.Hash)
		got = r.must("lost", v1alpha1.TakeoverFailed)
		if len(r.changes) > 0 {
			t.Errorf("it did %q", r.changes)
		}
		r.before = func(call string) error {
			if call == "Blocklist" {
				return errKilled
			}
			return nil
		}
		r.confirm("lost", got.Status.Plan.Hash)
		got, err := r.reconcile("lost")
		if err == nil || got.Status.Confirmed != got.Status.Plan.Hash {
			t.Fatalf("%v, %+v", err, got.Status)
		}
		for _, c := range got.Status.Conditions {
			if c.Status != metav1.ConditionFalse {
				t.Errorf("%s of the plan before is %s", c.Type, c.Status)
			}
		}
		r.restart(cephtest.Provisioner)
		r.must("lost", v1alpha1.TakeoverDone)
		r.wantCutOff("c")
	})
}

// What is refused when it was begun says what follows.
func TestWhatFollowsARefusalOfANode(t *testing.T) {
	for late, says := range map[bool]string{false: "It is planned again, and does nothing more until that plan is confirmed", true: "It is over: create another Takeover"} {
		inWest(t, func(t *testing.T, r *rig) {
			r.lost("a")
			r.interrupted("Blocklist")
			if late {
				time.Sleep(begunWithin + time.Second)
			}
			r.node(func(n *corev1.Node) {
				n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
			})
			got := r.must("lost", v1alpha1.TakeoverFailed)
			wantSays(t, got.Status.Message, "node w1 of this cluster reports", says)
			if got.Status.Plan != nil || got.IsOver(time.Now()) != late {
				t.Errorf("plan %+v, over %v", got.Status.Plan, got.IsOver(time.Now()))
			}
		})
	}
}

// Whoever lets a node in again while its takeover is interrupted is not overruled.
func TestANodeThatWasLetInAgain(t *testing.T) {
	inWest(t, func(t *testing.T, r *rig) {
		r.lost("c")
		r.confirm("lost", r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
		r.before = func(call string) error {
			if call == "Watchers" && len(r.changes) > 2 {
				return errKilled
			}
			return nil
		}
		if _, err := r.reconcile("lost"); err == nil {
			t.Fatal("nobody killed it")
		}
		r.restart(cephtest.Provisioner)
		record := r.record("c")
		record.Fenced = nil
		r.put("c", record)
		wantSays(t, r.must("lost", v1alpha1.TakeoverFailed).Status.Message, "node w1 was fenced for volume shop/c, and somebody has let it in again since")
		if r.must("lost", v1alpha1.TakeoverFailed); len(r.changes) > 0 {
			t.Errorf("it did %q", r.changes)
		}
		r.confirm("lost", "")
		r.confirm("lost", r.must("lost", v1alpha1.TakeoverFailed).Status.Plan.Hash)
		r.must("lost", v1alpha1.TakeoverDone)
		r.wantCutOff("c")
	})
}

func TestWhichNodeIsMeant(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.TakeoverSpec)
		phase  v1alpha1.TakeoverPhase
		says   string
	}{
		"a node of another cluster": {func(s *v1alpha1.TakeoverSpec) { s.From = "east" }, v1alpha1.TakeoverRefused, `spec.from: Invalid value: "east": node w1 is one of cluster west`},
		"a node that has nothing":   {func(s *v1alpha1.TakeoverSpec) { s.Node = "w2" }, v1alpha1.TakeoverDone, "nothing to do: node w2 has none of the guarded volumes"},
		"a node that nobody knows":  {func(s *v1alpha1.TakeoverSpec) { s.Node = "w11" }, v1alpha1.TakeoverRefused, "this cluster has no Node object w11, and no record of its volumes names it"},
		"a volume of a node that nobody knows": {func(s *v1alpha1.TakeoverSpec) {
			s.Node, s.Claims = "w11", []v1alpha1.ClaimReference{{Namespace: "shop", Name: "a"}}
		}, v1alpha1.TakeoverRefused, "no record of its volumes names it"},
		"a volume that a node without an object does not have": {func(s *v1alpha1.TakeoverSpec) {
			s.Node, s.Claims = "w3", []v1alpha1.ClaimReference{{Namespace: "shop", Name: "a"}}
		}, v1alpha1.TakeoverDone, "nothing to do: node w3 has none of these volumes"},
		"a volume that it does not have": {func(s *v1alpha1.TakeoverSpec) { s.Claims = []v1alpha1.ClaimReference{{Namespace: "shop", Name: "b"}} },
			v1alpha1.TakeoverDone, "nothing to do: node w1 has none of these volumes"},
	} {
		t.Run(name, func(t *testing.T) {
			inWest(t, func(t *testing.T, r *rig) {
				object := &v1alpha1.Takeover{ObjectMeta: metav1.ObjectMeta{Name: "lost", CreationTimestamp: metav1.Now()}, Spec: v1alpha1.TakeoverSpec{From: "west", Node: "w1", By: "ann"}}
				test.change(&object.Spec)
				if err := r.api.Create(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w2", UID: "object of w2"}}); err != nil {
					t.Fatal(err)
				}
				record := r.record("c")
				record.Owner.Nodes = append(record.Owner.Nodes, ceph.Node{Name: "w3", BootID: "boot of w3", Addresses: []string{"10.0.2.13"}})
				r.put("c", record)
				r.add(object)
				wantSays(t, r.must("lost", test.phase).Status.Message, test.says)
			})
		})
	}
}

// Whether a record that cannot be read names the node, nobody can say.
func TestNobodyCanSayWhetherThereIsTheNode(t *testing.T) {
	inWest(t, func(t *testing.T, r *rig) {
		r.ceph.WriteRecord(r.image("b"), []byte(`{"version": 99}`))
		r.add(&v1alpha1.Takeover{
			ObjectMeta: metav1.ObjectMeta{Name: "lost", CreationTimestamp: metav1.Now()},
			Spec:       v1alpha1.TakeoverSpec{From: "west", Node: "w11", By: "ann", Claims: []v1alpha1.ClaimReference{{Namespace: "shop", Name: "a"}}},
		})
		message := r.must("lost", v1alpha1.TakeoverRefused).Status.Message
		wantSays(t, message, "look for node w11 in the records: volume shop/b: ", "version 99")
		if strings.Contains(message, "no record of its volumes names it") {
			t.Errorf("it says more than anybody knows: %s", message)
		}
	})
}
