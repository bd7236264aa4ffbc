package v1alpha1

import "time"

// TakeoverBegunWithin is how long after its creation a Takeover may be begun, and one of a node be carried
// out.
const TakeoverBegunWithin = time.Hour

// IsOver reports whether nothing becomes of a Takeover any more, by itself or by another confirmation. One that
// takes images from another cluster, and has begun what was confirmed, goes on for as long as it takes.
func (t *Takeover) IsOver(now time.Time) bool {
	switch t.Status.Phase {
	case TakeoverDone:
		return true
	case TakeoverRunning:
		return false
	case "", TakeoverPlanning, TakeoverPlanned, TakeoverRefused, TakeoverFailed:
	}
	confirmed, plan := t.Status.Confirmed, t.Status.Plan
	goesOn := t.Spec.Node == "" && confirmed != "" && t.Spec.Confirm == confirmed && plan != nil && plan.Hash == confirmed
	return !t.CreationTimestamp.IsZero() && now.After(t.CreationTimestamp.Add(TakeoverBegunWithin)) && !goesOn
}
