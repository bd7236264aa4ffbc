package takeover

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/planning"
)

func planned(change ...func(*planning.Volume)) planning.Volume {
	owner := &ceph.Owner{Party: east(), Namespace: "shop", Claim: "a"}
	v := planning.Volume{Claim: types.NamespacedName{Namespace: "shop", Name: "a"}, Plan: failover.Plan{
		Image: spec("a"), From: east(), Record: ceph.Record{State: ceph.Held, Owner: owner, Keyed: true},
		Fence: failover.Fence{Machines: []string{"10.0.1.11:0/0"}, Instances: []string{"10.0.1.11:0/1"}},
	}}
	for _, c := range change {
		c(&v)
	}
	return v
}

// Whatever would be done otherwise makes another hash, and what does not matter none.
func TestHash(t *testing.T) {
	asked := v1alpha1.TakeoverSpec{From: "east", By: "ann", Claims: []v1alpha1.ClaimReference{{Namespace: "shop", Name: "a"}}}
	hash := func(spec v1alpha1.TakeoverSpec, v planning.Volume) string {
		plan, _ := shown(spec, []planning.Volume{v})
		return plan.Hash
	}
	first := hash(asked, planned())
	for what, change := range map[string]func(*planning.Volume){
		"a machine more":                func(v *planning.Volume) { v.Plan.Fence.Machines = append(v.Plan.Fence.Machines, "10.0.1.12:0/0") },
		"a client more":                 func(v *planning.Volume) { v.Plan.Fence.Instances = append(v.Plan.Fence.Instances, "10.0.1.12:0/3") },
		"no machine":                    func(v *planning.Volume) { v.Plan.Fence.Machines = nil },
		"another image":                 func(v *planning.Volume) { v.Plan.Image.Name = "shop.b" },
		"another claim":                 func(v *planning.Volume) { v.Claim.Name = "b" },
		"nothing to do":                 func(v *planning.Volume) { v.Plan.Done, v.Plan.Why = true, "nobody owns it" },
		"another record":                func(v *planning.Volume) { v.Plan.Record.Admissions++ },
		"another volume that is hit":    func(v *planning.Volume) { v.Plan.Carried = []failover.Carried{{Image: spec("b")}} },
		"an image that nobody can read": func(v *planning.Volume) { v.Plan.Unknown = []ceph.ImageSpec{spec("b")} },
		"a doubt":                       func(v *planning.Volume) { v.Plan.Doubts = []string{"a pod was admitted"} },
	} {
		if hash(asked, planned(change)) == first {
			t.Errorf("%s: the hash is the same", what)
		}
	}
	for what, change := range map[string]func(*v1alpha1.TakeoverSpec){
		"another person":  func(s *v1alpha1.TakeoverSpec) { s.By = "bob" },
		"another cluster": func(s *v1alpha1.TakeoverSpec) { s.From = "north" },
		"to resume":       func(s *v1alpha1.TakeoverSpec) { s.Resume = true },
	} {
		other := *asked.DeepCopy()
		change(&other)
		if hash(other, planned()) == first {
			t.Errorf("%s: the hash is the same", what)
		}
	}
	confirmed := *asked.DeepCopy()
	confirmed.Confirm = first
	for what, v := range map[string]planning.Volume{
		"where the record stands": planned(func(v *planning.Volume) { v.Plan.Record.Revision, v.Plan.Record.Token = 7, "token" }),
		"nothing":                 planned(),
	} {
		if got := hash(confirmed, v); got != first {
			t.Errorf("%s makes another hash", what)
		}
	}
}

