//go:build lab

package outage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
)

// Not parallel: it ends the webhook of west.
func TestWithADeadWebhookOnlyStartsOnGuardedVolumesStop(t *testing.T) {
	s, other := newShop(t), newShop(t)
	s.Volume("data", east, west)
	s.Create(west, scene.Workload("Deployment", "x", "data", 1))
	s.Runs(west, "x", 1)
	for _, s := range []*shop{s, other} {
		s.Create(west, s.Plain())
		s.Bound(west, "plain")
	}

	if err := west.Webhook.Kill(); err != nil {
		t.Fatal(err)
	}
	restart := west.Restarts(t)

	// Down, and to what it is already.
	for _, replicas := range []string{"1", "0", "0"} {
		s.Kubectl(west, "scale", "deployment/x", "--replicas="+replicas)
	}
	s.Free("data")
	// Whatever has no claim, in a guarded namespace too; whatever has one, elsewhere.
	s.Create(west, fmt.Sprintf(free, 1))
	s.Kubectl(west, "scale", "deployment/free", "--replicas=2")
	s.Runs(west, "free", 2)
	other.Create(west, scene.Pod("x", "plain"))
	other.Ready(west, "x")
	other.Create(west, scene.Workload("StatefulSet", "z", "plain", 0))
	other.Kubectl(west, "scale", "statefulset/z", "--replicas=1")
	other.Runs(west, "z", 1)

	// Where the guard cannot be asked, nothing with a claim starts.
	const unanswered = `failed calling webhook "%s.guard.cephferry.io"`
	for endpoint, manifest := range map[string]string{
		"pod": scene.Pod("p", "data") + "---\n" + scene.Pod("q", "plain"), "volume": s.PV("new"),
	} {
		r := s.Run(west, manifest, "create", "-f", "-")
		if want := fmt.Sprintf(unanswered, endpoint); r.Err == nil || strings.Count(r.Stderr, want) != strings.Count(manifest, "kind:") {
			t.Errorf("%s\nwant in it: %s", r.Stderr, want)
		}
	}
	s.Kubectl(west, "scale", "deployment/x", "--replicas=1")
	set := s.ReplicaSets(west)[0]
	for _, candidate := range s.ReplicaSets(west) {
		if strings.HasPrefix(candidate.Name, "x-") {
			set = candidate
		}
	}
	s.Event(west, "FailedCreate", "ReplicaSet/"+set.Name, fmt.Sprintf(unanswered, "pod"))
	if pods := s.Pods(west, "x"); len(pods) != 0 {
		t.Errorf("there is pod %s", pods[0].Name)
	}

	restart()
	s.Runs(west, "x", 1)
	s.Wrote("data", west)
}
