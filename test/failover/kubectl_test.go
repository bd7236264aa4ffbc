//go:build lab

package failover

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/scene"
)

// as is plain kubectl, for somebody who has nothing else.
func (s *shop) as(person string, c *scene.Cluster, args ...string) scene.Command {
	return scene.Command{Program: stage.Programs["kubectl"], Env: map[string]string{"PATH": path, "HOME": stage.Home},
		Args: append([]string{"--kubeconfig", c.Kubeconfig, "--as", person}, args...)}
}

// begins returns when the Takeover says that it has begun: a moment later somebody is fenced. Only who
// asks all the time is there in time.
func (s *shop) begins(c *scene.Cluster) {
	s.Helper()
	err := wait.PollUntilContextTimeout(s.Context(), 5*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		object, err := c.Dynamic.Resource(v1alpha1.GroupVersion.WithResource("takeovers")).Get(ctx, s.Namespace, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		var t v1alpha1.Takeover
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &t)
		return meta.IsStatusConditionTrue(t.Status.Conditions, "Begun"), err
	})
	if err != nil {
		s.Fatal(err)
	}
}

// A person who may create Takeovers, and has kubectl and nothing else, takes the volume of a
// cluster that hangs. The webhook is killed when it has begun, and the next one goes on.
func TestTakeoverWithKubectlOnly(t *testing.T) {
	s := newShop(t)
	e1, w1 := s.east.Nodes[0], s.west.Nodes[0]
	s.volume("data")
	s.starts(s.east, e1, "p", "data")
	s.owns(s.east, e1, "data")
	s.Kubectl(s.west, "create", "clusterrolebinding", s.Namespace, "--clusterrole=cephferry-operator", "--user=ann")
	if err := e1.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e1.Thaw(); err != nil {
			t.Error(err)
		}
	})
	ann := func(args ...string) scene.Result { s.Helper(); return s.as("ann", s.west, args...).Run(s.Context()) }
	create := func(person, by string) scene.Result {
		command := s.as(person, s.west, "create", "--filename=-")
		command.Stdin = fmt.Sprintf("{apiVersion: cephferry.io/v1alpha1, kind: Takeover, metadata: {name: %s}, spec: {from: east, by: %s, claims: [{namespace: %s, name: data}]}}", s.Namespace, by, s.Namespace)
		return command.Run(s.Context())
	}
	shown := func(field string) string {
		s.Helper()
		return s.Must(ann("get", "takeover", s.Namespace, "--output=jsonpath={"+field+"}"))
	}
	phase := func(want string) {
		s.Helper()
		if r := ann("wait", "takeover/"+s.Namespace, "--for=jsonpath={.status.phase}="+want, "--timeout=2m"); r.Err != nil {
			t.Fatalf("it does not become %s: %s\nphase %s: %s", want, r.Stderr, shown(".status.phase"), shown(".status.message"))
		}
	}

	s.refused(create("ann", "bob"), `spec.by is "bob", and you are "ann"`)
	s.refused(create("eve", "eve"), `User "eve" cannot create resource "takeovers"`)
	before := s.Record("data")
	s.Must(create("ann", "ann"))
	phase("Planned")
	text := shown(".status.plan.text")
	for _, want := range []string{"volume " + s.Namespace + "/data", e1.Address + " (node " + e1.Name + "): everything that comes from there"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if after := s.Record("data"); after.Revision != before.Revision {
		t.Errorf("the plan has written %s", after.Encode())
	}

	hash := shown(".status.plan.hash")
	confirm := func(person string) scene.Result {
		return s.as(person, s.west, "patch", "takeover", s.Namespace, "--type=merge", `--patch={"spec":{"confirm":"`+hash+`"}}`).Run(s.Context())
	}
	if r := s.as("eve", s.west, "patch", "takeover", s.Namespace, "--type=merge", "--subresource=status", `--patch={"status":{"phase":"Running"}}`).Run(s.Context()); r.Err == nil {
		t.Errorf("somebody writes the status: %s", r.Stdout)
	}
	started := s.west.Restarts(t)
	confirmed := make(chan scene.Result, 1)
	go func() { confirmed <- confirm("ann") }()
	s.begins(s.west)
	if err := s.west.Webhook.Kill(); err != nil {
		t.Fatal(err)
	}
	s.Must(<-confirmed)
	if record := s.Record("data"); record.State != ceph.Fencing {
		t.Fatalf("it was killed too late: the record says %s, %+v", record.State, record.Owner)
	}
	if got := shown(".status.phase") + " " + shown(".status.confirmed"); got != "Running "+hash {
		t.Errorf("it is %s", got)
	}
	started()
	phase("Done")
	t.Logf("%s", s.Must(ann("get", "takeovers")))
	record := s.Record("data")
	if last := record.History[len(record.History)-1]; last.Event != ceph.TakenOver || last.By != "ann" || record.Owner.Name != "west" {
		t.Errorf("the record says %s", record.Encode())
	}
	if want := "When cluster east is back, reboot " + e1.Name; !strings.Contains(shown(".status.message"), want) {
		t.Errorf("%q is missing: %s", want, shown(".status.message"))
	}
	s.starts(s.west, w1, "p", "data")

	// East wakes up, and writes nothing.
	if err := e1.Thaw(); err != nil {
		t.Fatal(err)
	}
	s.Grows("data")
	s.Wrote("data", s.east, s.west)
	s.comesBack(s.east, e1, "p")
	s.Must(ann("delete", "takeover", s.Namespace))
	s.Kubectl(s.west, "delete", "clusterrolebinding", s.Namespace)
}
