package takeover

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/planning"
)

// begunWithin is how long after its creation a Takeover may be begun. The records say nothing of
// a cluster that came back meanwhile and runs what it ran before.
const begunWithin = v1alpha1.TakeoverBegunWithin

// decision is what becomes of a Takeover.
type decision struct {
	status v1alpha1.TakeoverStatus
	// run: carry out the plan that status.confirmed stands for.
	run bool
	// final: nothing more changes without a person.
	final bool
}

// decide says what becomes of a Takeover whose volumes have these plans now.
//
//	confirmed and going on, as far as what is found is covered by that      run
//	a volume is refused                                                    Refused, or Failed
//	nothing to do                                                          Done
//	the confirmation is the hash of the plan of now, and comes in time      run
//	it is another one                                                      Planned, and the confirmation is void
//	none                                                                   Planned
//
// What was begun before is Failed where it else were Planned or Refused. A node that was refused then is
// not lost any more, as far as the person knew: it needs another confirmation. One that is taken back for a
// node is forgotten, so that it may be given again.
func decide(t *v1alpha1.Takeover, all []planning.Volume, self ceph.Party, now time.Time) decision {
	d := decision{status: *t.Status.DeepCopy()}
	late := isLate(t, now)
	underway, begun := t.Status.Confirmed != "", isBegun(t)
	if t.Spec.Node != "" && t.Spec.Confirm == "" {
		d.status.Confirmed = ""
	}
	if err := planning.Refused(all); err != nil {
		return d.refused(t, all, err, late)
	}
	if done(all) {
		return d.done(t, all, self)
	}
	stopped := ""
	if underway {
		if t.Status.Plan != nil {
			stopped = beyond(t, all, self, late)
		}
		switch {
		case t.Spec.Confirm == "":
			stopped = "the confirmation was taken back"
		case t.Spec.Node != "" && t.Spec.Confirm == t.Status.Rejected:
			stopped = cmp.Or(stopped, "it was refused after it was confirmed")
		case stopped == "" && vouched(t):
			d.status.Phase, d.status.Message = v1alpha1.TakeoverRunning, ""
			d.run = true
			return d
		}
	}
	plan, volumes := shown(t.Spec, all)
	same := t.Status.Plan != nil && t.Status.Plan.Hash == plan.Hash
	d.status.Plan, d.status.Volumes = plan, volumes
	d.status.VolumeCount, d.status.TakenCount = int32(len(volumes)), taken(all, self)
	d.status.Phase = v1alpha1.TakeoverPlanned
	if begun {
		d.status.Phase = v1alpha1.TakeoverFailed
	}
	how := fmt.Sprintf("read status.plan.text; to carry it out: kubectl patch takeover %s --type merge -p '{\"spec\":{\"confirm\":%q}}'", t.Name, plan.Hash)
	say := func(parts ...string) decision {
		d.status.Message = strings.Join(parts, ". ")
		return d
	}
	switch confirm := t.Spec.Confirm; {
	case late:
		d.final = true
		if !begun {
			d.status.Phase = v1alpha1.TakeoverRefused
		}
		return say(cmp.Or(stopped, fmt.Sprintf("it was not begun within %s of its creation", begunWithin)), "Create another Takeover")
	case confirm == "":
		d.status.Rejected = ""
		if begun {
			return say(cmp.Or(stopped, "it was begun, and waits for another confirmation"), "To go on, "+how)
		}
		return say("it waits for its confirmation: " + how)
	case stopped != "" && confirm == plan.Hash:
		d.status.Rejected = confirm
		return say(stopped, "To confirm it again, empty spec.confirm first")
	case confirm == t.Status.Rejected && confirm == plan.Hash:
		return say("plan "+confirm+" was confirmed for a different situation", "To confirm it again, empty spec.confirm first")
	case confirm == plan.Hash:
		d.status.Phase, d.status.Message = v1alpha1.TakeoverRunning, ""
		d.status.Confirmed, d.status.Rejected = confirm, ""
		d.anew(t, begun)
		d.run = true
		return d
	case confirm == t.Status.Rejected && same:
		return d // the rejection is already shown
	default:
		d.status.Rejected = confirm
		return say(cmp.Or(stopped, "plan "+confirm+" was confirmed, but the situation has changed since, so nothing was done"), "The current plan is "+plan.Hash+": "+how)
	}
}

