//go:build lab

package keys

import (
	"fmt"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
)

// Both clusters start on several volumes at once, again and again: one of them gets
// each, and no image has two names.
func TestClustersThatStartAtOnce(t *testing.T) {
	t.Parallel()
	const volumes, rounds = 3, 10
	for i := range volumes {
		claim := fmt.Sprint("data-", i)
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.volume(claim)
			for range rounds {
				results := map[*scene.Cluster]chan scene.Result{}
				for _, c := range []*scene.Cluster{east, west} {
					results[c] = make(chan scene.Result, 1)
					go func() { results[c] <- s.Run(c, scene.Pod("x", claim), "create", "-f", "-") }()
				}
				inEast, inWest := <-results[east], <-results[west]
				winner := east
				if inEast.Err != nil {
					winner = west
				}
				if (inEast.Err == nil) == (inWest.Err == nil) {
					t.Fatalf("in east %q %q, in west %q %q", inEast.Stdout, inEast.Stderr, inWest.Stdout, inWest.Stderr)
				}
				s.Ready(winner, "x")
				s.Grows(claim)
				s.named(claim, winner.Name)
				s.Kubectl(winner, "delete", "pod", "x")
				s.Released(winner, claim)
			}
			s.named(claim, "")
			if err := s.Stamps(claim).Check(); err != nil {
				t.Error(err)
			}
		})
	}
}
