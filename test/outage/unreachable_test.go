//go:build lab

package outage

import (
	"flag"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/scene"
)

// crowd is how many pods start.
const crowd = 100

// unreachable is for measurements: what controllers do depends on it.
var unreachable = flag.Duration("unreachable", 12*time.Second, "how long the webhook is unreachable in TestAHundredPodsWhileTheWebhookIsUnreachable")

// Not parallel: it cuts west's webhook off. Packets to it are dropped, so that nobody is told that it is
// not there. Meanwhile a hundred pods are to start in a guarded namespace: none does, the rest of
// the namespace goes on, and all do when it is back. It measures, and says how long things take.
func TestAHundredPodsWhileTheWebhookIsUnreachable(t *testing.T) {
	s := newShop(t)
	s.Volume("data", west) // guards the namespace
	s.Create(west, s.Plain())
	s.Bound(west, "plain")
	s.Create(west, scene.Workload("Deployment", "crowd", "plain", 0, "terminationGracePeriodSeconds: 0"))
	s.Create(west, fmt.Sprintf(free, 0))
	s.Create(west, scene.Pod("first", "plain"))
	s.Ready(west, "first")

	took := func(what string, do func()) {
		t.Helper()
		begin := time.Now()
		do()
		t.Logf("%8s  %s", time.Since(begin).Round(10*time.Millisecond), what)
	}
	heal := s.drops(west)
	cut := time.Now()
	took("kubectl scale deployment/crowd --replicas=100, which nobody refuses", func() {
		s.Kubectl(west, "scale", "deployment/crowd", fmt.Sprint("--replicas=", crowd))
	})
	took("kubectl create of a pod with a claim, until it is refused", func() {
		r := s.Run(west, scene.Pod("second", "plain"), "create", "-f", "-")
		if want := `failed calling webhook "pod.guard.cephferry.io"`; r.Err == nil || !strings.Contains(r.Stderr, want) || !strings.Contains(r.Stderr, "context deadline exceeded") {
			t.Errorf("%s%s\nwant in it: %s", r.Stdout, r.Stderr, want)
		}
	})
	took("a pod without a claim, until it is bound and runs", func() {
		s.Kubectl(west, "scale", "deployment/free", "--replicas=1")
		s.Runs(west, "free", 1)
	})
	took("kubectl delete of a pod with a claim", func() { s.Kubectl(west, "delete", "pod/first") })
	time.Sleep(*unreachable - time.Since(cut))
	if pods := s.Pods(west, "crowd"); len(pods) != 0 {
		t.Errorf("%d pods were admitted by nobody", len(pods))
	}
	t.Logf("%8s  unreachable in all", time.Since(cut).Round(10*time.Millisecond))
	heal()
	back := time.Now()
	s.Eventually("the first pod is there", func() error {
		if len(s.Pods(west, "crowd")) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	t.Logf("%8s  until the first pod is there", time.Since(back).Round(10*time.Millisecond))
	s.Runs(west, "crowd", crowd)
	t.Logf("%8s  until all %d run", time.Since(back).Round(10*time.Millisecond), crowd)
	s.Kubectl(west, "delete", "deployment/crowd", "--cascade=foreground")
}

// drops has packets to the webhook of a cluster dropped on their way, until the test ends or what it
// returns is called.
func (s *shop) drops(c *scene.Cluster) (heal func()) {
	s.Helper()
	at, err := url.Parse(c.Webhook.URL)
	if err != nil {
		s.Fatal(err)
	}
	table := "cephferry_" + at.Port()
	nft := func(rules string) error {
		if out, err := exec.Command("nft", rules).CombinedOutput(); err != nil {
			return fmt.Errorf("nft %s: %w: %s", rules, err, out)
		}
		return nil
	}
	healed := false
	heal = func() {
		if healed {
			return
		}
		healed = true
		if err := nft("delete table inet " + table); err != nil {
			s.Error(err)
		}
	}
	if err := nft("add table inet " + table); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(heal)
	for _, rule := range []string{
		"add chain inet " + table + " arrives { type filter hook input priority 0 ; }",
		"add rule inet " + table + " arrives tcp dport " + at.Port() + " drop",
	} {
		if err := nft(rule); err != nil {
			s.Fatal(err)
		}
	}
	return heal
}