// isBegun reports whether Ceph may have been told something for it, be the confirmation taken back since.
func isBegun(t *v1alpha1.Takeover) bool {
	return t.Status.Confirmed != "" || t.Status.Phase == v1alpha1.TakeoverFailed || len(t.Status.Conditions) > 0
}

// anew takes back what the conditions say of a plan that was confirmed before. One of a node that was begun has
// one at least, and so stays begun.
func (d *decision) anew(t *v1alpha1.Takeover, begun bool) {
	for _, c := range conditions() {
		if meta.FindStatusCondition(d.status.Conditions, c.name) != nil || begun && t.Spec.Node != "" && c.name == nodeCondition {
			set(&d.status, c, metav1.ConditionFalse, t.Generation)
		}
	}
}

// isLate reports whether nothing more may be begun for it.
func isLate(t *v1alpha1.Takeover, now time.Time) bool {
	return now.After(t.CreationTimestamp.Add(begunWithin))
}

// refused is for a Takeover of which one volume at least cannot be taken. A confirmation that
// came by then does not count later.
func (d decision) refused(t *v1alpha1.Takeover, all []planning.Volume, err error, late bool) decision {
	d.status.Message = err.Error()
	if isBegun(t) {
		d.status.Phase = v1alpha1.TakeoverFailed
		goesOn := vouched(t) && t.Spec.Node == ""
		d.final = late && !goesOn
		if t.Spec.Node != "" {
			d.status.Rejected, d.status.Plan = t.Spec.Confirm, nil
		}
		switch {
		case goesOn:
			d.status.Message += "\nIt is tried again by itself"
		case late:
			d.status.Message += "\nIt is over: create another Takeover"
		default:
			d.status.Message += "\nIt is planned again, and does nothing more until that plan is confirmed"
		}
		return d
	}
	d.status.Phase, d.status.Plan, d.status.Rejected = v1alpha1.TakeoverRefused, nil, t.Spec.Confirm
	d.status.Volumes = nil
	for _, v := range all {
		volume := v1alpha1.TakeoverVolume{Namespace: v.Claim.Namespace, Claim: v.Claim.Name}
		if v.Err != nil {
			volume.Message = v.Err.Error()
		}
		d.status.Volumes = append(d.status.Volumes, volume)
	}
	d.status.VolumeCount, d.status.TakenCount = int32(len(all)), 0
	if len(all) > volumeLimit {
		d.status.Volumes = nil
	}
	d.final = late
	return d
}

// senseless is for a Takeover that is about nothing; forever, if that cannot change.
func senseless(t *v1alpha1.Takeover, err error, forever bool) decision {
	return decision{status: *t.Status.DeepCopy()}.refused(t, nil, err, forever)
}

// done is for one of which nothing is left to do.
func (d decision) done(t *v1alpha1.Takeover, all []planning.Volume, self ceph.Party) decision {
	d.final = true
	if isBegun(t) {
		finish(&d.status, t.Generation, t.Spec.Node, all, self)
		return d
	}
	d.status.Phase, d.status.Message, d.status.Plan = v1alpha1.TakeoverDone, "nothing to do", nil
	if t.Spec.Node != "" {
		d.status.Message = "nothing to do: node " + t.Spec.Node + " has none of the guarded volumes"
		if len(t.Spec.Claims) > 0 {
			d.status.Message = "nothing to do: node " + t.Spec.Node + " has none of these volumes"
		}
	}
	_, d.status.Volumes = shown(t.Spec, all)
	d.status.VolumeCount, d.status.TakenCount = int32(len(all)), taken(all, self)
	return d
}

func done(all []planning.Volume) bool {
	for _, v := range all {
		if !v.Plan.Done {
			return false
		}
	}
	return true
}

// taken is how many images are this cluster's, and safe from a node without being cut off from it.
func taken(all []planning.Volume, self ceph.Party) int32 {
	n := int32(0)
	for _, v := range all {
		if v.Plan.Wish.Lost != "" && (!v.Plan.Done || len(v.Plan.Over) == 0) {
			continue
		}
		if owner := v.Plan.Record.Owner; owner != nil && owner.UID == self.UID {
			n++
		}
	}
	return n
}
