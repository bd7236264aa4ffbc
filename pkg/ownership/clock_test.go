package ownership_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Clocks jump, and those of two clusters differ. Whatever the time is, and whatever
// times stand in the record, the decision is the same; only what people read differs.
func TestNoDecisionDependsOnTheTime(t *testing.T) {
	clocks := []time.Time{
		nowKept, // as the others
		time.Unix(0, 0),
		nowKept.Add(-30 * time.Minute),
		nowKept.AddDate(0, 0, 1),
		time.Date(2106, 2, 8, 0, 0, 0, 0, time.UTC),
	}
	// steps are all that a record may go through.
	steps := func(at time.Time) map[string]func(ceph.Record) (ceph.Record, error) {
		all := map[string]func(ceph.Record) (ceph.Record, error){}
		for _, by := range []ceph.Party{east, west} {
			request := asks(by, "p")
			request.Now = at
			taker := takes(by, "ann")
			taker.Now = at
			all["acquire "+by.Name] = func(r ceph.Record) (ceph.Record, error) { return ownership.Acquire(r, request) }
			all["release "+by.Name] = func(r ceph.Record) (ceph.Record, error) { return ownership.Release(r, by, "", at) }
			all["begin "+by.Name] = func(r ceph.Record) (ceph.Record, error) { return ownership.BeginFence(r, taker) }
			all["finish "+by.Name] = func(r ceph.Record) (ceph.Record, error) {
				return ownership.FinishFence(r, r, taker, "shop", "data", []string{clientOnE1})
			}
			all["drop "+by.Name] = func(r ceph.Record) (ceph.Record, error) { return ownership.DropFence(r, taker) }
			for what, seen := range map[string]ownership.Seen{
				"idle": {}, "quiet": {Quiet: true}, "used": {Pods: []string{"p"}, Attached: []ceph.Node{e1}},
			} {
				all["keep "+by.Name+" "+what] = func(r ceph.Record) (ceph.Record, error) {
					next, step, reason := ownership.Keep(r, request, seen)
					return next, fmt.Errorf("%s: %s", step, reason)
				}
			}
		}
		return all
	}
	stored := func(at time.Time) map[string]ceph.Record {
		dated := func(r *ceph.Record) {
			r.History = []ceph.Change{{At: at, Event: ceph.TakenOver, Party: west, By: "ann", From: &east}}
			if r.Owner != nil {
				r.Owner.Since = at
			}
			if r.Takeover != nil {
				r.Takeover.Since = at
			}
		}
		return map[string]ceph.Record{
			"no record": {}, "free": free(dated), "held": held(east, dated), "pending": held(east, pending("q"), dated),
			"on a node": held(west, on(e1), from(clientOnE1), dated), "fencing": fencing(east, west, "ann", dated),
		}
	}
	undated := cmp.Options{
		cmpopts.IgnoreFields(ceph.Owner{}, "Since"), cmpopts.IgnoreFields(ceph.Takeover{}, "Since"),
		cmpopts.IgnoreFields(ceph.Change{}, "At"), cmpopts.EquateEmpty(),
	}
	for state, usual := range stored(nowKept) {
		for name, step := range steps(nowKept) {
			want, wantErr := step(usual)
			for _, recorded := range clocks {
				for _, clock := range clocks {
					got, err := steps(clock)[name](stored(recorded)[state])
					if diff := cmp.Diff(want, got, undated); diff != "" || reason(err) != reason(wantErr) {
						t.Errorf("%s of %s with the clock at %s and records of %s: %v instead of %v\n%s", name, state, clock, recorded, err, wantErr, diff)
					}
				}
			}
		}
	}
}

// reason is an error without the times in it.
func reason(err error) string {
	var refused *ownership.Refused
	if errors.As(err, &refused) {
		return refused.Reason.Error()
	}
	return fmt.Sprint(err)
}
