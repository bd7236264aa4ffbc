//go:build lab

package guard

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

func TestAReviewThatCannotBeReadIsNeverAllowed(t *testing.T) {
	t.Parallel()
	const pods = `"kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "default", "name": "x"`
	const scale = `"kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "resource": {"group": "apps", "version": "v1", "resource": "deployments"}, ` +
		`"subResource": "scale", "operation": "UPDATE", "namespace": "default", "name": "x"`
	for name, body := range map[string]string{
		"nothing":                     "",
		"no JSON":                     "<html>",
		"cut off":                     webhook.Review(pods)[:60],
		"a list":                      "[]",
		"no review":                   "{}",
		"a review without a request":  `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`,
		"no object":                   webhook.Review(pods + `, "operation": "CREATE"`),
		"an object that is no object": webhook.Review(pods + `, "operation": "CREATE", "object": "pod"`),
		"a spec that is no spec":      webhook.Review(pods + `, "operation": "CREATE", "object": {"apiVersion": "v1", "kind": "Pod", "spec": "none"}`),
		"replicas that are no number": webhook.Review(scale + `, "object": {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": "many"}}, "oldObject": {"apiVersion": "autoscaling/v1", "kind": "Scale"}`),
		"no old object":               webhook.Review(scale + `, "object": {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 2}}`),
	} {
		for _, endpoint := range []string{"pod", "scale", "volume"} {
			// What is one endpoint's business is malformed for the others.
			if got := west.Webhook.Send(endpoint, body); got.Problem != nil || got.Allowed || got.Code != http.StatusBadRequest {
				t.Errorf("%s to %s: %+v, want code 400", name, endpoint, got)
			}
		}
	}
	response, err := west.Webhook.Client.Get(west.Webhook.URL + "/validate/pod")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); strings.Contains(string(body), `"allowed":true`) {
		t.Errorf("a GET is answered with %s", body)
	}
}

func TestADryRunIsAnsweredAlikeAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Holds(east, "data")
	s.Create(west, scene.Workload("StatefulSet", "x", "data", 0))
	unchanged := s.unchanged(west)
	text := s.InUse("data")
	s.Refused(s.Run(west, "", "scale", "statefulset/x", "--replicas=1", "--dry-run=server"), scene.Forbidden("scale", text))
	s.Refused(s.Run(west, scene.Pod("x", "data"), "create", "--dry-run=server", "-f", "-"), scene.Forbidden("pod", text, scene.Creating))
	created := s.Run(west, scene.Workload("Deployment", "z", "data", 1), "create", "--dry-run=server", "-f", "-")
	s.Must(created)
	if want := s.waits("Deployment "+s.Namespace+"/z", text); created.Stderr != want {
		t.Errorf("it says %q, want %q", created.Stderr, want)
	}
	// An event that is made on purpose comes after all that were made before.
	s.Refused(s.Run(west, scene.Pod("last", "data"), "create", "-f", "-"), scene.Forbidden("pod", text, scene.Creating))
	s.Event(west, "VolumeInUse", "Pod/last", text)
	if events := s.Events(west); slices.ContainsFunc(events, func(e scene.Event) bool { return e.Reason == "VolumeInUse" && e.Object != "Pod/last" }) {
		t.Errorf("events %q", events)
	}
	unchanged()

	s.LetsGo(east, "data")
	s.Kubectl(west, "scale", "statefulset/x", "--replicas=1", "--dry-run=server")
	s.Create(west, scene.Pod("x", "data"), "--dry-run=server")
	unchanged()
}

func TestEveryDecisionIsCounted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Holds(east, "data")
	s.Create(west, scene.Workload("StatefulSet", "x", "data", 0))
	count := func(endpoint, result, reason string) float64 {
		t.Helper()
		value, err := west.Webhook.Metric("cephferry_decisions_total", `endpoint="`+endpoint+`"`, `result="`+result+`"`, `reason="`+reason+`"`)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	scale, pods, volume := count("scale", "denied", "foreign-watchers"), count("pod", "denied", "foreign-watchers"), count("volume", "allowed", "nobody-waits")
	s.Refused(s.Run(west, "", "scale", "statefulset/x", "--replicas=1"), scene.Forbidden("scale", s.InUse("data")))
	s.Refused(s.Run(west, scene.Pod("x", "data"), "create", "-f", "-"), scene.Forbidden("pod", s.InUse("data"), scene.Creating))
	for what, grew := range map[string]bool{
		"scale":  count("scale", "denied", "foreign-watchers") > scale,
		"pod":    count("pod", "denied", "foreign-watchers") > pods,
		"volume": volume > 0,
	} {
		if !grew {
			t.Errorf("the refusals of %s are not counted", what)
		}
	}
	for _, name := range []string{"cephferry_decision_seconds_count", "cephferry_ceph_call_seconds_count", "cephferry_certificate_expiry_seconds", "cephferry_ceph_up"} {
		if value, err := west.Webhook.Metric(name); err != nil || value == 0 {
			t.Errorf("%s is %v: %v", name, value, err)
		}
	}
	// As people see it.
	want := "VolumeInUse"
	s.Eventually("the event", func() error {
		out := s.Kubectl(west, "get", "events", "--field-selector=involvedObject.kind=StatefulSet,involvedObject.name=x", "-o=wide")
		if !strings.Contains(out, want) || !strings.Contains(out, "cephferry") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}
