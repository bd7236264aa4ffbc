//go:build lab

package guard

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/yaml"
)

// reply is how the webhook answered, without the API server between.
type reply struct {
	allowed bool
	code    int32
	// message is the reason in metrics when it is allowed.
	message string
	took    time.Duration
	problem error
}

// send sends a body to an endpoint.
func (w *running) send(endpoint, body string) (r reply) {
	begin := time.Now()
	defer func() { r.took = time.Since(begin) }()
	response, err := w.Client.Post(w.URL+"/validate/"+endpoint, "application/json", strings.NewReader(body))
	if err != nil {
		return reply{problem: err}
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{problem: err}
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(data, &review); err != nil || review.Response == nil {
		return reply{problem: fmt.Errorf("%s: %q is no review: %w", response.Status, data, err)}
	}
	r = reply{allowed: review.Response.Allowed}
	if review.Response.Result != nil {
		r.code, r.message = review.Response.Result.Code, strings.TrimPrefix(review.Response.Result.Message, "\n")
	}
	return r
}

// all sends reviews at the same time.
func (w *running) all(endpoint string, bodies []string) []reply {
	replies := make([]reply, len(bodies))
	var group sync.WaitGroup
	for i, body := range bodies {
		group.Go(func() { replies[i] = w.send(endpoint, body) })
	}
	group.Wait()
	return replies
}

// podReview is the review of a new pod, as the API server sends it.
func (s *shop) podReview(manifest string) string {
	s.Helper()
	object, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		s.Fatal(err)
	}
	return review(fmt.Sprintf(`"kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"}, `+
		`"name": "x", "namespace": %q, "operation": "CREATE", "object": %s`, s.namespace, object))
}

func review(request string) string {
	return `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "0a1b", "userInfo": {"username": "somebody"}, ` + request + `}}`
}

func TestAReviewThatCannotBeReadIsNeverAllowed(t *testing.T) {
	t.Parallel()
	const pods = `"kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "default", "name": "x"`
	const scale = `"kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "resource": {"group": "apps", "version": "v1", "resource": "deployments"}, ` +
		`"subResource": "scale", "operation": "UPDATE", "namespace": "default", "name": "x"`
	for name, body := range map[string]string{
		"nothing":                     "",
		"no JSON":                     "<html>",
		"cut off":                     review(pods)[:60],
		"a list":                      "[]",
		"no review":                   "{}",
		"a review without a request":  `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`,
		"no object":                   review(pods + `, "operation": "CREATE"`),
		"an object that is no object": review(pods + `, "operation": "CREATE", "object": "pod"`),
		"a spec that is no spec":      review(pods + `, "operation": "CREATE", "object": {"apiVersion": "v1", "kind": "Pod", "spec": "none"}`),
		"replicas that are no number": review(scale + `, "object": {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": "many"}}, "oldObject": {"apiVersion": "autoscaling/v1", "kind": "Scale"}`),
		"no old object":               review(scale + `, "object": {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 2}}`),
	} {
		for _, endpoint := range []string{"pod", "scale", "volume"} {
			// What is one endpoint's business is malformed for the others.
			if got := west.guard.send(endpoint, body); got.problem != nil || got.allowed || got.code != http.StatusBadRequest {
				t.Errorf("%s to %s: %+v, want code 400", name, endpoint, got)
			}
		}
	}
	response, err := west.guard.Client.Get(west.guard.URL + "/validate/pod")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); strings.Contains(string(body), `"allowed":true`) {
		t.Errorf("a GET is answered with %s", body)
	}
}

