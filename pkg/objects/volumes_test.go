package objects_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/objects"
	"github.com/cephferry/cephferry/pkg/volumes"
)

var (
	east = ceph.Party{UID: "u-east-0123456789", Name: "east"}
	west = ceph.Party{UID: "u-west-0123456789", Name: "west"}
	noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
)

// world is cluster west, in which volumes are shown.
type world struct {
	*testing.T
	api     client.WithWatch
	volumes *objects.Volumes
	waiting *objects.Waiting
	now     time.Time
	// requests are those that were made, but for the cache's.
	requests []string
	// fails, unless nil, is the answer of the API server to what is made and written.
	fails error
}

func newWorld(t *testing.T, there ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, now: noon}
	w.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(there...).
		WithStatusSubresource(&v1alpha1.MigratableVolume{}, &v1alpha1.FerryCluster{}).Build()
	counted := interceptor.NewClient(w.api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			return w.ask("get "+key.Name, func() error { return c.Get(ctx, key, object, options...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			return w.ask("list", func() error { return c.List(ctx, list, options...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return w.ask("create "+object.GetName(), func() error { return c.Create(ctx, object, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return w.ask("delete "+object.GetName(), func() error { return c.Delete(ctx, object, options...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			return w.ask("patch "+object.GetName(), func() error { return c.SubResource(sub).Patch(ctx, object, patch, options...) })
		},
	})
	w.volumes = w.leader(counted)
	w.waiting = &objects.Waiting{Client: counted, Log: logr.Discard(), Now: w.clock}
	return w
}

func (w *world) ask(what string, f func() error) error {
	w.requests = append(w.requests, what)
	if w.fails != nil {
		return w.fails
	}
	return f()
}

func (w *world) clock() time.Time { return w.now }

func (w *world) leader(counted client.Client) *objects.Volumes {
	return &objects.Volumes{
		Client: counted, Cache: w.api, Finder: volumes.Finder{Cache: w.api, API: w.api},
		Self: west, Log: logr.Discard(), Now: w.clock,
	}
}

// begins makes another replica the leader.
func (w *world) begins() {
	w.Helper()
	w.volumes = w.leader(w.volumes.Client)
	w.must(w.volumes.Read(w.Context()))
	w.took("list")
}

// settle writes what is to be written, and says what that took.
func (w *world) settle(want ...string) {
	w.Helper()
	w.must(w.volumes.Drain(w.Context()))
	w.must(w.waiting.Drain(w.Context()))
	w.took(want...)
}

func (w *world) took(want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.requests, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("requests (-want +got):\n%s", diff)
	}
	w.requests = nil
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// shown is what is shown of a claim.
func (w *world) shown(claim string) *v1alpha1.MigratableVolume {
	w.Helper()
	var object v1alpha1.MigratableVolume
	w.must(w.api.Get(w.Context(), types.NamespacedName{Namespace: "shop", Name: claim}, &object))
	return &object
}

// line is what kubectl get shows of a claim, and its conditions that are not as they are where
// all is well.
func (w *world) line(claim string) string {
	w.Helper()
	is := w.shown(claim).Status
	owner := "-"
	if is.Owner != nil {
		owner = is.Owner.Name + " " + strings.Join(is.Owner.Nodes, ",")
	}
	text := fmt.Sprintf("%s %s %q", is.State, owner, is.Waiting)
	for _, c := range is.Conditions {
		well := c.Status == metav1.ConditionTrue
		if c.Type == v1alpha1.ConditionWaiting || c.Type == v1alpha1.ConditionOwnedElsewhere {
			well = c.Status == metav1.ConditionFalse
		}
		if !well {
			text += " " + c.Type + "=" + c.Reason
		}
	}
	return text
}

func (w *world) isShown(claim, want string) {
	w.Helper()
	if got := w.line(claim); got != want {
		w.Errorf("it shows %q, want %q", got, want)
	}
}

func claimOf(name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name)},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "shop." + name},
	}
}

func volumeOf(claim string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "shop." + claim},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: claim, UID: types.UID("uid-" + claim)},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop." + claim,
				VolumeAttributes: map[string]string{"staticVolume": "true", "clusterID": "rook-ceph", "pool": "replicapool"},
			}},
		},
	}
}

