//go:build lab

package outage

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// Not parallel: on a machine that is busy with the other tests, it would be the
// machine that answers late.
func TestTwoHundredReviewsAtOnceAreAllAnsweredRight(t *testing.T) {
	s := newShop(t)
	var claims []string
	for i := range 8 {
		claims = append(claims, fmt.Sprint("data-", i))
		s.Volume(claims[i], east)
		s.Create(west, s.PV(claims[i]))
	}
	held := claims[:4]
	s.Holds(east, held...)
	texts := map[string]string{}
	for _, claim := range held {
		texts[claim] = s.InUse(claim)
	}
	left := make([]string, 200)
	for i := range left {
		left[i] = claims[i%len(claims)]
	}
	// What could not be known in time is refused, and asked again, as controllers do. The time
	// is the machine's business.
	for round := 1; len(left) > 0; round++ {
		var bodies, late []string
		for _, claim := range left {
			bodies = append(bodies, s.PodReview(scene.Pod("x", claim)))
		}
		begin := time.Now()
		for i, got := range west.Webhook.All("pod", bodies) {
			want := webhook.Reply{Allowed: true, Code: http.StatusOK, Message: "no-watcher"}
			if text, ok := texts[left[i]]; ok {
				want = webhook.Reply{Code: http.StatusForbidden, Message: text}
			}
			switch {
			case got.Problem == nil && !got.Allowed && got.Code == http.StatusInternalServerError && strings.HasPrefix(got.Message, "cannot know whether") && round < 10:
				late = append(late, left[i])
			case got.Problem != nil || got.Allowed != want.Allowed || got.Code != want.Code || got.Message != want.Message:
				t.Fatalf("answer for %s: %+v, want %+v", left[i], got, want)
			}
		}
		t.Logf("%d answers in %s, %d of them not in time", len(left), time.Since(begin).Round(time.Millisecond), len(late))
		left = late
	}
	// One pod with all of them.
	r := s.Run(west, fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: %s}", scene.PodSpec(claims)), "create", "-f", "-")
	s.Refused(r, scene.Forbidden("pod", s.InUse(held...), scene.Creating))
}