// Not parallel: on a machine that is busy with the other tests, it would be the
// machine that answers late.
func TestTwoHundredReviewsAtOnceAreAllAnsweredRight(t *testing.T) {
	s := newShop(t)
	var claims []string
	for i := range 8 {
		claims = append(claims, fmt.Sprint("data-", i))
		s.volume(claims[i], east)
		s.create(west, s.pv(claims[i]))
	}
	held := claims[:4]
	s.holds(east, held...)
	texts := map[string]string{}
	for _, claim := range held {
		texts[claim] = s.inUse(claim)
	}
	var bodies []string
	for i := range 200 {
		bodies = append(bodies, s.podReview(pod("x", claims[i%len(claims)])))
	}
	begin := time.Now()
	replies := west.guard.all("pod", bodies)
	t.Logf("%d answers in %s", len(replies), time.Since(begin).Round(time.Millisecond))
	for i, got := range replies {
		want := reply{allowed: true, code: http.StatusOK, message: "no-watcher"}
		if text, ok := texts[claims[i%len(claims)]]; ok {
			want = reply{code: http.StatusForbidden, message: text}
		}
		if got.problem != nil || got.allowed != want.allowed || got.code != want.code || got.message != want.message {
			t.Fatalf("answer for %s: %+v, want %+v", claims[i%len(claims)], got, want)
		}
	}
	// One pod with all of them.
	r := s.run(west, fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: %s}", podSpec(claims)), "create", "-f", "-")
	s.refused(r, forbidden("pod", s.inUse(held...), creating))
}

func TestADryRunIsAnsweredAlikeAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	s.holds(east, "data")
	s.create(west, workload("StatefulSet", "x", "data", 0))
	unchanged := s.unchanged(west)
	text := s.inUse("data")
	s.refused(s.run(west, "", "scale", "statefulset/x", "--replicas=1", "--dry-run=server"), forbidden("scale", text))
	s.refused(s.run(west, pod("x", "data"), "create", "--dry-run=server", "-f", "-"), forbidden("pod", text, creating))
	created := s.run(west, workload("Deployment", "z", "data", 1), "create", "--dry-run=server", "-f", "-")
	s.must(created)
	if want := s.waits("Deployment "+s.namespace+"/z", text); created.stderr != want {
		t.Errorf("it says %q, want %q", created.stderr, want)
	}
	// An event that is made on purpose comes after all that were made before.
	s.refused(s.run(west, pod("last", "data"), "create", "-f", "-"), forbidden("pod", text, creating))
	s.event(west, "VolumeInUse", "Pod/last", text)
	if events := s.events(west); slices.ContainsFunc(events, func(e event) bool { return e.reason == "VolumeInUse" && e.object != "Pod/last" }) {
		t.Errorf("events %q", events)
	}
	unchanged()

	s.letsGo(east, "data")
	s.kubectl(west, "scale", "statefulset/x", "--replicas=1", "--dry-run=server")
	s.create(west, pod("x", "data"), "--dry-run=server")
	unchanged()
}

func TestEveryDecisionIsCounted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	s.holds(east, "data")
	s.create(west, workload("StatefulSet", "x", "data", 0))
	count := func(endpoint, result, reason string) float64 {
		t.Helper()
		value, err := west.guard.Metric("cephferry_decisions_total", `endpoint="`+endpoint+`"`, `result="`+result+`"`, `reason="`+reason+`"`)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	scale, pods, volume := count("scale", "denied", "foreign-watchers"), count("pod", "denied", "foreign-watchers"), count("volume", "allowed", "nobody-waits")
	s.refused(s.run(west, "", "scale", "statefulset/x", "--replicas=1"), forbidden("scale", s.inUse("data")))
	s.refused(s.run(west, pod("x", "data"), "create", "-f", "-"), forbidden("pod", s.inUse("data"), creating))
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
		if value, err := west.guard.Metric(name); err != nil || value == 0 {
			t.Errorf("%s is %v: %v", name, value, err)
		}
	}
	// As people see it.
	want := "VolumeInUse"
	s.eventually("the event", func() error {
		out := s.kubectl(west, "get", "events", "--field-selector=involvedObject.kind=StatefulSet,involvedObject.name=x", "-o=wide")
		if !strings.Contains(out, want) || !strings.Contains(out, "cephferry") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}