// show says what a record says.
func (w *world) show(claim string, seen keeper.Seen) {
	w.Helper()
	volume, guarded, err := w.volumes.Finder.Guarded(volumeOf(claim))
	if !guarded || err != nil {
		w.Fatal(guarded, err)
	}
	w.volumes.Show(volume, seen)
}

func free() keeper.Seen { return keeper.Seen{Record: ceph.Record{Token: "free"}} }

// heldBy is a record, of another token for another node.
func heldBy(cluster ceph.Party, nodes ...string) keeper.Seen {
	owner := ceph.Owner{Party: cluster, Namespace: "shop", Claim: "data", Since: noon}
	for _, node := range nodes {
		owner.Nodes = append(owner.Nodes, ceph.Node{Name: node, Addresses: []string{"10.0.0.1"}})
	}
	return keeper.Seen{Record: ceph.Record{
		Token: cluster.Name + strings.Join(nodes, ","), State: ceph.Held, Owner: &owner, Keyed: true,
		History: []ceph.Change{{At: noon, Event: ceph.Acquired, Party: cluster}},
	}}
}

func TestAVolumeIsWrittenWhenSomethingHasChangedAndOnlyThen(t *testing.T) {
	w := newWorld(t, claimOf("data"), volumeOf("data"))
	w.begins()
	w.show("data", free())
	w.settle("create data", "patch data")
	w.isShown("data", `Free - ""`)
	for range 3 {
		w.show("data", free())
		w.settle()
	}

	w.now = noon.Add(time.Hour)
	w.show("data", heldBy(east, "e1"))
	w.settle("get data", "patch data")
	w.isShown("data", `Held east e1 "" Usable=OwnedElsewhere`)
	usable := meta.FindStatusCondition(w.shown("data").Status.Conditions, v1alpha1.ConditionUsable)
	if !usable.LastTransitionTime.Time.Equal(w.now) || !strings.Contains(usable.Message, "cluster east has the image on node e1, for claim shop/data.") {
		t.Errorf("the condition is %+v", usable)
	}
	known := meta.FindStatusCondition(w.shown("data").Status.Conditions, v1alpha1.ConditionKnown)
	if !known.LastTransitionTime.Time.Equal(noon) {
		t.Errorf("what has not changed has changed at %s", known.LastTransitionTime)
	}

	w.now = noon.Add(2 * time.Hour)
	w.show("data", heldBy(west, "w1"))
	w.settle("get data", "patch data")
	w.isShown("data", `Held west w1 ""`)
	object := w.shown("data")
	controller := false
	if diff := cmp.Diff([]metav1.OwnerReference{{APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: "data", UID: "uid-data", BlockOwnerDeletion: &controller}}, object.OwnerReferences); diff != "" {
		t.Errorf("owner (-want +got):\n%s", diff)
	}
	since := metav1.NewTime(noon)
	if diff := cmp.Diff(v1alpha1.MigratableVolumeStatus{
		PersistentVolume: "shop.data", Image: "replicapool/shop.data", State: v1alpha1.VolumeHeld, Keyed: true,
		Owner:   &v1alpha1.VolumeOwner{Name: "west", UID: west.UID, ThisCluster: true, Namespace: "shop", Claim: "data", Nodes: []string{"w1"}, Since: &since},
		History: []v1alpha1.VolumeChange{{At: since, Event: "acquired", Cluster: "west"}},
	}, object.Status, cmpopts.IgnoreFields(v1alpha1.MigratableVolumeStatus{}, "Conditions")); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}

	w.show("data", free())
	w.settle("get data", "patch data")
	w.isShown("data", `Free - ""`)
}

func TestALeaderThatBeginsWritesOnlyWhatIsNotShown(t *testing.T) {
	w := newWorld(t, claimOf("data"), volumeOf("data"), claimOf("more"), volumeOf("more"))
	w.begins()
	w.show("data", heldBy(east, "e1"))
	w.show("more", heldBy(east, "e1"))
	w.settle("create data", "patch data", "create more", "patch more")

	w.now = noon.Add(time.Hour)
	w.begins()
	w.show("data", heldBy(east, "e1"))
	w.show("more", heldBy(east, "e2"))
	w.settle("get more", "patch more")

	// The same when they are read again; what somebody has deleted is made anew.
	w.must(w.volumes.Read(t.Context()))
	w.must(w.api.Delete(t.Context(), w.shown("more")))
	w.must(w.volumes.Read(t.Context()))
	w.took("list", "list")
	w.show("data", heldBy(east, "e1"))
	w.show("more", heldBy(east, "e2"))
	w.settle("create more", "patch more")
}

