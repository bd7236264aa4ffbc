package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/docs"
	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/move"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// shows is an API server with these objects.
func shows(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.Client {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).
		WithStatusSubresource(&v1alpha1.MigratableVolume{}, &v1alpha1.FerryCluster{}, &v1alpha1.Takeover{}).Build()
}

func shownVolume(name string, status v1alpha1.MigratableVolumeStatus) *v1alpha1.MigratableVolume {
	return &v1alpha1.MigratableVolume{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}}, Status: status}
}

func heldBy(name, uid string, this bool) v1alpha1.MigratableVolumeStatus {
	since := metav1.NewTime(time.Now().Add(-3 * time.Hour))
	return v1alpha1.MigratableVolumeStatus{
		PersistentVolume: "pv", Image: "rbd/shop.data", State: v1alpha1.VolumeHeld,
		Owner: &v1alpha1.VolumeOwner{Name: name, UID: uid, ThisCluster: this, Namespace: "shop", Claim: "data", Nodes: []string{"n1", "n2"}, Since: &since},
	}
}

func registeredAt(seen time.Time) *v1alpha1.FerryCluster {
	at := metav1.NewTime(seen)
	return &v1alpha1.FerryCluster{ObjectMeta: metav1.ObjectMeta{Name: "west"},
		Status: v1alpha1.FerryClusterStatus{Name: "west", UID: "u-west", ThisCluster: true, Version: "v1", NodeCount: 3, VolumesOwned: 2, LastSeen: &at}}
}

// statusOf runs status on what an API server shows.
func statusOf(t *testing.T, api client.Client, output outputFormat, selector string, named ...claim) (stdout, stderr string, err error) {
	t.Helper()
	var out, complaints bytes.Buffer
	selected, err := labels.Parse(selector)
	if err != nil {
		t.Fatal(err)
	}
	printer, err := output.printer()
	if err != nil {
		t.Fatal(err)
	}
	s := &shownVolumes{
		statusOptions: &statusOptions{options: &options{std: streams{stdout: &out, stderr: &complaints}}, output: output},
		api:           api, printer: printer, named: named, selector: selected,
	}
	err = s.show(t.Context())
	return out.String(), complaints.String(), err
}

