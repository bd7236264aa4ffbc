package guard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/guard"
)

// TestMalformed: what cannot be read is not allowed, and asks nobody.
func TestMalformed(t *testing.T) {
	podKind := corev1.SchemeGroupVersion.WithKind("Pod")
	volumeKind := corev1.SchemeGroupVersion.WithKind("PersistentVolume")
	const none = "there is no content to decode"
	tests := map[string]struct {
		endpoint string
		request  admission.Request
		want     string
	}{
		"a pod that is missing":            {"pod", review(t, admissionv1.Create, podKind, "pods", nil, nil), none},
		"a pod that is deleted":            {"pod", review(t, admissionv1.Delete, podKind, "pods", nil, pod("db-0", "data")), none},
		"a pod that is no JSON":            {"pod", review(t, admissionv1.Create, podKind, "pods", "{", nil), "decode the pod: unexpected end of JSON input"},
		"a pod that is a Deployment":       {"pod", review(t, admissionv1.Create, podKind, "pods", deployment("data"), nil), "*"},
		"a pod of a kind nobody knows":     {"pod", review(t, admissionv1.Create, podKind, "pods", `{"kind":"Pod","apiVersion":"v9"}`, nil), "*"},
		"a pod with volumes of a word":     {"pod", review(t, admissionv1.Create, podKind, "pods", `{"kind":"Pod","apiVersion":"v1","spec":{"volumes":"all"}}`, nil), "*"},
		"a volume that is missing":         {"volume", review(t, admissionv1.Create, volumeKind, "persistentvolumes", nil, nil), none},
		"a volume that is a pod":           {"volume", review(t, admissionv1.Create, volumeKind, "persistentvolumes", pod("db-0"), nil), "*"},
		"a Scale that is missing":          {"scale", review(t, admissionv1.Update, deploymentKind, "deployments/scale", nil, scale(0)), none},
		"a Scale without an old one":       {"scale", review(t, admissionv1.Update, deploymentKind, "deployments/scale", scale(1), nil), none},
		"a Scale that is a Deployment":     {"scale", review(t, admissionv1.Update, deploymentKind, "deployments/scale", deployment("data"), scale(0)), "*"},
		"an old Scale that is a pod":       {"scale", review(t, admissionv1.Update, deploymentKind, "deployments/scale", scale(1), pod("db-0")), "*"},
		"replicas of a word":               {"scale", review(t, admissionv1.Update, deploymentKind, "deployments/scale", strings.Replace(scale(1), `"replicas":1`, `"replicas":"one"`, 1), scale(0)), "*"},
		"a Deployment that is missing":     {"scale", review(t, admissionv1.Update, deploymentKind, "deployments", nil, deployment()), none},
		"a Deployment without an old one":  {"scale", review(t, admissionv1.Update, deploymentKind, "deployments", deployment(), nil), none},
		"a StatefulSet that is missing":    {"scale", review(t, admissionv1.Create, statefulSetKind, "statefulsets", nil, nil), none},
		"a StatefulSet without an old one": {"scale", review(t, admissionv1.Update, statefulSetKind, "statefulsets", statefulSet(0), nil), none},
		"a StatefulSet that is a pod":      {"scale", review(t, admissionv1.Create, statefulSetKind, "statefulsets", pod("db-0"), nil), "*"},
		"a kind that is not asked for":     {"scale", review(t, admissionv1.Update, podKind, "pods", pod("db-0"), pod("db-0")), "this endpoint does not handle kind Pod"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, pair("data")...)
			got := w.ask(test.endpoint, test.request)
			// The words are those of the decoder.
			want := malformed(test.want)
			if test.want == "*" && strings.HasPrefix(got.Message, "\nread the admission review: ") {
				want.Message = got.Message
			}
			same(t, want, got)
			same(t, nil, w.events)
			same(t, nil, w.labels)
			if calls := w.ceph.Calls(); len(calls) != 0 {
				t.Errorf("ceph was asked: %v", calls)
			}
		})
	}
}