func TestARecordThatCannotBeReadKeepsWhatWasKnown(t *testing.T) {
	w := newWorld(t, claimOf("data"), volumeOf("data"), claimOf("more"), volumeOf("more"))
	w.begins()
	w.show("data", heldBy(east, "e1"))
	w.settle("create data", "patch data")
	for err, want := range map[error]string{
		ceph.ErrImageNotFound: `Unknown east e1 "" Known=NoImage Usable=NoImage`,
		ceph.ErrRecordUnknown: `Unknown east e1 "" Known=UnknownFormat Usable=UnknownFormat`,
		ceph.ErrUnreachable:   `Unknown east e1 "" Known=NoAnswer Usable=NoAnswer`,
	} {
		for range 2 {
			w.show("data", keeper.Seen{Err: fmt.Errorf("read it: %w", err)})
			w.must(w.volumes.Drain(t.Context()))
		}
		w.took("get data", "patch data")
		w.isShown("data", want)
	}
	w.show("data", heldBy(east, "e1"))
	w.settle("get data", "patch data")
	w.isShown("data", `Held east e1 "" Usable=OwnedElsewhere`)

	w.show("more", keeper.Seen{Err: ceph.ErrUnreachable})
	w.settle("create more", "patch more")
	w.isShown("more", `Unknown - "" Known=NoAnswer Usable=NoAnswer`)
}

