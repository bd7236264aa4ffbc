package takeover

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	// last is how many of the conditions each volume has behind it, by claim.
	last map[string]int
	// write stores the status. next: a step has been done for every image.
	write func(status v1alpha1.TakeoverStatus, next bool)
}

func newProgress(t *v1alpha1.Takeover, todo []planning.Volume, write func(v1alpha1.TakeoverStatus, bool)) *progress {
	p := &progress{status: *t.Status.DeepCopy(), generation: t.Generation, todo: todo, last: map[string]int{}, write: write}
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
	return !slices.ContainsFunc(p.todo, func(v planning.Volume) bool {
		return ahead(v.Plan, conditions()[n].name) && p.last[v.Claim.String()] <= n
	})
}

// finish is the status of a takeover that is carried out.
func finish(status *v1alpha1.TakeoverStatus, generation int64, all []planning.Volume, self ceph.Party) {
	status.Phase, status.Message = v1alpha1.TakeoverDone, ""
	if status.Plan != nil {
		status.Message = status.Plan.After
	}
	status.TakenCount = 0
	for _, v := range all {
		if owner := v.Plan.Record.Owner; !v.Plan.Done || owner != nil && owner.UID == self.UID {
			status.TakenCount++
		}
	}
	for _, c := range conditions() {
		if meta.FindStatusCondition(status.Conditions, c.name) != nil {
			set(status, c, metav1.ConditionTrue, generation)
		}
	}
}
