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
			for won := 0; won < rounds; {
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
				if inEast.Err == nil && inWest.Err == nil {
					t.Fatalf("both start: in east %q, in west %q", inEast.Stdout, inWest.Stdout)
				}
				if inEast.Err != nil && inWest.Err != nil {
					// A rename that takes too long on a busy machine is given up; the leader of who
					// had the image by then goes on, and releases it.
					t.Logf("nobody starts: in east %q, in west %q", inEast.Stderr, inWest.Stderr)
					s.Released(east, claim)
					s.Released(west, claim)
					continue
				}
				won++
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