func TestBeyond(t *testing.T) {
	object := func() *v1alpha1.Takeover {
		t := &v1alpha1.Takeover{Spec: v1alpha1.TakeoverSpec{From: "east", By: "ann"}}
		t.Status.Plan, t.Status.Volumes = shown(t.Spec, []planning.Volume{planned()})
		return t
	}
	by := func(person, uid string) func(*planning.Volume) {
		return func(v *planning.Volume) {
			v.Plan.Record.State, v.Plan.Record.Admissions = ceph.Fencing, 9
			v.Plan.Record.Takeover = &ceph.Takeover{Party: ceph.Party{UID: uid}, By: person}
		}
	}
	machine := func(v *planning.Volume) { v.Plan.Fence.Machines = append(v.Plan.Fence.Machines, "10.0.1.12:0/0") }
	for name, test := range map[string]struct {
		now  planning.Volume
		late bool
		want string
	}{
		"the situation that was confirmed":     {now: planned()},
		"it is being taken":                    {now: planned(by("ann", "u-west")), late: true},
		"a client more of what is being taken": {now: planned(by("ann", "u-west"), func(v *planning.Volume) { v.Plan.Fence.Instances = []string{"10.0.1.11:0/9"} })},
		"it is taken":                          {now: planned(func(v *planning.Volume) { v.Plan = failover.Plan{Done: true} }), late: true},
		"it is ours, with a stranger":          {now: planned(func(v *planning.Volume) { v.Plan.Ours, v.Plan.Record.Admissions = true, 9 })},
		"another person takes it":              {now: planned(by("bob", "u-west")), want: "the record of volume shop/a has changed"},
		"another cluster takes it":             {now: planned(by("ann", "u-north")), want: "the record of volume shop/a has changed"},
		"its owner has written":                {now: planned(func(v *planning.Volume) { v.Plan.Record.Admissions++ }), want: "or cluster east lives"},
		"a machine more":                       {now: planned(by("ann", "u-west"), machine), want: "for volume shop/a, machine 10.0.1.12 would be fenced too"},
		"the claim leads elsewhere":            {now: planned(func(v *planning.Volume) { v.Plan.Image.Name = "shop.b" }), want: "leads to image rbd/shop.b now"},
		"a claim that was not there":           {now: planned(func(v *planning.Volume) { v.Claim.Name = "b" }), want: "which was not in the plan"},
		"not begun, and late":                  {now: planned(), late: true, want: "was not begun within 1h0m0s"},
	} {
		got := beyond(object(), []planning.Volume{test.now}, west(), test.late)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}

// A plan of very many volumes fits into an object, and its hash stands for what is cut as well.
func TestLongPlan(t *testing.T) {
	v := planned()
	for i := range 20000 {
		v.Plan.Carried = append(v.Plan.Carried, failover.Carried{Image: ceph.ImageSpec{Pool: "rbd", Name: fmt.Sprint("shop.besides-", i)}})
	}
	plan, _ := shown(v1alpha1.TakeoverSpec{}, []planning.Volume{v})
	if len(plan.Text) > textLimit+200 || len(plan.AlsoCutOff) != listLimit || !strings.Contains(plan.Text, "lines more; `kubectl cephferry failover` shows all of it") {
		t.Errorf("%d bytes, %d images, and it ends with %q", len(plan.Text), len(plan.AlsoCutOff), plan.Text[len(plan.Text)-100:])
	}
	v.Plan.Carried[19999].Image.Name = "shop.another"
	if other, _ := shown(v1alpha1.TakeoverSpec{}, []planning.Volume{v}); other.Hash == plan.Hash {
		t.Error("the hash does not stand for the last of them")
	}
}

func TestWhatIsAskedFor(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.TakeoverSpec)
		user   cephtest.User
		phase  v1alpha1.TakeoverPhase
		// says are in the message, and text in the plan.
		says, text []string
		// machines that the plan fences.
		machines string
	}{
		"all that the dead cluster owns": {phase: v1alpha1.TakeoverPlanned, machines: "10.0.1.11:0/0", text: []string{"shop/a ", "shop/b ", "shop/c ", "3 volumes together"}},
		"from another cluster": {change: func(s *v1alpha1.TakeoverSpec) { s.From = "north" }, phase: v1alpha1.TakeoverRefused,
			says: []string{"no claim whose image cluster north owns", "kubectl cephferry status -A"}},
		"a claim that another one has": {change: func(s *v1alpha1.TakeoverSpec) {
			s.From, s.All, s.Claims = "north", false, []v1alpha1.ClaimReference{{Namespace: "shop", Name: "a"}}
		}, phase: v1alpha1.TakeoverRefused, says: []string{"volume shop/a: the record says that cluster east has owned it since", "not cluster north"}},
		"a claim that is not there": {change: func(s *v1alpha1.TakeoverSpec) {
			s.All, s.Claims = false, []v1alpha1.ClaimReference{{Namespace: "shop", Name: "a"}, {Namespace: "shop", Name: "typo"}}
		}, phase: v1alpha1.TakeoverRefused, says: []string{"volume shop/typo: claim shop/typo: this cluster has neither the claim nor"}},
		"a claim twice": {change: func(s *v1alpha1.TakeoverSpec) {
			s.All, s.Claims = false, []v1alpha1.ClaimReference{{Namespace: "shop", Name: "b"}, {Namespace: "shop", Name: "b"}}
		}, phase: v1alpha1.TakeoverPlanned, text: []string{"volume shop/b (image rbd/shop.b)"}},
		"from the cluster itself": {change: func(s *v1alpha1.TakeoverSpec) { s.From = "west" }, phase: v1alpha1.TakeoverRefused,
			says: []string{`spec.from: Invalid value: "west"`, "create the Takeover in the cluster that takes the volumes"}},
		"addresses that are none": {change: func(s *v1alpha1.TakeoverSpec) { s.AlsoFence, s.Spare = []string{"10.0.1.13", "e1"}, []string{"e1"} }, phase: v1alpha1.TakeoverRefused,
			says: []string{"spec.alsoFence[1]", "spec.spare[0]"}},
		"a machine more":   {change: func(s *v1alpha1.TakeoverSpec) { s.AlsoFence = []string{"10.0.1.13"} }, phase: v1alpha1.TakeoverPlanned, machines: "10.0.1.11:0/0 10.0.1.13:0/0"},
		"a machine spared": {change: func(s *v1alpha1.TakeoverSpec) { s.Spare = []string{"10.0.1.11"} }, phase: v1alpha1.TakeoverPlanned},
		"a user who may not fence": {user: cephtest.Observer, phase: v1alpha1.TakeoverRefused,
			says: []string{"ask for the right to change the blocklist", "the ceph user lacks a capability", "do this"}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				if test.user != 0 {
					r.restart(test.user)
				}
				object := &v1alpha1.Takeover{
					ObjectMeta: metav1.ObjectMeta{Name: "lost", CreationTimestamp: metav1.Now()},
					Spec:       v1alpha1.TakeoverSpec{From: "east", By: "ann", All: true},
				}
				if test.change != nil {
					test.change(&object.Spec)
				}
				r.add(object)
				got := r.must("lost", test.phase)
				wantSays(t, got.Status.Message, test.says...)
				if plan := got.Status.Plan; plan != nil {
					wantSays(t, plan.Text, test.text...)
					if machines := strings.Join(plan.Machines, " "); machines != test.machines && test.text == nil {
						t.Errorf("it fences machines %q; want %q", machines, test.machines)
					}
				}
				if len(r.changes) > 0 {
					t.Errorf("it did %q", r.changes)
				}
				r.wantEasts("a", "b", "c")
			})
		})
	}
}
