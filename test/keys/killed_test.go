//go:build lab

package keys

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/takeover"
	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// The leader is killed as soon as it has noted a step, once for each step that there is, and the
// other replica goes on without asking anybody: all is taken once, and nobody is fenced whom the plan
// does not name. Not parallel: it kills west's webhooks, and fences a machine.
func TestTheLeaderIsKilledAfterEachStep(t *testing.T) {
	s := newShop(t)
	node := east.Nodes[3]
	// The last one is of a node of one's own cluster, see test/failover.
	steps := slices.DeleteFunc(takeover.Conditions(), func(step string) bool { return step == "NodeFenced" })
	claim := func(step string) string { return strings.ToLower(step) }
	for _, step := range steps {
		if step == "MachinesFenced" {
			s.volume(claim(step), unkeyed) // of a keyed one only the client is fenced
		} else {
			s.volume(claim(step))
		}
		s.Create(east, scene.Pod(claim(step), claim(step), at("kubernetes.io/hostname", node.Name)))
	}
	for _, step := range steps {
		s.Ready(east, claim(step))
		s.Grows(claim(step))
		s.Holders(claim(step))
	}
	west.Restarts(t)
	replica, err := west.Webhook.Replica()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := replica.Kill(); err != nil {
			t.Error(err)
		}
	})
	// The machine is fenced last: its other pods need it until then.
	slices.SortStableFunc(steps, func(a, b string) int {
		return strings.Compare(fmt.Sprint(a == "MachinesFenced"), fmt.Sprint(b == "MachinesFenced"))
	})
	for _, step := range steps {
		s.killedAfter(step, claim(step), replica)
	}

	s.clear(east)
	for _, act := range []func() error{node.Kill, node.Start} {
		if err := act(); err != nil {
			t.Fatal(err)
		}
	}
	s.Eventually("the machine is let in again", func() error {
		if r := s.cephferry(east, "", "unfence", node.Name); r.Err != nil {
			return fmt.Errorf("%w\n%s", r.Err, r.Stderr)
		}
		return nil
	})
}

// killedAfter takes one volume, and kills the leader of west's two replicas after a step.
func (s *shop) killedAfter(step, claim string, replica *webhook.Webhook) {
	s.Helper()
	leader := s.leader(west.Webhook, replica)
	other := replica
	if leader == replica {
		other = west.Webhook
	}
	name := s.Namespace + "-" + claim
	s.Create(west, fmt.Sprintf("{apiVersion: cephferry.io/v1alpha1, kind: Takeover, metadata: {name: %s}, spec: {from: east, by: west-admin, claims: [{namespace: %s, name: %s}]}}", name, s.Namespace, claim))
	var planned v1alpha1.Takeover
	s.Eventually("the plan of "+name, func() error {
		planned = s.takeover(name)
		if planned.Status.Phase != v1alpha1.TakeoverPlanned {
			return fmt.Errorf("it is %s: %s", planned.Status.Phase, planned.Status.Message)
		}
		return nil
	})
	confirmed := make(chan scene.Result, 1)
	go func() {
		confirmed <- s.Run(west, "", "patch", "takeover", name, "--type=merge", `--patch={"spec":{"confirm":"`+planned.Status.Plan.Hash+`"}}`)
	}()
	// A moment later the next step is done. Only who asks all the time is there in time.
	err := wait.PollUntilContextTimeout(s.Context(), 2*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		t := s.takeover(name)
		return meta.IsStatusConditionTrue(t.Status.Conditions, step), nil
	})
	if err != nil {
		s.Fatalf("%s is not reached: %v: %+v", step, err, s.takeover(name).Status)
	}
	if err := leader.Kill(); err != nil {
		s.Fatal(err)
	}
	s.Must(<-confirmed)
	stood := s.takeover(name)
	if !meta.IsStatusConditionTrue(stood.Status.Conditions, step) || stood.Status.Confirmed != planned.Status.Plan.Hash {
		s.Errorf("killed after %s, it says %+v", step, stood.Status)
	}
	s.Logf("killed after %s, it is %s: %s", step, stood.Status.Phase, strings.Join(trueOf(stood), " "))
	if err := leader.EndLease(); err != nil {
		s.Fatal(err)
	}
	s.Eventually(name+" is done", func() error {
		if t := s.takeover(name); t.Status.Phase != v1alpha1.TakeoverDone {
			return fmt.Errorf("it is %s: %s", t.Status.Phase, t.Status.Message)
		}
		return nil
	})
	s.leader(other)
	done := s.takeover(name)
	for _, c := range done.Status.Conditions {
		if c.Status != metav1.ConditionTrue {
			s.Errorf("killed after %s, it is done, and %s is %s", step, c.Type, c.Status)
		}
	}
	if done.Status.Confirmed != planned.Status.Plan.Hash || done.Status.TakenCount != 1 {
		s.Errorf("killed after %s, it is done: %+v", step, done.Status)
	}
	taken := 0
	record := s.Record(claim)
	for _, change := range record.History {
		if change.Event == ceph.TakenOver && change.By == "west-admin" {
			taken++
		}
	}
	if taken != 1 {
		s.Errorf("killed after %s, it was taken %d times: %s", step, taken, record.Encode())
	}
	if err := leader.Start(); err != nil {
		s.Fatal(err)
	}
}

// leader waits until one of these leads.
func (s *shop) leader(replicas ...*webhook.Webhook) (leader *webhook.Webhook) {
	s.Helper()
	s.Eventually("a replica leads", func() error {
		for _, one := range replicas {
			leads, err := one.Leads()
			if err != nil {
				return err
			}
			if leads {
				leader = one
				return nil
			}
		}
		return fmt.Errorf("none does")
	})
	return leader
}

func (s *shop) takeover(name string) (t v1alpha1.Takeover) {
	s.Helper()
	object, err := west.Dynamic.Resource(v1alpha1.GroupVersion.WithResource("takeovers")).Get(s.Context(), name, metav1.GetOptions{})
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &t)
	}
	if err != nil {
		s.Fatal(err)
	}
	return t
}

// trueOf are the steps that are done.
func trueOf(t v1alpha1.Takeover) (done []string) {
	for _, c := range t.Status.Conditions {
		if c.Status == metav1.ConditionTrue {
			done = append(done, c.Type)
		}
	}
	return done
}
