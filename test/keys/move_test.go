//go:build lab

package keys

import (
	"bufio"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/scene"
)

// moving runs kubectl cephferry move of this namespace.
func (s *shop) moving(from, to *scene.Cluster, args ...string) scene.Result {
	s.Helper()
	return s.laptop("", append([]string{"move", "-n", s.Namespace, "--from-context", from.Name, "--to-context", to.Name}, args...)...)
}

// killed starts the same, and kills it when it has printed a step.
func (s *shop) killed(step string, from, to *scene.Cluster, args ...string) {
	s.Helper()
	command := s.laptopCommand("", append([]string{"move", "-n", s.Namespace, "--from-context", from.Name, "--to-context", to.Name}, args...)...).Exec(s.Context())
	out, err := command.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := command.Start(); err != nil {
		s.Fatal(err)
	}
	said, seen := "", false
	for lines := bufio.NewScanner(out); !seen && lines.Scan(); {
		said += lines.Text() + "\n"
		seen = strings.Contains(lines.Text(), step)
	}
	if err := command.Process.Kill(); err != nil {
		s.Error(err)
	}
	err = command.Wait()
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); !seen || !ok || status.Signal() != syscall.SIGKILL {
		s.Fatalf("it ended with %v before it was killed:\n%s", err, said)
	}
	s.Logf("$ kubectl cephferry move %s\n%sKilled", strings.Join(args, " "), said)
}

// noted is what a move has written on a workload, besides its replicas.
func (s *shop) noted(c *scene.Cluster, workload string) string {
	s.Helper()
	return strings.TrimSpace(s.Kubectl(c, "get", workload, `-o=jsonpath={.spec.replicas} {.metadata.annotations.move\.cephferry\.io/replicas}`))
}

func (s *shop) says(r scene.Result, want ...string) {
	s.Helper()
	for _, text := range want {
		if !strings.Contains(r.Stdout+r.Stderr, text) {
			s.Errorf("%q is missing in:\n%s%s", text, r.Stdout, r.Stderr)
		}
	}
}

// shows waits until a cluster shows volumes as its own.
func (s *shop) shows(c *scene.Cluster, claims ...string) {
	s.Helper()
	for _, claim := range claims {
		s.Eventually(c.Name+" shows volume "+claim+" as its own", func() error {
			r := s.Run(c, "", "get", "mvol", claim, "-o=jsonpath={.status.state} {.status.owner.name}")
			if want := "Held " + c.Name; r.Stdout != want {
				return fmt.Errorf("it shows %q, want %q: %s", r.Stdout, want, r.Stderr)
			}
			return nil
		})
	}
}

// A release moves with one command, its Deployment and its StatefulSet, and what is beside it stays. The
// command is killed twice, and goes on; all that runs in the namespace comes back in the same way.
func TestMoveOfARelease(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, claim := range []string{"data", "web", "other"} {
		s.volume(claim)
	}
	for _, c := range []*scene.Cluster{east, west} {
		replicas := 0
		if c == east {
			replicas = 1
		}
		on := scene.On(c.Nodes[1])
		s.Create(c, scene.Workload("StatefulSet", "db", "data", replicas, on)+"---\n"+
			scene.Workload("Deployment", "web", "web", replicas, on)+"---\n"+scene.Workload("Deployment", "other", "other", replicas, on))
		s.Kubectl(c, "label", "statefulset/db", "app.kubernetes.io/instance=shop")
		s.Kubectl(c, "annotate", "deployment/web", "meta.helm.sh/release-name=shop")
	}
	s.Runs(east, "db", 1)
	s.Runs(east, "web", 1)
	s.Runs(east, "other", 1)
	s.shows(east, "data", "web")
	other := s.Pods(east, "other")[0].UID

	release := []string{"--release", "shop"}
	s.killed("deployment/web is scaled from 1 to 0", east, west, release...)
	if got := s.noted(east, "deployment/web"); got != "0 1" {
		t.Errorf("killed after its first step, deployment/web has the replicas, now and before, %s", got)
	}
	s.killed("west: deployment/web is scaled from 0 to 1", east, west, release...)
	r := s.moving(east, west, release...)
	s.Must(r)
	s.says(r, "move from east to west: deployment/web (1), statefulset/db (1); volumes: web, data",
		"west: deployment/web is ready", "west: statefulset/db is ready", "west runs it. Nothing ran for the ", " of this run, nor since the one that was broken off.")
	for workload, want := range map[string]string{"statefulset/db": "0", "deployment/web": "0", "deployment/other": "1"} {
		if got := s.noted(east, workload); got != want {
			t.Errorf("at the end %s has in east the replicas, now and before, %q, want %q", workload, got, want)
		}
	}
	s.Runs(west, "db", 1)
	s.Runs(west, "web", 1)
	for _, claim := range []string{"data", "web"} {
		s.named(claim, "west")
		s.Wrote(claim, east, west)
	}
	if now := s.Pods(east, "other"); len(now) != 1 || now[0].UID != other {
		t.Errorf("what is not of the release has other pods: %v", now)
	}
	s.named("other", "east")

	// What runs in west comes back; what does not run there is left alone.
	all := []string{"--all"}
	s.killed("statefulset/db is scaled from 1 to 0", west, east, all...)
	r = s.moving(west, east, all...)
	s.Must(r)
	s.says(r, "move from west to east: deployment/web (1), statefulset/db (1); volumes: web, data", "east runs it. Nothing ran for the ")
	s.Runs(east, "db", 1)
	s.Runs(east, "web", 1)
	for _, claim := range []string{"data", "web"} {
		s.Wrote(claim, east, west, east)
	}
	s.Wrote("other", east)
	if r := s.moving(west, east, all...); r.Code != 2 || !strings.Contains(r.Stderr, "has nothing that runs") {
		t.Errorf("once more, exit code %d", r.Code)
	}
}