// TestStatusSaysWhatIsMissing: below the table, with since when and the way out.
func TestStatusSaysWhatIsMissing(t *testing.T) {
	stuck, since := heldBy("west", "u-west", true), metav1.NewTime(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC))
	stuck.Waiting = "VolumeAttachment/csi-1"
	stuck.Missing = []v1alpha1.VolumeMissing{
		{Kind: "AttachmentNotGone", Subject: "VolumeAttachment/csi-1", What: "VolumeAttachment csi-1 of node n1 does not go", Since: &since, WayOut: "look at\nceph-csi"},
		{Kind: "NodeSilent", Subject: "Node/n1", What: "node n1 does not report", WayOut: "bring it back"},
	}
	api := shows(t, interceptor.Funcs{}, registeredAt(time.Now()), shownVolume("data", stuck), shownVolume("well", heldBy("west", "u-west", true)))
	want := `NAMESPACE   CLAIM   STATE   OWNER   NODE    SINCE   WAITING
shop        data    Held    west    n1,n2   3h      VolumeAttachment/csi-1
shop        well    Held    west    n1,n2   3h      -

shop/data is not released: VolumeAttachment csi-1 of node n1 does not go, since 2026-11-27 12:00:00 UTC
  do this   look at ceph-csi

shop/data is not released: node n1 does not report
  do this   bring it back
`
	out, _, err := statusOf(t, api, "", "")
	if diff := cmp.Diff(want, out); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestStatusOfObjects(t *testing.T) {
	fencing := heldBy("west", "u-dead", false)
	fencing.State, fencing.Takeover = v1alpha1.VolumeFencing, &v1alpha1.VolumeTakeover{Cluster: "west", By: "ann", Since: metav1.Now()}
	free := v1alpha1.MigratableVolumeStatus{State: v1alpha1.VolumeFree, Image: "rbd/shop.idle", Waiting: "pod\nweb-0"}
	unknownRecord := heldBy("east", "u-east", false)
	meta.SetStatusCondition(&unknownRecord.Conditions, metav1.Condition{Type: v1alpha1.ConditionKnown, Status: "False", Reason: "Ceph", Message: "ceph does not answer"})
	api := shows(t, interceptor.Funcs{}, registeredAt(time.Now()),
		shownVolume("data", heldBy("east", "u-east", false)), shownVolume("idle", free), shownVolume("moving", fencing))
	known := `NAMESPACE   CLAIM    STATE     OWNER                                    NODE    SINCE   WAITING
shop        data     Held      east                                     n1,n2   3h      -
shop        idle     Free      -                                        -       -       pod web-0
shop        moving   Fencing   west (another cluster, u-dead) -> west   n1,n2   3h      -
`
	out, stderr, err := statusOf(t, api, "", "")
	if diff := cmp.Diff(known, out); diff != "" || err != nil || stderr != "" {
		t.Errorf("%v %q, -want +got:\n%s", err, stderr, diff)
	}
	for name, test := range map[string]struct {
		output   outputFormat
		selector string
		named    []claim
		want     string
	}{
		"names":            {"name", "", nil, "migratablevolume.cephferry.io/data\nmigratablevolume.cephferry.io/idle\nmigratablevolume.cephferry.io/moving\n"},
		"a label":          {"name", "app=idle", nil, "migratablevolume.cephferry.io/idle\n"},
		"a claim":          {"name", "", []claim{{"shop", "moving"}}, "migratablevolume.cephferry.io/moving\n"},
		"a template":       {"jsonpath={.items[*].status.state}", "", nil, "Held Free Fencing"},
		"further columns":  {wide, "", []claim{{"shop", "data"}}, "NAMESPACE   CLAIM   STATE   OWNER   NODE    SINCE   WAITING   IMAGE           VOLUME\nshop        data    Held    east    n1,n2   3h      -         rbd/shop.data   pv\n"},
		"one that is gone": {"", "", []claim{{"shop", "none"}}, ""},
	} {
		out, _, err := statusOf(t, api, test.output, test.selector, test.named...)
		if out != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, out, test.want)
		}
	}
	for _, output := range []outputFormat{"json", "yaml"} {
		out, _, err := statusOf(t, api, output, "")
		if err != nil || strings.Count(out, "MigratableVolume") != 4 || !strings.Contains(out, "u-east") {
			t.Errorf("%s: %v\n%s", output, err, out)
		}
	}

	// What is not known is said, and the exit code.
	api = shows(t, interceptor.Funcs{}, shownVolume("data", unknownRecord), shownVolume("new", v1alpha1.MigratableVolumeStatus{}))
	out, _, err = statusOf(t, api, "", "")
	if exitCode(err) != exitUnknown || !strings.Contains(out, "cannot know: ceph does not answer") || !strings.Contains(out, "cannot know: its record was not read yet") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What a cluster shows whose webhook is dead must not pass for what is true now.
func TestOldObjects(t *testing.T) {
	volume := shownVolume("data", heldBy("west", "u-west", true))
	_, stderr, err := statusOf(t, shows(t, interceptor.Funcs{}, registeredAt(time.Now().Add(-2*time.Hour)), volume), "", "")
	if err != nil || !strings.Contains(stderr, "warning: the webhook of cluster west last wrote this 120m ago") {
		t.Errorf("%v, %q", err, stderr)
	}
	// Members of an app team may not read that.
	forbidden := interceptor.Funcs{List: func(ctx context.Context, api client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		if _, ok := list.(*v1alpha1.FerryClusterList); ok {
			return errors.New("forbidden")
		}
		return api.List(ctx, list, options...)
	}}
	out, stderr, err := statusOf(t, shows(t, forbidden, volume), "", "")
	if err != nil || stderr != "" || !strings.Contains(out, "west") {
		t.Errorf("%v, %q\n%s", err, stderr, out)
	}
}