// TestEvents: a refusal is noted at who makes the pod, and without one at the pod.
func TestEvents(t *testing.T) {
	owned := func(references ...metav1.OwnerReference) *corev1.Pod {
		p := pod("db-0", "data")
		p.OwnerReferences = references
		return p
	}
	set := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", UID: "7", Controller: ptr(true)}
	other := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "8"}
	request := createPod(t, owned(set))
	tests := map[string]struct {
		endpoint string
		request  admission.Request
		watcher  string
		want     []string
	}{
		"a bare pod":            {"pod", createPod(t, owned()), foreign, []string{"Pod shop/db-0: " + inUse("data", "shop.data")}},
		"a controller's pod":    {"pod", request, foreign, []string{"StatefulSet shop/db: " + inUse("data", "shop.data")}},
		"an owner's pod":        {"pod", createPod(t, owned(other)), foreign, []string{"Pod shop/db-0: " + inUse("data", "shop.data")}},
		"a dry run":             {"pod", dryRun(request), foreign, nil},
		"an allowed pod":        {"pod", request, "", nil},
		"a scale":               {"scale", scaled(t, deploymentKind, "deployments", 0, 1), foreign, []string{"Deployment shop/db: " + inUse("data", "shop.data")}},
		"a dry run of a scale":  {"scale", dryRun(scaled(t, deploymentKind, "deployments", 0, 1)), foreign, nil},
		"a volume":              {"volume", createVolume(t, volume("data")), foreign, []string{"ReplicaSet shop/db-1: " + inUse("data", "shop.data")}},
		"a dry run of a volume": {"volume", dryRun(createVolume(t, volume("data"))), foreign, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			waiting := pod("db-1-x", "data")
			waiting.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "db-1", Controller: ptr(true)}}
			w := newWorld(t, []string{"shop.data"}, append(pair("data"), deployment("data"), waiting)...)
			if test.watcher != "" {
				w.watch("shop.data", test.watcher)
			}
			got := w.ask(test.endpoint, test.request)
			same(t, test.want, w.events)
			// What people are told is the same everywhere.
			for _, event := range w.events {
				if _, message, _ := strings.Cut(event, ": "); "\n"+message != got.Message {
					t.Errorf("the event says %q, the answer %q", message, got.Message)
				}
			}
		})
	}
}

// TestLogs: a refusal is one line, and an allowed pod none.
func TestLogs(t *testing.T) {
	w := newWorld(t, []string{"shop.data"}, pair("data")...)
	w.ask("pod", createPod(t, pod("db-0", "data")))
	same(t, nil, w.logs)
	w.watch("shop.data", foreign)
	w.ask("pod", createPod(t, pod("db-0", "data")))
	same(t, []string{`"level"=0 "msg"="refused" "endpoint"="pod" "result"="denied" "reason"="foreign-watchers" ` +
		`"namespace"="shop" "name"="db" "resource"="pods" "user"="ann" "uid"="11" "message"=` + strconv.Quote(inUse("data", "shop.data"))}, w.logs)
}

// counted are the decisions so far, by endpoint, result and reason.
func (w *world) counted() map[string]int {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	counted := map[string]int{}
	for _, family := range families {
		for _, metric := range family.Metric {
			labels := map[string]string{}
			for _, label := range metric.Label {
				labels[label.GetName()] = label.GetValue()
			}
			switch family.GetName() {
			case "cephferry_decisions_total":
				counted[labels["endpoint"]+" "+labels["result"]+" "+labels["reason"]] = int(metric.Counter.GetValue())
			case "cephferry_decision_seconds":
				counted["time of "+labels["endpoint"]] = int(metric.Histogram.GetSampleCount())
			}
		}
	}
	return counted
}

func TestDecisionsAreCounted(t *testing.T) {
	w := newWorld(t, []string{"shop.data", "shop.used"}, slices.Concat(pair("data"), pair("used"), pair("lost"),
		[]client.Object{deployment("used"), pod("waiting", "used")})...)
	w.watch("shop.used", foreign)
	for range 3 {
		w.ask("pod", createPod(t, pod("db-0", "data")))
	}
	w.ask("pod", createPod(t, pod("db-0", "used")))
	w.ask("pod", dryRun(createPod(t, pod("db-0", "used"))))
	w.ask("pod", createPod(t, pod("db-0", "lost")))
	w.ask("pod", createPod(t, pod("db-0")))
	w.ask("pod", admission.Request{})
	w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1))
	w.ask("scale", scaled(t, deploymentKind, "deployments", 1, 0))
	w.ask("scale", scaled(t, statefulSetKind, "statefulsets", 0, 1))
	w.ask("volume", createVolume(t, volume("data")))
	w.ask("volume", createVolume(t, volume("used")))
	same(t, map[string]int{
		"pod allowed no-watcher":           3,
		"pod denied foreign-watchers":      2,
		"pod unknown ceph-unknown":         1,
		"pod allowed nothing-guarded":      1,
		"pod unknown malformed":            1,
		"scale denied foreign-watchers":    1,
		"scale allowed not-rising":         1,
		"scale unknown kubernetes-unknown": 1,
		"volume allowed nobody-waits":      1,
		"volume denied foreign-watchers":   1,
		"time of pod":                      8,
		"time of scale":                    3,
		"time of volume":                   2,
	}, w.counted())
}