func TestWhatIsWrongHereIsShown(t *testing.T) {
	w := newWorld(t, claimOf("data"), volumeOf("data"))
	w.begins()
	seen := heldBy(east, "e1")
	seen.Elsewhere = "cluster east owns the image"
	w.show("data", seen)
	w.settle("create data", "patch data")
	w.isShown("data", `Held east e1 "" Usable=OwnedElsewhere OwnedElsewhere=OwnedElsewhere`)

	seen = heldBy(west, "w1")
	seen.Node, seen.Use = "w1", "a volume of an unknown PersistentVolume in volumesInUse"
	w.show("data", seen)
	w.settle("get data", "patch data")
	w.isShown("data", `Held west w1 "Node/w1" Waiting=NodeMayUseIt`)

	// What has lasted says more, and goes when it is over.
	seen.Missing = []ceph.Missing{
		{Kind: "NodeSilent", Subject: "Node/w1", What: "node w1 does not report", Since: noon, WayOut: "bring it back"},
		{Kind: "AttachmentNotGone", Subject: "VolumeAttachment/csi-1", What: "it does not go", WayOut: "see why"},
	}
	w.show("data", seen)
	w.settle("get data", "patch data")
	w.isShown("data", `Held west w1 "Node/w1" Waiting=NodeSilent`)
	waiting := meta.FindStatusCondition(w.shown("data").Status.Conditions, v1alpha1.ConditionWaiting)
	if want := "node w1 does not report, since 2026-11-27 12:00:00 UTC; bring it back\nit does not go; see why"; waiting.Message != want {
		t.Errorf("it says %q, want %q", waiting.Message, want)
	}
	since := metav1.NewTime(noon)
	if diff := cmp.Diff([]v1alpha1.VolumeMissing{
		{Kind: "NodeSilent", Subject: "Node/w1", What: "node w1 does not report", Since: &since, WayOut: "bring it back"},
		{Kind: "AttachmentNotGone", Subject: "VolumeAttachment/csi-1", What: "it does not go", WayOut: "see why"},
	}, w.shown("data").Status.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	w.begins()
	w.show("data", seen)
	w.settle() // another leader sees the same
	seen.Missing, seen.Node, seen.Use = nil, "", ""
	w.show("data", seen)
	w.settle("get data", "patch data")
	w.isShown("data", `Held west w1 ""`)
	if all := w.shown("data").Status.Missing; all != nil {
		t.Errorf("it goes on showing %v", all)
	}

	fencing := heldBy(east, "e1")
	fencing.Record.Token, fencing.Record.State = "fencing", ceph.Fencing
	fencing.Record.Takeover = &ceph.Takeover{Party: west, By: "ann", Since: noon}
	fencing.Record.Fenced = []ceph.FencedNode{{Cluster: east, Node: ceph.Node{Name: "e1", Addresses: []string{"10.0.0.1"}}}}
	w.show("data", fencing)
	w.settle("get data", "patch data")
	w.isShown("data", `Fencing east e1 "" Usable=Fencing`)
	is := w.shown("data").Status
	if is.Takeover == nil || is.Takeover.By != "ann" || is.Takeover.Cluster != "west" || len(is.Fenced) != 1 || is.Fenced[0].Node != "e1" {
		t.Errorf("it shows %+v, %+v", is.Takeover, is.Fenced)
	}

	// A state that is not known is never shown as free.
	later := heldBy(east, "e1")
	later.Record.Token, later.Record.State = "later", ceph.Fencing+1
	w.show("data", later)
	w.settle("get data", "patch data")
	w.isShown("data", `Unknown east e1 "" Usable=OwnedElsewhere`)
}

func TestAClaimThatWaitsForItsVolumeIsShownBeforeItHasOne(t *testing.T) {
	claim := claimOf("data")
	claim.Spec.VolumeName = ""
	w := newWorld(t, claim)
	w.begins()
	w.volumes.Waits(claim, ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"}, heldBy(east, "e1").Record, "volume shop/data is in use by another cluster")
	w.settle("create data", "patch data")
	w.isShown("data", `Held east e1 "PersistentVolumeClaim/data" Usable=OwnedElsewhere Waiting=ClaimWaits`)
	// It is not taken for one whose claim is not guarded.
	w.begins()

	claim.Spec.VolumeName = "shop.data"
	w.must(w.api.Update(t.Context(), claim))
	w.must(w.api.Create(t.Context(), volumeOf("data")))
	w.show("data", heldBy(west, "w1"))
	w.settle("get data", "patch data")
	w.isShown("data", `Held west w1 ""`)
}

func TestRefusedPodsAreShownUntilTheImageIsOurs(t *testing.T) {
	w := newWorld(t, claimOf("data"), volumeOf("data"))
	w.begins()
	volume, _, err := w.volumes.Finder.Guarded(volumeOf("data"))
	w.must(err)
	w.waiting.Waits(volume, "StatefulSet/db")
	w.settle("get data") // it is not shown yet

	w.show("data", heldBy(east, "e1"))
	w.settle("create data", "patch data")
	w.waiting.Waits(volume, "StatefulSet/db")
	w.settle("get data", "patch data")
	w.isShown("data", `Held east e1 "StatefulSet/db" Usable=OwnedElsewhere Waiting=PodsRefused`)
	if got, want := meta.FindStatusCondition(w.shown("data").Status.Conditions, v1alpha1.ConditionWaiting).Message,
		"pods of StatefulSet db were refused, last noted at 2026-11-27T12:00:00Z; they start by themselves when cluster east has released the image"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for range 3 {
		w.waiting.Waits(volume, "StatefulSet/db")
		w.settle()
	}
	// Half a minute later it is said again, with what is missing there.
	w.now = noon.Add(30 * time.Second)
	w.waiting.Missing = func(context.Context, volumes.Volume) []ceph.Missing {
		return []ceph.Missing{{Kind: "NodeSilent", Subject: "Node/e1", What: "in cluster east, node e1 does not report", WayOut: "in east: bring it back"}}
	}
	w.waiting.Waits(volume, "StatefulSet/db")
	w.settle("get data", "patch data")
	says := meta.FindStatusCondition(w.shown("data").Status.Conditions, v1alpha1.ConditionWaiting).Message
	if !strings.HasSuffix(says, "\nin cluster east, node e1 does not report; in east: bring it back") || len(w.shown("data").Status.Missing) != 1 {
		t.Errorf("it says %q, and shows %v", says, w.shown("data").Status.Missing)
	}
	w.show("data", heldBy(east, "e2"))
	w.settle("get data", "patch data")
	if len(w.shown("data").Status.Missing) != 1 {
		t.Error("the leader takes away what is missing")
	}
	w.isShown("data", `Held east e2 "StatefulSet/db" Usable=OwnedElsewhere Waiting=PodsRefused`)

	// A replica that has died takes nothing back. The leader does, when the image is free or ours.
	w.begins()
	w.show("data", free())
	w.settle("get data", "patch data")
	w.isShown("data", `Free - ""`)
	if all := w.shown("data").Status.Missing; all != nil {
		t.Errorf("of a free image %v is missing", all)
	}
	w.waiting.Waits(volume, "StatefulSet/web")
	w.settle("get data") // nobody has the image, so nobody is waited for
	w.isShown("data", `Free - ""`)

	// Whoever noted it takes it back when it has woken the workload.
	w.show("data", heldBy(east, "e1"))
	w.settle("get data", "patch data")
	w.waiting.Waits(volume, "StatefulSet/db")
	w.settle("get data", "patch data")
	w.waiting.Waits(volume, "")
	w.settle() // the leader may show it first
	w.waiting.Waits(volume, "StatefulSet/db")
	w.now = w.now.Add(time.Minute)
	w.settle() // it was woken too early
	w.isShown("data", `Held east e1 "StatefulSet/db" Usable=OwnedElsewhere Waiting=PodsRefused`)
	w.waiting.Waits(volume, "")
	w.now = w.now.Add(5 * time.Second)
	w.settle("get data", "patch data")
	w.isShown("data", `Held east e1 "" Usable=OwnedElsewhere`)
	w.waiting.Waits(volume, "")
	w.now = w.now.Add(5 * time.Second)
	w.settle()

	// Who is woken when the image is free leaves it to the leader.
	w.waiting.Waits(volume, "StatefulSet/db")
	w.settle("get data", "patch data")
	w.waiting.Waits(volume, "")
	w.show("data", heldBy(west, "w1"))
	w.settle("get data", "patch data")
	w.now = w.now.Add(5 * time.Second)
	w.settle("get data")
	w.isShown("data", `Held west w1 ""`)
}

// A record is written more often than what it shows changes.
func TestARecordThatShowsTheSameCostsNoRequest(t *testing.T) {
	w := newWorld(t, claimOf("data"), volumeOf("data"))
	w.begins()
	w.show("data", heldBy(west, "w1"))
	w.settle("create data", "patch data")
	for i := range 3 {
		again := heldBy(west, "w1")
		again.Record.Token, again.Record.Admissions = fmt.Sprint("again", i), uint64(i)
		w.show("data", again)
		w.settle()
	}
	// Nor does one that is again as it was before it was written.
	w.show("data", free())
	w.show("data", heldBy(west, "w1"))
	w.settle()
	w.show("data", free())
	w.settle("get data", "patch data")
	w.isShown("data", `Free - ""`)
}

// Where much happens, as when a release moves, a volume is written when that is over, and within
// some seconds.
func TestACrowdIsShownWhenNothingHappensToItForAMoment(t *testing.T) {
	const many = 12
	var there []client.Object
	var all []string
	for i := range many {
		claim := fmt.Sprint("data", i)
		all = append(all, claim)
		there = append(there, claimOf(claim), volumeOf(claim))
	}
	w := newWorld(t, there...)
	w.begins()
	happens := func(seen keeper.Seen) {
		seen.News = true
		for _, claim := range all {
			w.show(claim, seen)
		}
	}
	happens(free())
	w.show("old", free())
	w.settle()
	w.now = noon.Add(900 * time.Millisecond)
	happens(heldBy(west))
	w.settle()
	w.now = noon.Add(1800 * time.Millisecond)
	happens(heldBy(west, "w1"))
	w.settle()
	w.now = noon.Add(2800 * time.Millisecond)
	var once []string
	for _, claim := range all {
		once = append(once, "create "+claim, "patch "+claim)
	}
	w.settle(once...)
	w.isShown(all[many-1], `Held west w1 ""`)

	// What goes on is shown in between.
	begin := w.now
	for i := range 5 {
		w.now = begin.Add(time.Duration(i) * 999 * time.Millisecond)
		happens(heldBy(east, fmt.Sprint("e", i)))
		w.settle()
	}
	w.now = begin.Add(5 * time.Second)
	w.must(w.volumes.Drain(t.Context()))
	w.requests = nil
	w.isShown(all[0], `Held east e4 "" Usable=OwnedElsewhere`)
	w.isShown(all[many-1], `Held east e4 "" Usable=OwnedElsewhere`)

	// A few do not wait.
	for _, claim := range all[:10] {
		seen := heldBy(east, "e5")
		seen.News = true
		w.show(claim, seen)
	}
	w.must(w.volumes.Drain(t.Context()))
	w.isShown(all[0], `Held east e5 "" Usable=OwnedElsewhere`)
}

func TestWhatIsNoVolumeOfAClaimIsNotShown(t *testing.T) {
	other := claimOf("other")
	other.Spec.VolumeName = "shop.another"
	again := claimOf("again")
	again.UID = "uid-made-again"
	for name, objects := range map[string][]client.Object{
		"gone":       {volumeOf("gone")},
		"no volume":  {claimOf("novolume")},
		"another":    {other, volumeOf("other")},
		"made again": {again, volumeOf("again")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, objects...)
			w.begins()
			claim := strings.TrimPrefix(objects[0].GetName(), "shop.")
			w.show(claim, heldBy(east, "e1"))
			w.settle()
		})
	}
}