func TestWithoutObjects(t *testing.T) {
	none := interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "cephferry.io", Kind: "MigratableVolume"}, SearchedVersions: []string{"v1alpha1"}}
	}}
	api := shows(t, none)
	_, _, err := statusOf(t, api, "", "")
	const want = "do this   install cephferry's chart in it, or run the same command with --direct"
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), want) {
		t.Errorf("status: %v", err)
	}
	err = (&clustersOptions{options: &options{}}).show(t.Context(), api, nil, time.Now())
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), want) {
		t.Errorf("clusters: %v", err)
	}
}

func TestWatchShowsWhatHasChanged(t *testing.T) {
	api := shows(t, interceptor.Funcs{}, registeredAt(time.Now()), shownVolume("data", heldBy("west", "u-west", true)), shownVolume("other", heldBy("west", "u-west", true)))
	var out bytes.Buffer
	s := &shownVolumes{
		statusOptions: &statusOptions{options: &options{std: streams{stdout: &out, stderr: &out, colour: true}}},
		api:           api, selector: labels.Everything(),
	}
	if err := s.show(t.Context()); err != nil || strings.Count(out.String(), "\n") != 3 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), plain+"Held"+reset) {
		t.Errorf("no colours:\n%q", out.String())
	}
	out.Reset()
	if err := s.show(t.Context()); err != nil || out.String() != "" {
		t.Errorf("nothing has changed: %v\n%s", err, out.String())
	}
	var volume v1alpha1.MigratableVolume
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "data"}, &volume); err != nil {
		t.Fatal(err)
	}
	volume.Status = v1alpha1.MigratableVolumeStatus{State: v1alpha1.VolumeFree}
	if err := api.Status().Update(t.Context(), &volume); err != nil {
		t.Fatal(err)
	}
	if err := s.show(t.Context()); err != nil || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "Free") {
		t.Errorf("one is free: %v\n%s", err, out.String())
	}
}

