package takeover

import (
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/planning"
)

// The conditions, each of which is True when the step is done for every image.
const (
	begunCondition     = "Begun"
	machinesCondition  = "MachinesFenced"
	instancesCondition = "InstancesFenced"
	inForceCondition   = "InForce"
	renamedCondition   = "Renamed"
	nobodyCondition    = "NobodyLeft"
	takenCondition     = "TakenOver"
	nodeCondition      = "NodeFenced"
)

// volumesNamed is how many volumes a message names.
const volumesNamed = 5

// condition is a step under the name of its condition.
type condition struct {
	name string
	step failover.Step
}

// conditions are in the order of the steps.
func conditions() []condition {
	return []condition{
		{begunCondition, failover.Begun},
		{machinesCondition, failover.Machines},
		{instancesCondition, failover.Instances},
		{inForceCondition, failover.InForce},
		{renamedCondition, failover.Renamed},
		{nobodyCondition, failover.NobodyLeft},
		{takenCondition, failover.TakenOver},
		{nodeCondition, failover.NodeFenced},
	}
}

// Conditions are the types of the conditions that a Takeover may have, in their order.
func Conditions() []string {
	var all []string
	for _, c := range conditions() {
		all = append(all, c.name)
	}
	return all
}

// ahead reports whether a plan has the step.
func ahead(plan failover.Plan, name string) bool {
	switch name {
	case machinesCondition:
		return len(plan.Fence.Machines) > 0
	case instancesCondition:
		return len(plan.Fence.Instances) > 0
	case begunCondition, takenCondition:
		return !plan.Ours
	case renamedCondition:
		return plan.Record.Keyed && !plan.Ours
	case nobodyCondition:
		return plan.Wish.Lost == ""
	case nodeCondition:
		return plan.Wish.Lost != ""
	}
	return true
}

// progress notes the steps of a run in a status. Its methods may be called at once.
type progress struct {
	mu     sync.Mutex
	status v1alpha1.TakeoverStatus
	// generation is that of the spec.
	generation int64
	todo       []planning.Volume
	// last is how many of the conditions each volume has reached, by claim.
	last map[string]int
	// short: for some volumes it is unknown whether the node was cut off from them, and the run no
	// longer includes them.
	short bool
	// write stores the status. next: a step has been done for every image.
	write func(status v1alpha1.TakeoverStatus, next bool)
}

func newProgress(t *v1alpha1.Takeover, all, todo []planning.Volume, write func(v1alpha1.TakeoverStatus, bool)) *progress {
	p := &progress{status: *t.Status.DeepCopy(), generation: t.Generation, todo: todo, last: map[string]int{}, write: write}
	p.short = slices.ContainsFunc(notCutOff(p.status, all), func(v planning.Volume) bool { return v.Plan.Done })
	for _, c := range conditions() {
		has := slices.ContainsFunc(todo, func(v planning.Volume) bool { return ahead(v.Plan, c.name) })
		if has && meta.FindStatusCondition(p.status.Conditions, c.name) == nil {
			set(&p.status, c, metav1.ConditionFalse, p.generation)
		}
	}
	return p
}

// set reports whether the condition has changed.
func set(status *v1alpha1.TakeoverStatus, c condition, value metav1.ConditionStatus, generation int64) bool {
	reason := "NotYet"
	if value == metav1.ConditionTrue {
		reason = "Done"
	}
	return meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: c.name, Status: value, Reason: reason, Message: string(c.step), ObservedGeneration: generation,
	})
}

// of is the progress of volumes that are taken together.
func (p *progress) of(together []planning.Volume) func(int, failover.Step) {
	return func(i int, step failover.Step) { p.did(together[i], step) }
}

func (p *progress) did(v planning.Volume, step failover.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := conditions()
	n := slices.IndexFunc(all, func(c condition) bool { return c.step == step })
	p.last[v.Claim.String()] = n + 1
	for i := range p.status.Volumes {
		if of := &p.status.Volumes[i]; of.Namespace == v.Claim.Namespace && of.Claim == v.Claim.Name {
			of.Step = all[n].name
		}
	}
	if step == failover.TakenOver || step == failover.NodeFenced {
		p.status.TakenCount++
	}
	p.write(*p.status.DeepCopy(), p.reached(n) && set(&p.status, all[n], metav1.ConditionTrue, p.generation))
}

// reached reports whether every image that has the n-th step has it behind it.
func (p *progress) reached(n int) bool {
	return !p.short && !slices.ContainsFunc(p.todo, func(v planning.Volume) bool {
		return ahead(v.Plan, conditions()[n].name) && p.last[v.Claim.String()] <= n
	})
}

