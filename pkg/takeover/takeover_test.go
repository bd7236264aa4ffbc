package takeover

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// in runs a test without waiting for the clock.
func in(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t, cephtest.Provisioner)) })
}

func TestConfirmedPlanIsCarriedOut(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a")
		planned := r.must("lost", v1alpha1.TakeoverPlanned)
		want := `volume shop/a (image rbd/shop.a)
  owner       cluster east, claim shop/a, since 2026-11-22T14:03:00Z
  cut off     10.0.1.11:0/197: a client
  cuts off:   this volume only
  looked at   the records in rbd
`
		if diff := cmp.Diff(want, planned.Status.Plan.Text); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if !planned.Status.Plan.Exact || planned.Status.VolumeCount != 1 || len(r.changes) > 0 {
			t.Errorf("%+v after %q", planned.Status, r.changes)
		}
		wantSays(t, planned.Status.Message, `kubectl patch takeover lost --type merge -p '{"spec":{"confirm":"`+planned.Status.Plan.Hash+`"}}'`)
		r.wantEasts("a", "b", "c")

		r.confirm("lost", planned.Status.Plan.Hash)
		r.before = func(call string) error {
			if status := r.get("lost").Status; changesCeph(call) && (status.Confirmed != planned.Status.Plan.Hash || status.Phase != v1alpha1.TakeoverRunning) {
				t.Errorf("%s, and the status says %+v", call, status)
			}
			return nil
		}
		done := r.must("lost", v1alpha1.TakeoverDone)
		r.wantTaken("ann", "a")
		r.wantEasts("b", "c")
		if done.Status.TakenCount != 1 || done.Status.Volumes[0].Step != "TakenOver" {
			t.Errorf("%+v", done.Status)
		}
		wantSays(t, done.Status.Message, "Start the workload here.", "When cluster east is back, no node has to be rebooted")
		var conditions []string
		for _, c := range done.Status.Conditions {
			conditions = append(conditions, c.Type+" "+string(c.Status))
		}
		if diff := cmp.Diff([]string{"Begun True", "InstancesFenced True", "InForce True", "Renamed True", "NobodyLeft True", "TakenOver True"}, conditions); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}

		// It is history.
		before := len(r.ceph.Calls())
		if again := r.must("lost", v1alpha1.TakeoverDone); again.ResourceVersion != done.ResourceVersion || len(r.ceph.Calls()) != before {
			t.Errorf("it was looked at again: %+v", again.Status)
		}
	})
}

// A leader that is killed after anything that it has written, and the next one somewhere before: each
// goes on with what was confirmed, and nobody is asked again.
func TestKilledLeader(t *testing.T) {
	// writes are the numbers of the calls that write something.
	writes := []int{0}
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a", "c")
		planned := r.must("lost", v1alpha1.TakeoverPlanned)
		r.confirm("lost", planned.Status.Plan.Hash)
		calls := 0
		r.before = func(call string) error {
			if calls++; changesCeph(call) || call == "status" {
				writes = append(writes, calls)
			}
			return nil
		}
		r.must("lost", v1alpha1.TakeoverDone)
		r.wantTaken("ann", "a", "c")
	})
	if len(writes) < 15 {
		t.Fatalf("it wrote after calls %v only", writes)
	}
	for _, n := range writes {
		in(t, func(t *testing.T, r *rig) {
			r.create("lost", "ann", "a", "c")
			planned := r.must("lost", v1alpha1.TakeoverPlanned)
			r.confirm("lost", planned.Status.Plan.Hash)
			for _, left := range []int{n, n / 2} {
				r.left = left
				if got, err := r.reconcile("lost"); err == nil && got.Status.Phase != v1alpha1.TakeoverDone {
					t.Fatalf("killed after %d calls, it answers %+v", left, got.Status)
				}
				r.restart(cephtest.Provisioner)
			}
			done := r.must("lost", v1alpha1.TakeoverDone)
			r.wantTaken("ann", "a", "c")
			if done.Status.Confirmed != planned.Status.Plan.Hash || done.Status.TakenCount != 2 {
				t.Errorf("killed after %d calls: %+v", n, done.Status)
			}
			for _, c := range done.Status.Conditions {
				if c.Status != metav1.ConditionTrue {
					t.Errorf("killed after %d calls, it is done and %s is %s", n, c.Type, c.Status)
				}
			}
		})
	}
}