func TestClustersOfObjects(t *testing.T) {
	now := time.Now()
	later := &v1alpha1.FerryCluster{ObjectMeta: metav1.ObjectMeta{Name: "u-later"}}
	var out bytes.Buffer
	c := &clustersOptions{options: &options{std: streams{stdout: &out}}, output: wide}
	if err := c.show(t.Context(), shows(t, interceptor.Funcs{}, registeredAt(now.Add(-20*time.Second))), nil, now); err != nil {
		t.Error(err)
	}
	meta.SetStatusCondition(&later.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReadable, Status: "False", Reason: "Later", Message: "another format"})
	c.output = ""
	if err := c.show(t.Context(), shows(t, interceptor.Funcs{}, later), nil, now); exitCode(err) != exitUnknown {
		t.Errorf("one cannot be read: %v", err)
	}
	want := `NAME                  VERSION   NODES   OWNS   LAST SEEN   UID
west (this cluster)   v1        3       2      20s ago     u-west
NAME      VERSION   NODES   OWNS   LAST SEEN
u-later   cannot know: another format
`
	if diff := cmp.Diff(want, strings.ReplaceAll(out.String(), "21s ago", "20s ago")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHistoryOfObjects(t *testing.T) {
	status := heldBy("west", "u-west", true)
	at := metav1.NewTime(since)
	status.Owner.Since = &at
	status.History = []v1alpha1.VolumeChange{{At: at, Event: "acquired", Cluster: "east"}, {At: at, Event: "taken-over", Cluster: "west", By: "ann", From: "east"}}
	var out bytes.Buffer
	o := &options{std: streams{stdout: &out}}
	if err := o.printShownHistory(shownVolume("data", status)); err != nil {
		t.Error(err)
	}
	want := `claim shop/data (image rbd/shop.data): cluster west owns it, claim shop/data, since 2026-11-22T14:03:00Z
TIME                   EVENT        CLUSTER   FROM   BY
2026-11-22T14:03:00Z   acquired     east      -      -
2026-11-22T14:03:00Z   taken-over   west      east   ann
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := o.printShownHistory(shownVolume("data", v1alpha1.MigratableVolumeStatus{State: v1alpha1.VolumeUnknown})); exitCode(err) != exitUnknown {
		t.Errorf("what is not known: %v", err)
	}
}

func TestFleet(t *testing.T) {
	free := v1alpha1.MigratableVolumeStatus{State: v1alpha1.VolumeFree, Waiting: "pod web-0"}
	row, err := countVolumes(t.Context(), shows(t, interceptor.Funcs{}, registeredAt(since),
		shownVolume("a", heldBy("west", "u-west", true)), shownVolume("b", heldBy("east", "u-east", false)), shownVolume("c", free), shownVolume("d", v1alpha1.MigratableVolumeStatus{})))
	if err != nil {
		t.Fatal(err)
	}
	row.Context = "w"
	var out bytes.Buffer
	f := &fleetOptions{options: &options{std: streams{stdout: &out}}}
	if err := f.print([]fleetRow{row, {Context: "e", Error: "it does not answer"}}, since.Add(time.Minute)); exitCode(err) != exitUnknown {
		t.Errorf("one does not answer: %v", err)
	}
	want := `CONTEXT   CLUSTER   VERSION   NODES   VOLUMES   HELD   FREE   ELSEWHERE   FENCING   UNKNOWN   WAITING   LAST SEEN
w         west      v1        3       4         1      1      1           0         1         1         60s ago
e         cannot know: it does not answer
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCompletion(t *testing.T) {
	api := shows(t, interceptor.Funcs{}, shownVolume("a", v1alpha1.MigratableVolumeStatus{}), shownVolume("b", v1alpha1.MigratableVolumeStatus{}))
	if diff := cmp.Diff([]string{"shop/b"}, claimsToOffer(t.Context(), api, "default", false, []string{"shop/a"})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, claimsToOffer(t.Context(), api, "shop", true, nil)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	code, out, _ := runWith(t, "", "__complete", "fail")
	if code != 0 || !strings.HasPrefix(out, "failover\t") {
		t.Errorf("%d %q", code, out)
	}
}

func TestExitCodes(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want int
	}{
		"nothing is wrong":          {nil, 0},
		"a failure":                 {ceph.ErrUnreachable, exitFailed},
		"a failover that is not":    {fmt.Errorf("nothing was changed\n%w", errors.Join(fmt.Errorf("volume a: %w", &failover.Refusal{What: "no"}))), exitRefused},
		"a release that is not":     {fmt.Errorf("volume a: %w", &idle.Refusal{What: "no"}), exitRefused},
		"a record that does not":    {fmt.Errorf("volume a: %w", &ownership.Refused{Reason: ownership.NotOwned}), exitRefused},
		"a move that is not":        {&move.Refusal{What: "no"}, exitRefused},
		"a name that is wrong":      {refuse(errors.New("that is not its name")), exitRefused},
		"what cannot be found out":  {unknown(errShown), exitUnknown},
		"what was said and no more": {errShown, exitFailed},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%s: %d; want %d", name, got, test.want)
		}
	}
	document, err := docs.Files.ReadFile("kubectl-cephferry.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, text := range map[int]string{0: "Done", exitFailed: "It failed", exitRefused: "Refused", exitUnknown: "Something could not be found out"} {
		if !strings.Contains(string(document), fmt.Sprintf("\n| %d | %s", code, text)) {
			t.Errorf("docs/kubectl-cephferry.md does not say that %d is: %s", code, text)
		}
	}
}