// TestLimit: Ceph hangs, and the answer is there when it has to be, to the moment.
func TestLimit(t *testing.T) {
	var many []string
	var objects []client.Object
	for i := range 20 {
		many = append(many, fmt.Sprint("data-", i))
		objects = append(objects, pair(many[i])...)
	}
	text := func(claim, cause string) string {
		return "cannot know whether volume shop/" + claim + " (image replicapool/shop." + claim + ") is in use by another cluster: " + cause +
			"context deadline exceeded\n  do this   fix that, then retry here; nothing was changed"
	}
	tests := map[string]struct {
		change func(*world)
		claims []string
		want   []string
	}{
		"connecting":             {func(w *world) { w.endpoints.Storages = silent{} }, many[:1], []string{text("data-0", "")}},
		"listing watchers":       {func(w *world) { w.ceph.Intercept(hang) }, many[:1], []string{text("data-0", `look at image "replicapool/shop.data-0": `)}},
		"connecting, 20 volumes": {func(w *world) { w.endpoints.Storages = silent{} }, many, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil, objects...)
				test.change(w)
				begin := time.Now()
				got := w.ask("pod", createPod(t, pod("db-0", test.claims...)))
				same(t, 3*time.Second, time.Since(begin))
				want := test.want
				if want == nil {
					for _, claim := range test.claims {
						want = append(want, text(claim, ""))
					}
				}
				same(t, unknown(strings.Join(want, "\n")), got)
			})
		})
	}
}

// TestClientThatWasCutOff: another cluster has fenced the webhook's client, and the next one
// answers, unless the whole machine is fenced.
func TestClientThatWasCutOff(t *testing.T) {
	const fenced = "cannot know whether volume shop/data (image replicapool/shop.data) is in use by another cluster: " +
		"look at image \"replicapool/shop.data\": ceph has put this client on the blocklist\n  do this   " +
		"look for this machine's address in `ceph osd blocklist ls`; find out who fenced it, and why, before removing the entry; nothing was changed"
	for fences, want := range map[int]answer{0: allowed(guard.NoWatcher), 1: allowed(guard.NoWatcher), 2: unknown(fenced)} {
		w := newWorld(t, []string{"shop.data"}, pair("data")...)
		operator, err := w.ceph.Dial(t.Context(), cephtest.Operator)
		if err != nil {
			t.Fatal(err)
		}
		var next successive
		for i := range 3 {
			client, err := w.ceph.Dial(t.Context(), cephtest.Provisioner)
			if err != nil {
				t.Fatal(err)
			}
			if i < fences {
				addr, err := client.Self(t.Context())
				if err == nil {
					err = operator.Blocklist(t.Context(), []string{addr}, ceph.MaxFence)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			next = append(next, client)
		}
		w.endpoints.Storages = &next
		same(t, want, w.ask("pod", createPod(t, pod("db-0", "data"))))
	}
}

// successive are the connections that lead to Ceph one after the other, as one is renewed when
// its client is on the blocklist.
type successive []guard.Ceph

func (s *successive) Cluster(context.Context, string) (guard.Ceph, string, error) {
	next := (*s)[0]
	*s = (*s)[1:]
	return next, "", nil
}

// hang is Ceph that does not answer.
func hang(ctx context.Context, _ cephtest.Call, _ func() error) error {
	<-ctx.Done()
	return ctx.Err()
}

// silent is Ceph that cannot be connected to.
type silent struct{}

func (silent) Cluster(ctx context.Context, _ string) (guard.Ceph, string, error) {
	<-ctx.Done()
	return nil, "", ctx.Err()
}

// TestCallerGivesUp: the API server closes the connection before the limit.
func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []string{"shop.data"}, pair("data")...)
		w.ceph.Intercept(hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		got := w.handler("pod").Handle(ctx, createPod(t, pod("db-0", "data")))
		same(t, time.Second, time.Since(begin))
		if got.Allowed {
			t.Error("the pod is allowed")
		}
	})
}

// TestParallel asks 200 times at once, about volumes that are free, used here,
// used elsewhere and not known.
func TestParallel(t *testing.T) {
	// Its clock stands still while anything is done, so that no limit ends on a busy machine.
	synctest.Test(t, testParallel)
}

