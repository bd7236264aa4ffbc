package keeper

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

func TestDecideTelling(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	pods := func(uids ...types.UID) []types.UID { return uids }
	before := &incident{cause: "east", pods: pods("a"), told: noon}
	tests := map[string]struct {
		before *incident
		seen   incident
		after  time.Duration
		who    telling
		told   time.Duration
	}{
		"the first time":                        {seen: incident{cause: "east", pods: pods("a", "b")}, who: telling{true, pods("a", "b")}},
		"the first time, without a pod":         {seen: incident{cause: "east"}, who: telling{true, nil}},
		"again, a moment later":                 {before: before, seen: incident{cause: "east", pods: pods("a")}, after: time.Second},
		"again, just before half an hour":       {before: before, seen: incident{cause: "east", pods: pods("a")}, after: 30*time.Minute - 1},
		"again, after half an hour":             {before: before, seen: incident{cause: "east", pods: pods("a")}, after: 30 * time.Minute, who: telling{true, pods("a")}, told: 30 * time.Minute},
		"the pod is gone, the attachment stays": {before: before, seen: incident{cause: "east"}, after: time.Second},
		"another pod":                           {before: before, seen: incident{cause: "east", pods: pods("b")}, after: time.Second, who: telling{true, pods("b")}},
		"one more pod":                          {before: before, seen: incident{cause: "east", pods: pods("a", "b")}, after: time.Second, who: telling{true, pods("b")}},
		"another owner":                         {before: before, seen: incident{cause: "north", pods: pods("a")}, after: time.Second, who: telling{true, pods("a")}, told: time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := test.seen
			want.told = noon.Add(test.told)
			who, next := decideTelling(test.before, test.seen, noon.Add(test.after))
			options := cmp.AllowUnexported(telling{}, incident{})
			if diff := cmp.Diff(test.who, who, options); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, next, options); diff != "" {
				t.Errorf("remembered (-want +got):\n%s", diff)
			}
		})
	}
}