func TestTheSituationChanges(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a", "c")
		old := r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash
		time.Sleep(time.Minute)
		if again := r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash; again != old {
			t.Errorf("nothing has changed, and the hash is %s, and was %s", again, old)
		}
		was := r.record("a")
		changed := was
		changed.Admissions++
		r.put("a", changed)
		r.confirm("lost", old)
		asked := r.must("lost", v1alpha1.TakeoverPlanned)
		wantSays(t, asked.Status.Message, "plan "+old+" was confirmed, but the situation has changed since", asked.Status.Plan.Hash)
		if len(r.changes) > 0 || asked.Status.Plan.Hash == old || asked.Status.Confirmed != "" {
			t.Errorf("%q, %+v", r.changes, asked.Status)
		}
		r.wantEasts("a", "c")

		// What was said once does not count later.
		r.put("a", was)
		back := r.must("lost", v1alpha1.TakeoverPlanned)
		if back.Status.Plan.Hash != old || len(r.changes) > 0 {
			t.Errorf("%q, %+v", r.changes, back.Status)
		}
		wantSays(t, back.Status.Message, "empty spec.confirm first")
		r.wantEasts("a", "c")
		r.confirm("lost", "")
		r.must("lost", v1alpha1.TakeoverPlanned)
		r.confirm("lost", old)
		r.must("lost", v1alpha1.TakeoverDone)
		r.wantTaken("ann", "a", "c")
	})
}

func TestTwoPeople(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("anns", "ann", "a", "b")
		r.create("bobs", "bob", "b", "c")
		ann, bob := r.must("anns", v1alpha1.TakeoverPlanned), r.must("bobs", v1alpha1.TakeoverPlanned)
		r.confirm("anns", ann.Status.Plan.Hash)
		r.confirm("bobs", bob.Status.Plan.Hash)
		r.before = func(call string) error {
			if call == "Blocklist" {
				return ceph.ErrUnreachable
			}
			return nil
		}
		broken, err := r.reconcile("anns")
		if err == nil || broken.Status.Phase != v1alpha1.TakeoverFailed {
			t.Fatalf("%v, %+v", err, broken.Status)
		}
		r.before = nil
		refused := r.must("bobs", v1alpha1.TakeoverRefused)
		wantSays(t, refused.Status.Message, "volume shop/b: ann has been taking it for cluster west")
		r.wantEasts("c")

		r.must("anns", v1alpha1.TakeoverDone)
		r.wantTaken("ann", "a", "b")
		// Bob's confirmation was for another situation.
		if later := r.must("bobs", v1alpha1.TakeoverPlanned); later.Status.Rejected != bob.Status.Plan.Hash {
			t.Errorf("%+v", later.Status)
		}
		r.wantEasts("c")
	})
}

func TestAnotherPersonGoesOn(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("anns", "ann", "a")
		r.put("a", taking(r.record("a"), "zoe"))
		wantSays(t, r.must("anns", v1alpha1.TakeoverRefused).Status.Message, "zoe has been taking it for cluster west", "--resume")
		r.add(&v1alpha1.Takeover{
			ObjectMeta: metav1.ObjectMeta{Name: "resumes", CreationTimestamp: metav1.Now()},
			Spec:       v1alpha1.TakeoverSpec{From: "east", By: "ann", Resume: true, Claims: []v1alpha1.ClaimReference{{Namespace: "shop", Name: "a"}}},
		})
		r.confirm("resumes", r.must("resumes", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
		r.must("resumes", v1alpha1.TakeoverDone)
		r.wantTaken("ann", "a")
	})
}