// finish is the status of a takeover that is carried out, or of which nothing is left to do.
func finish(status *v1alpha1.TakeoverStatus, generation int64, node string, all []planning.Volume, self ceph.Party) {
	all = withGone(*status, node, all)
	status.Phase, status.Message = v1alpha1.TakeoverDone, ""
	if status.Plan != nil {
		status.Message = status.Plan.After
	}
	status.TakenCount = 0
	over, said := isOver(*status, all), saidIn(*status)
	for _, v := range all {
		switch owner := v.Plan.Record.Owner; {
		case v.Plan.Wish.Lost != "":
			if said.safe(over, v) {
				status.TakenCount++
			}
		case !v.Plan.Done, owner != nil && owner.UID == self.UID:
			status.TakenCount++
		}
	}
	value := metav1.ConditionTrue
	switch left := notCutOff(*status, all); {
	case len(left) > 0:
		value, status.Message = metav1.ConditionFalse, notDone(*status, left)
	case len(all) > 0 && all[0].Plan.Wish.Lost != "" && !slices.ContainsFunc(all, said.fenced):
		status.Message = fmt.Sprintf("this Takeover cut nothing off, and need not: node %s has rebooted since, so nothing from before the reboot can be written", all[0].Plan.Wish.Lost)
		status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool { return c.Status != metav1.ConditionTrue })
	}
	for _, c := range conditions() {
		if meta.FindStatusCondition(status.Conditions, c.name) != nil || c.name == nodeCondition && value == metav1.ConditionFalse {
			set(status, c, value, generation)
		}
	}
}

// withGone are all volumes and those of the plan in the status that are not among them, because nothing shows any
// more that the node has them.
func withGone(status v1alpha1.TakeoverStatus, node string, all []planning.Volume) []planning.Volume {
	if node == "" {
		return all
	}
	there := sets.New[types.NamespacedName]()
	for _, v := range all {
		there.Insert(v.Claim)
	}
	all = slices.Clone(all)
	for _, of := range status.Volumes {
		if claim := claimOf(of); !there.Has(claim) {
			all = append(all, planning.Volume{Claim: claim, Plan: failover.Plan{
				Wish: failover.Wish{Lost: node}, Done: true, Why: "nothing shows that node " + node + " has it",
			}})
		}
	}
	return all
}

func claimOf(of v1alpha1.TakeoverVolume) types.NamespacedName {
	return types.NamespacedName{Namespace: of.Namespace, Name: of.Claim}
}

// said is what a status says of the volumes, by claim.
type said map[types.NamespacedName]v1alpha1.TakeoverVolume

func saidIn(status v1alpha1.TakeoverStatus) said {
	all := make(said, len(status.Volumes))
	for _, of := range status.Volumes {
		all[claimOf(of)] = of
	}
	return all
}

// fenced reports whether this Takeover has cut its node off from a volume.
func (s said) fenced(v planning.Volume) bool {
	return s[v.Claim].Step == nodeCondition
}

// safe reports whether the node of a Takeover is known to write nothing more to a volume: this Takeover
// has cut it off, or every boot that was to be cut off is proven to be over. That the API server
// shows no use any more, or that the record does not name the node, proves nothing. over is what isOver says.
func (s said) safe(over bool, v planning.Volume) bool {
	return s.fenced(v) || over && v.Plan.Done && len(v.Plan.Over) > 0
}

// isOver reports whether every boot that was to be cut off by the plan in the status is proven to be over.
func isOver(status v1alpha1.TakeoverStatus, all []planning.Volume) bool {
	if status.Plan == nil {
		return false
	}
	over := map[string]bool{}
	for _, v := range all {
		for _, boot := range v.Plan.Over {
			over[boot] = true
		}
	}
	return !slices.ContainsFunc(status.Plan.Boots, func(boot string) bool { return !over[boot] })
}

// notCutOff are the volumes from which a node was to be cut off by the plan in the status, and is not known
// to be. Those of which the plan says that there is nothing to do are none of them.
func notCutOff(status v1alpha1.TakeoverStatus, all []planning.Volume) []planning.Volume {
	over, said := isOver(status, all), saidIn(status)
	return slices.DeleteFunc(slices.Clone(all), func(v planning.Volume) bool {
		return v.Plan.Wish.Lost == "" || said[v.Claim].Message != "" || said.safe(over, v)
	})
}

// notDone says of which volumes nobody knows that the node is cut off from them.
func notDone(status v1alpha1.TakeoverStatus, left []planning.Volume) string {
	name := left[0].Plan.Wish.Lost
	text := "this Takeover cut nothing off"
	if slices.ContainsFunc(status.Conditions, func(c metav1.Condition) bool { return c.Status == metav1.ConditionTrue }) ||
		slices.ContainsFunc(status.Volumes, func(v v1alpha1.TakeoverVolume) bool { return v.Step != "" }) {
		text = "this Takeover did not cut off everything"
	}
	text += "; node " + name + " may write to "
	for i, v := range left[:min(len(left), volumesNamed)] {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("volume %s (%s)", v.Claim, v.Plan.Why)
	}
	if more := len(left) - volumesNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + ". Make sure that the node is off or has rebooted; if it has them again, create another Takeover"
}
