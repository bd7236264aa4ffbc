//go:build lab

package outage

import (
	"fmt"
	"net/http"
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
	var bodies []string
	for i := range 200 {
		bodies = append(bodies, s.PodReview(scene.Pod("x", claims[i%len(claims)])))
	}
	begin := time.Now()
	replies := west.Webhook.All("pod", bodies)
	t.Logf("%d answers in %s", len(replies), time.Since(begin).Round(time.Millisecond))
	for i, got := range replies {
		want := webhook.Reply{Allowed: true, Code: http.StatusOK, Message: "no-watcher"}
		if text, ok := texts[claims[i%len(claims)]]; ok {
			want = webhook.Reply{Code: http.StatusForbidden, Message: text}
		}
		if got.Problem != nil || got.Allowed != want.Allowed || got.Code != want.Code || got.Message != want.Message {
			t.Fatalf("answer for %s: %+v, want %+v", claims[i%len(claims)], got, want)
		}
	}
	// One pod with all of them.
	r := s.Run(west, fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: %s}", scene.PodSpec(claims)), "create", "-f", "-")
	s.Refused(r, scene.Forbidden("pod", s.InUse(held...), scene.Creating))
}