func taking(record ceph.Record, by string) ceph.Record {
	record.State = ceph.Fencing
	record.Takeover = &ceph.Takeover{Party: west(), By: by, Since: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
	return record
}

// Somebody gives up what was begun while no leader is there: the next one does not begin again.
func TestGivenUpMeanwhile(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a")
		planned := r.must("lost", v1alpha1.TakeoverPlanned)
		r.confirm("lost", planned.Status.Plan.Hash)
		r.before = func(call string) error {
			if call == "Blocklist" {
				return errKilled
			}
			return nil
		}
		if _, err := r.reconcile("lost"); err == nil {
			t.Fatal("it was not killed")
		}
		if r.record("a").State != ceph.Fencing {
			t.Fatalf("%+v", r.record("a"))
		}
		if _, err := failover.Drop(t.Context(), r.admin, spec("a"), ownership.Taker{Cluster: west(), By: "bob", Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
		r.restart(cephtest.Provisioner)
		for range 2 {
			stopped := r.must("lost", v1alpha1.TakeoverFailed)
			wantSays(t, stopped.Status.Message, "record of volume shop/a has changed since the plan was confirmed", "kubectl cephferry history shop/a")
			if len(r.changes) > 0 {
				t.Errorf("it did %q", r.changes)
			}
			r.wantEasts("a")
		}
		r.confirm("lost", r.get("lost").Status.Plan.Hash)
		r.must("lost", v1alpha1.TakeoverDone)
		r.wantTaken("ann", "a")
	})
}

func TestTakenBack(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a")
		planned := r.must("lost", v1alpha1.TakeoverPlanned)
		r.confirm("lost", planned.Status.Plan.Hash)
		r.before = func(call string) error {
			if call == "Blocklist" {
				return ceph.ErrUnreachable
			}
			return nil
		}
		if _, err := r.reconcile("lost"); err == nil {
			t.Fatal("it did not break off")
		}
		r.restart(cephtest.Provisioner)
		r.confirm("lost", "")
		stopped := r.must("lost", v1alpha1.TakeoverFailed)
		wantSays(t, stopped.Status.Message, "the confirmation was taken back")
		if len(r.changes) > 0 {
			t.Errorf("it did %q", r.changes)
		}
		r.confirm("lost", stopped.Status.Plan.Hash)
		r.must("lost", v1alpha1.TakeoverDone)
		r.wantTaken("ann", "a")
	})
}

// Somebody who may write the status, and not the spec, makes it fence nobody whom the person has not
// seen.
func TestStatusThatSomebodyHasWritten(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.TakeoverStatus){
		"machines":        func(s *v1alpha1.TakeoverStatus) { s.Plan.Machines = append(s.Plan.Machines, "10.0.1.11:0/0") },
		"another volume":  func(s *v1alpha1.TakeoverStatus) { s.Volumes[0].Claim, s.Volumes[0].Image = "b", "rbd/shop.b" },
		"another record":  func(s *v1alpha1.TakeoverStatus) { s.Volumes[0].Record = "" },
		"no plan":         func(s *v1alpha1.TakeoverStatus) { s.Plan = nil },
		"another's hash":  func(s *v1alpha1.TakeoverStatus) { s.Plan.Hash, s.Confirmed = "0123", "0123" },
		"no confirmation": func(s *v1alpha1.TakeoverStatus) {},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.create("lost", "ann", "a")
				planned := r.must("lost", v1alpha1.TakeoverPlanned)
				// The situation is another one by then, so that the person's confirmation is void.
				changed := r.record("a")
				changed.Admissions++
				r.put("a", changed)
				if name != "no confirmation" {
					r.confirm("lost", planned.Status.Plan.Hash)
				}
				object := r.get("lost")
				object.Status.Phase, object.Status.Confirmed = v1alpha1.TakeoverRunning, planned.Status.Plan.Hash
				change(&object.Status)
				if err := r.api.Status().Update(t.Context(), object); err != nil {
					t.Fatal(err)
				}
				r.must("lost", v1alpha1.TakeoverFailed)
				if len(r.changes) > 0 {
					t.Errorf("it did %q", r.changes)
				}
				r.wantEasts("a", "b", "c")
			})
		})
	}
}

func TestDeletedWhileItRuns(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a")
		r.confirm("lost", r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
		object := r.get("lost")
		r.before = func(call string) error {
			if call != "Blocklist" {
				return nil
			}
			r.before = nil
			return r.api.Delete(context.Background(), object)
		}
		r.running = true
		if _, err := r.Reconcile(t.Context(), request("lost")); err != nil {
			t.Fatal(err)
		}
		if got := r.record("a").State; got != ceph.Fencing {
			t.Errorf("the image is %s", got)
		}
	})
}

func TestLate(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a")
		r.create("begun", "ann", "b")
		planned, begun := r.must("lost", v1alpha1.TakeoverPlanned), r.must("begun", v1alpha1.TakeoverPlanned)
		r.confirm("begun", begun.Status.Plan.Hash)
		r.before = func(call string) error {
			if call == "Barrier" {
				return ceph.ErrUnreachable
			}
			return nil
		}
		if _, err := r.reconcile("begun"); err == nil {
			t.Fatal("it did not break off")
		}
		r.restart(cephtest.Provisioner)
		time.Sleep(begunWithin + time.Second)
		r.confirm("lost", planned.Status.Plan.Hash)
		late := r.must("lost", v1alpha1.TakeoverRefused)
		wantSays(t, late.Status.Message, "not begun within 1h0m0s of its creation", "Create another Takeover")
		if len(r.changes) > 0 {
			t.Errorf("it did %q", r.changes)
		}
		r.wantEasts("a")
		r.must("begun", v1alpha1.TakeoverDone)
		r.wantTaken("ann", "b")
	})
}