func testParallel(t *testing.T) {
	w := newWorld(t, []string{"shop.free", "shop.own", "shop.used"}, slices.Concat(
		pair("free"), pair("own"), pair("used"), pair("lost"),
		[]client.Object{attachment("shop.own", "west-1"), deployment("used")},
	)...)
	w.watch("shop.own", "10.0.2.11:0/1")
	w.watch("shop.used", foreign)
	lost := "cannot know whether volume shop/lost (image replicapool/shop.lost) is in use by another cluster: " +
		"look at image \"replicapool/shop.lost\": the image does not exist\n" +
		"  do this   compare the name with `rbd ls`; nothing was changed"
	asked := []struct {
		endpoint string
		request  admission.Request
		want     answer
	}{
		{"pod", createPod(t, pod("db-0", "free")), allowed(guard.NoWatcher)},
		{"pod", createPod(t, pod("db-0", "free", "own")), allowed(guard.OwnWatchers)},
		{"pod", createPod(t, pod("db-0", "free", "own", "used", "lost")), denied(inUse("used", "shop.used"))},
		{"pod", createPod(t, pod("db-0", "own", "lost")), unknown(lost)},
		{"scale", scaled(t, deploymentKind, "deployments", 0, 1), denied(inUse("used", "shop.used"))},
	}
	const times = 40
	var all sync.WaitGroup
	for i := range times * len(asked) {
		all.Go(func() {
			a := asked[i%len(asked)]
			same(t, a.want, w.ask(a.endpoint, a.request))
		})
	}
	all.Wait()
	same(t, map[string]int{
		"pod allowed no-watcher":        times,
		"pod allowed own-watchers":      times,
		"pod denied foreign-watchers":   times,
		"pod unknown ceph-unknown":      times,
		"scale denied foreign-watchers": times,
		"time of pod":                   4 * times,
		"time of scale":                 times,
	}, w.counted())
	same(t, 3*times, len(w.events))
}

// TestMetricsOfCeph counts calls of Ceph, and remembers how the last one ended.
func TestMetricsOfCeph(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := guard.NewMetrics(registry, func() float64 { return 17 })
	values := func() map[string]float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, family := range families {
			for _, metric := range family.Metric {
				name := family.GetName()
				for _, label := range metric.Label {
					name += " " + label.GetValue()
				}
				values[name] = metric.Gauge.GetValue() + metric.Counter.GetValue() + float64(metric.Histogram.GetSampleCount())
			}
		}
		return values
	}
	metrics.CephCall("connect", time.Millisecond, nil)
	metrics.CephCall("watchers", time.Millisecond, nil)
	metrics.CephCall("watchers", time.Second, ceph.ErrUnreachable)
	metrics.CephAnswered("near", nil)
	metrics.CephAnswered("far", ceph.ErrUnreachable)
	metrics.OwnedElsewhere(3)
	metrics.OwnedElsewhere(2)
	same(t, map[string]float64{
		"cephferry_volumes_owned_elsewhere":    2,
		"cephferry_certificate_expiry_seconds": 17,
		"cephferry_ceph_call_seconds connect":  1,
		"cephferry_ceph_call_seconds watchers": 2,
		"cephferry_ceph_errors_total watchers": 1,
		"cephferry_ceph_up near":               1,
		"cephferry_ceph_up far":                0,
	}, values())
	down := func(err error) error { return fmt.Errorf("find ceph cluster of clusterID: %w", err) }
	for _, err := range []error{ceph.ErrUnreachable, ceph.ErrKeyType, ceph.ErrAuth, ceph.ErrSettings} {
		metrics.CephAnswered("near", nil)
		metrics.CephConnected("near", down(err))
		if got := values()["cephferry_ceph_up near"]; got != 0 {
			t.Errorf("after connecting with %v: cephferry_ceph_up %v", err, got)
		}
	}
	for _, err := range []error{nil, context.Canceled, errors.New("the API server does not answer")} {
		metrics.CephAnswered("near", ceph.ErrImageNotFound)
		metrics.CephConnected("near", err)
		if got := values()["cephferry_ceph_up near"]; got != 1 {
			t.Errorf("after an answer that is an error, and then %v: cephferry_ceph_up %v", err, got)
		}
	}
	metrics.CephConnected("near", down(csiconfig.ErrNotFound))
	if got, there := values()["cephferry_ceph_up near"]; there {
		t.Errorf("a clusterID that is gone: cephferry_ceph_up %v", got)
	}
}