func TestAnObjectOfAClaimThatIsGoneIsReplaced(t *testing.T) {
	w := newWorld(t, claimOf("data"), volumeOf("data"), &v1alpha1.MigratableVolume{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "data", UID: "of-before",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: "data", UID: "before"}},
	}})
	w.begins()
	w.show("data", free())
	w.settle("get data", "delete data", "create data", "patch data")
	if got := w.shown("data").OwnerReferences[0].UID; got != "uid-data" {
		t.Errorf("it is owned by %s", got)
	}
}

func TestAnObjectGoesWhenItsVolumeIsNotGuardedAnyMore(t *testing.T) {
	w := newWorld(t, claimOf("data"), volumeOf("data"))
	w.begins()
	w.show("data", free())
	w.settle("create data", "patch data")
	pv := volumeOf("data")
	w.must(w.api.Get(t.Context(), client.ObjectKeyFromObject(pv), pv))
	delete(pv.Spec.CSI.VolumeAttributes, "staticVolume")
	w.must(w.api.Update(t.Context(), pv))
	w.must(w.volumes.Read(t.Context()))
	w.took("list", "delete data")
	// Or when it is gone, and the claim is not.
	w.must(w.api.Delete(t.Context(), pv))
	w.must(w.api.Create(t.Context(), &v1alpha1.MigratableVolume{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data"}}))
	w.must(w.volumes.Read(t.Context()))
	w.took("list", "delete data")
	w.must(w.api.Delete(t.Context(), claimOf("data")))
	w.must(w.api.Create(t.Context(), &v1alpha1.MigratableVolume{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data"}}))
	w.must(w.volumes.Read(t.Context()))
	w.took("list") // it goes with the claim
}

// An outage of the API server, or CRDs that are not there, cost some requests and nothing else.
func TestWhatCannotBeWrittenIsWrittenLater(t *testing.T) {
	noKind := &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "cephferry.io", Kind: "MigratableVolume"}}
	for name, fails := range map[string]error{"an outage": errors.New("connection refused"), "no CRDs": noKind} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, claimOf("data"), volumeOf("data"))
			w.fails = fails
			if err := w.volumes.Read(t.Context()); !errors.Is(err, fails) {
				t.Errorf("reads: %v", err)
			}
			w.show("data", free())
			if err := w.volumes.Drain(t.Context()); !errors.Is(err, fails) {
				t.Errorf("writes: %v", err)
			}
			volume, _, err := w.volumes.Finder.Guarded(volumeOf("data"))
			w.must(err)
			w.requests = nil
			for range 3 {
				w.waiting.Waits(volume, "StatefulSet/db")
				_ = w.waiting.Drain(t.Context())
			}
			if want := map[bool]int{true: 1, false: 3}[meta.IsNoMatchError(fails)]; len(w.requests) != want {
				t.Errorf("refusals take %q, want %d", w.requests, want)
			}
			w.fails, w.requests = nil, nil
			w.begins()
			w.show("data", free())
			w.settle("create data", "patch data")
			w.isShown("data", `Free - ""`)
		})
	}
}

func TestNewsComeBeforeWhatIsOldAndBothAreBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 3000 {
		w.show(fmt.Sprint("old", i), free())
	}
	if got := w.volumes.Queued(); got != 500 {
		t.Errorf("%d wait, want 500", got)
	}
	news := free()
	news.News = true
	for i := range 3000 {
		w.show(fmt.Sprint("new", i), news)
	}
	if got := w.volumes.Queued(); got != 2500 {
		t.Errorf("%d wait, want 2500", got)
	}
	for _, claim := range []string{"old0", "new0"} {
		w.must(w.api.Create(t.Context(), claimOf(claim)))
		w.must(w.api.Create(t.Context(), volumeOf(claim)))
	}
	w.settle() // others may be heard of
	w.now = w.now.Add(time.Second)
	w.settle("create new0", "patch new0", "create old0", "patch old0")
}