// The target makes no pods, and so takes nothing: the source runs again by itself. Or it takes the
// volume and has no node for the pod: nothing is undone without a person.
func TestMoveThatTheTargetCannotTake(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data")
	s.Create(east, scene.Workload("Deployment", "db", "data", 1, scene.On(east.Nodes[1])))
	s.Create(west, scene.Workload("Deployment", "db", "data", 0, at("rack", s.Namespace+"-nowhere")))
	// That is asked before the webhook, so that nothing is taken. A quota is asked after it.
	s.Kubectl(west, "label", "namespace", s.Namespace, "pod-security.kubernetes.io/enforce=restricted")
	s.Runs(east, "db", 1)
	s.Holders("data")
	s.shows(east, "data")

	const limit = 12 * time.Second
	refused := s.moving(east, west, "deployment/db", "--timeout", limit.String())
	if refused.Code != 1 {
		t.Errorf("exit code %d", refused.Code)
	}
	s.says(refused, "west: deployment/db is scaled from 0 to 1", "undoing it: wait until west runs it, for 12s: deployment/db is not ready",
		"west: deployment/db is scaled from 1 to 0", "east: deployment/db is scaled back to 1", "east runs it again, as before")
	s.Runs(east, "db", 1)
	s.Wrote("data", east)
	s.named("data", "east")
	if e, w := s.noted(east, "deployment/db"), s.noted(west, "deployment/db"); e != "1" || w != "0" {
		t.Errorf("at the end it has the replicas, now and before, %q in east and %q in west", e, w)
	}

	s.Kubectl(west, "label", "namespace", s.Namespace, "pod-security.kubernetes.io/enforce-")
	s.Holders("data")
	taken := s.moving(east, west, "deployment/db", "--timeout", limit.String())
	if taken.Code != 1 {
		t.Errorf("exit code %d", taken.Code)
	}
	s.says(taken, "west: has volume data", "the target has volumes by now, so nothing was undone: data", "kubectl --context west describe pods", "with --undo to go back")
	s.named("data", "west")
	if e, w := s.noted(east, "deployment/db"), s.noted(west, "deployment/db"); e != "0 1" || w != "1" {
		t.Errorf("it has the replicas, now and before, %q in east and %q in west", e, w)
	}
	back := s.moving(east, west, "deployment/db", "--undo")
	s.Must(back)
	s.says(back, "take back from west to east: deployment/db (1); volumes: data", "east: deployment/db is scaled back to 1")
	s.Runs(east, "db", 1)
	s.Wrote("data", east)
	s.named("data", "east")
	if e := s.noted(east, "deployment/db"); e != "1" {
		t.Errorf("at the end it has the replicas, now and before, %q in east", e)
	}
}
