//go:build lab

package keys

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/scene"
)

// laptop is a machine of somebody who has both clusters as contexts and no Ceph library: it runs
// the static build of kubectl cephferry.
func (s *shop) laptop(stdin string, args ...string) scene.Result {
	s.Helper()
	r := s.laptopCommand(stdin, args...).Run(s.Context())
	s.Logf("$ kubectl cephferry %s\n%s%s", strings.Join(args, " "), r.Stdout, r.Stderr)
	return r
}

func (s *shop) laptopCommand(stdin string, args ...string) scene.Command {
	s.Helper()
	program, err := filepath.Abs(filepath.Join("../../bin", runtime.GOOS+"-"+runtime.GOARCH, "kubectl-cephferry"))
	if err != nil {
		s.Fatal(err)
	}
	return scene.Command{Program: program, Stdin: stdin, Args: args, Limit: 3 * time.Minute, Env: map[string]string{
		"HOME": stage.Home, "KUBECONFIG": east.Kubeconfig + ":" + west.Kubeconfig,
	}}
}

// Without any Ceph library: a member of an app team, who may look at one namespace, sees who owns
// its volume; the platform team moves the workload, and takes the volume from a cluster that is
// dead, with the rights that the chart's ClusterRole gives.
func TestAStaticBuild(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	e2, w2 := east.Nodes[1], west.Nodes[1]
	s.volume("data")
	s.Create(east, scene.Workload("StatefulSet", "db", "data", 1, scene.On(e2)))
	s.Create(west, scene.Workload("StatefulSet", "db", "data", 0, scene.On(w2)))
	s.Ready(east, "db-0")
	s.Kubectl(west, "create", "rolebinding", "dev", "--clusterrole=view", "--user=dev")

	status := []string{"status", "--as", "dev", "-n", s.Namespace, "--context", "west"}
	shows := func(want ...string) {
		t.Helper()
		s.Eventually("status shows "+strings.Join(want, ", "), func() error {
			r := s.laptop("", status...)
			for _, text := range want {
				if !strings.Contains(r.Stdout, text) {
					return fmt.Errorf("%q is missing: %s%s", text, r.Stdout, r.Stderr)
				}
			}
			return r.Err
		})
	}
	shows("Held", "east", e2.Name)
	if out := s.Must(s.laptop("", append(status, "data", "-o", "jsonpath={.items[*].status.owner.name}")...)); out != "east" {
		t.Errorf("the owner is %q", out)
	}
	if r := s.laptop("", "status", "--as", "dev", "-A", "--context", "west"); r.Code != 1 || !strings.Contains(r.Stderr, `User "dev" cannot list resource "migratablevolumes"`) {
		t.Errorf("in all namespaces, exit code %d", r.Code)
	}
	if r := s.laptop("", "status", "--direct", "-n", s.Namespace, "--context", "west"); r.Code != 3 || !strings.Contains(r.Stdout, "this build of kubectl cephferry has no Ceph library") {
		t.Errorf("directly, exit code %d", r.Code)
	}

	s.testCheck()

	// Moving day. What is not there is seen before anything is changed.
	move := func(from, to string, args ...string) scene.Result {
		t.Helper()
		return s.laptop("", append([]string{"move", "-n", s.Namespace, "--from-context", from, "--to-context", to}, args...)...)
	}
	if r := move("east", "west", "deployment/db"); r.Code != 2 || !strings.Contains(r.Stderr, "namespace "+s.Namespace+" of east has no deployment/db") {
		t.Errorf("what is not there, exit code %d", r.Code)
	}
	out := s.Must(move("east", "west", "statefulset/db"))
	for _, want := range []string{
		"east: statefulset/db is scaled from 1 to 0", "east: volume data is free", "west: statefulset/db is scaled from 0 to 1", "west: statefulset/db is ready", "west runs it. Nothing ran for ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	s.Grows("data")
	s.named("data", "west")
	s.Wrote("data", east, west)
	shows("Held", "west", w2.Name)
	if got := s.Kubectl(east, "get", "statefulset/db", "-o=jsonpath={.spec.replicas} {.metadata.annotations}"); got != "0" {
		t.Errorf("in east it is %s", got)
	}

	// And west is dead. East shows a little later that the volume is west's, so it is said.
	s.Holders("data")
	claim := s.Namespace + "/data"
	failover := []string{"failover", claim, "--from", "west", "--as", "op-" + s.Namespace, "--context", "east"}
	if r := s.laptop("west\n", failover...); r.Code == 0 || !strings.Contains(r.Stderr, "cannot") {
		t.Errorf("without rights, exit code %d", r.Code)
	}
	s.Kubectl(east, "create", "clusterrolebinding", s.Namespace, "--clusterrole=cephferry-operator", "--user=op-"+s.Namespace)
	s.Eventually("the rights are there", func() error {
		return s.Run(east, "", "auth", "can-i", "create", "takeovers.cephferry.io", "--as", "op-"+s.Namespace).Err
	})
	if r := s.laptop("east\n", failover...); r.Code != 2 || !strings.Contains(r.Stderr, "that is not its name; nothing was changed") {
		t.Errorf("another name, exit code %d", r.Code)
	}
	if record := s.Record("data"); record.Owner == nil || record.Owner.Name != west.Name || record.Takeover != nil {
		t.Errorf("not confirmed, the record says %s", record.Encode())
	}
	out = s.Must(s.laptop("west\n", failover...))
	for _, want := range []string{"cuts off:   this volume only", "TakenOver: ", "1 of 1 volume taken", "Start the workload here. When cluster west is back, no node has to be rebooted"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if record := s.Record("data"); record.Owner.Name != east.Name || record.History[len(record.History)-1].By != "op-"+s.Namespace {
		t.Errorf("the record says %s", record.Encode())
	}
	s.Kubectl(west, "scale", "statefulset/db", "--replicas=0")
	s.Kubectl(east, "scale", "statefulset/db", "--replicas=1")
	s.Ready(east, "db-0")
	s.Grows("data")
	s.Wrote("data", east, west, east)
	if out := s.Must(s.laptop("", "history", claim, "--context", "east")); !strings.Contains(out, "op-"+s.Namespace) {
		t.Error("history does not say who it was")
	}
	// Other tests have volumes of which nothing can be known, and then it does not end with 0.
	fleet := s.laptop("", "fleet", "east", "west")
	if strings.Count(fleet.Stdout, "\n") != 3 || fleet.Err != nil && fleet.Stderr != "" {
		t.Errorf("the fleet is\n%s%s", fleet.Stdout, fleet.Stderr)
	}
}