// What was confirmed, and not begun when the leader was killed, is not begun a day later.
func TestLateAndNotBegun(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a")
		r.confirm("lost", r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
		r.before = func(call string) error {
			if changesCeph(call) {
				return errKilled
			}
			return nil
		}
		if _, err := r.reconcile("lost"); err == nil {
			t.Fatal("it was not killed")
		}
		r.restart(cephtest.Provisioner)
		time.Sleep(begunWithin + time.Second)
		wantSays(t, r.must("lost", v1alpha1.TakeoverFailed).Status.Message, "taking volume shop/a was not begun within 1h0m0s", "Create another Takeover")
		r.wantEasts("a")
	})
}

func TestOutageRefusesNobody(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a")
		down := func(call string) error {
			if call == "Watchers" {
				return ceph.ErrUnreachable
			}
			return nil
		}
		r.before = down
		planning, err := r.reconcile("lost")
		if err == nil || planning.Status.Phase != v1alpha1.TakeoverPlanning {
			t.Fatalf("%v, %+v", err, planning.Status)
		}
		wantSays(t, planning.Status.Message, "is tried again", "ceph does not answer", "do this")
		r.before = nil
		r.confirm("lost", r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
		r.before = down
		if waits, err := r.reconcile("lost"); err == nil || waits.Status.Phase != v1alpha1.TakeoverPlanned || waits.Status.Rejected != "" {
			t.Fatalf("%v, %+v", err, waits.Status)
		}
		r.before = nil
		r.must("lost", v1alpha1.TakeoverDone)
	})
}

// An API server that answers nothing any more keeps no image from being taken.
func TestAPIServerDiesWhileItRuns(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann")
		r.confirm("lost", r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
		begun := false
		r.before = func(call string) error {
			begun = begun || call == "Blocklist"
			if begun && call == "status" {
				return errors.New("connection refused")
			}
			return nil
		}
		if _, err := r.reconcile("lost"); err == nil {
			t.Error("nothing says that the status was not written")
		}
		r.wantTaken("ann", "a", "b", "c")
		r.before = nil
		done := r.must("lost", v1alpha1.TakeoverDone)
		if !meta.IsStatusConditionTrue(done.Status.Conditions, "TakenOver") || done.Status.TakenCount != 3 {
			t.Errorf("%+v", done.Status)
		}
	})
}

// The person takes the confirmation back in the moment in which it is read.
func TestConfirmationThatGoesMeanwhile(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a")
		r.confirm("lost", r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash)
		r.before = func(call string) error {
			if call == "status" {
				r.before = nil
				r.confirm("lost", "")
			}
			return nil
		}
		if got, err := r.reconcile("lost"); err == nil || len(r.changes) > 0 {
			t.Errorf("%v, it did %q, %+v", err, r.changes, got.Status)
		}
		r.wantEasts("a")
	})
}

// East writes while its images are being begun: nothing is taken, and the person is asked again.
func TestTheSituationChangesWhileItBegins(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.create("lost", "ann", "a", "b")
		old := r.must("lost", v1alpha1.TakeoverPlanned).Status.Plan.Hash
		r.confirm("lost", old)
		image, changed := r.image("b"), r.record("b")
		changed.Admissions++
		changed.Owner.Nodes = append(changed.Owner.Nodes, ceph.Node{Name: "e2", Addresses: []string{"10.0.1.12"}, BootID: "boot of e2", Clients: []string{"10.0.1.12:0/7"}})
		r.before = func(call string) error {
			if call == "ClaimKey" {
				r.before = nil
				r.ceph.WriteRecord(image, changed.Encode())
			}
			return nil
		}
		broken := r.must("lost", v1alpha1.TakeoverPlanning)
		wantSays(t, broken.Status.Message, "nothing was done", "volume shop/b: image rbd/shop.b: cluster east has changed its own entry in the meantime", "volume shop/a: not begun")
		if broken.Status.Confirmed != "" || broken.Status.Rejected != old {
			t.Errorf("%+v", broken.Status)
		}
		asked := r.must("lost", v1alpha1.TakeoverPlanned)
		wantSays(t, asked.Status.Message, "plan "+old+" was confirmed")
		if asked.Status.Plan.Hash == old || len(asked.Status.Plan.Instances) != 3 {
			t.Errorf("%+v", asked.Status.Plan)
		}
		r.wantEasts("a", "b")
	})
}
