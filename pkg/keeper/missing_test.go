package keeper_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/missing"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// note is what other clusters read.
func (w *world) note() ceph.Note {
	w.Helper()
	image, err := w.client.Image(w.Context(), theData)
	if err != nil {
		w.Fatal(err)
	}
	note, err := w.client.Note(w.Context(), image)
	if err != nil {
		w.Fatal(err)
	}
	return note
}

// wantMissing checks the events since the last call.
func (w *world) wantMissing(want ...string) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(want, w.missing, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("events (-want +got):\n%s", diff)
	}
	w.missing = nil
}

// leads makes another replica the leader.
func (w *world) leads() {
	w.keeper = &keeper.Keeper{
		Prover: w.keeper.Prover, Finder: w.keeper.Finder, Storage: w.keeper.Storage,
		Metrics: w.metrics, Events: w, Client: w.api, Shown: w.keeper.Shown,
	}
}

// seen remembers what was shown last.
type seen struct{ last keeper.Seen }

func (s *seen) Show(_ volumes.Volume, is keeper.Seen) { s.last = is }

func (s *seen) Owned(map[string]int) {}

// deleting is an attachment that somebody has deleted at noon, and that does not go.
func deleting() *storagev1.VolumeAttachment {
	a := attachment("shop.data", "w1")
	a.DeletionTimestamp, a.Finalizers = &metav1.Time{Time: noon}, []string{"external-attacher/rook-ceph-rbd-csi-ceph-com"}
	a.Status.DetachError = &storagev1.VolumeError{Message: "rpc error"}
	return a
}

func silentNode() *corev1.Node {
	n := node("w1", "10.0.2.11")
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, LastTransitionTime: metav1.NewTime(noon)}}
	return n
}

// TestWhatIsMissingIsTold: at the objects once, when it has lasted; as long as it lasts in the note
// for other clusters and in what is shown; and since when, by the next leader too.
func TestWhatIsMissingIsTold(t *testing.T) {
	unscheduled := pod("p", "data")
	unscheduled.CreationTimestamp = metav1.NewTime(noon)
	ending := boundPod("p")
	ending.DeletionTimestamp, ending.Finalizers = &metav1.Time{Time: noon}, []string{"example.com/hold"}
	tests := map[string]struct {
		objects []client.Object
		// instead is put where an object of that name was.
		instead client.Object
		watcher ceph.Watcher
		pending bool
		kind    string
		says    string
		pod     bool
	}{
		"an attachment that does not go": {objects: []client.Object{deleting()}, kind: "AttachmentNotGone",
			says: "VolumeAttachment csi-shop.data-w1 of node w1 is being deleted and does not go away (rpc error), since 2026-11-22 12:00:00 UTC; the node has unmounted the volume"},
		"a node that does not report": {objects: []client.Object{boundPod("p"), attachment("shop.data", "w1")}, instead: silentNode(), kind: "NodeSilent", pod: true,
			says: "node w1 has pod shop/pod-p and does not report, since 2026-11-22 12:00:00 UTC; bring node w1 back"},
		"a watcher that is nobody's": {watcher: ceph.Watcher{Addr: "10.0.9.9:0/7", Client: "client.7"}, kind: "ClientUnknown",
			says: "client.7 at 10.0.9.9 has the image open, and nothing in this cluster accounts for it (not a node of this cluster), since 2026-11-22 12:00:00 UTC; find the machine"},
		"an admitted pod that never came": {pending: true, kind: "PodNotSeen",
			says: "a pod was admitted and is not at the API server, since 2026-11-22 12:00:00 UTC; wait"},
		"a pod that no node takes": {objects: []client.Object{unscheduled}, kind: "PodWithoutNode", pod: true,
			says: "pod shop/pod-p was admitted and no node takes it, since 2026-11-22 12:00:00 UTC; kubectl -n shop describe pod pod-p says why"},
		"a pod that does not end": {objects: []client.Object{ending, attachment("shop.data", "w1")}, kind: "PodNotGone", pod: true,
			says: "pod shop/pod-p on node w1 is being deleted and has not ended, since 2026-11-22 12:00:00 UTC; kubectl -n shop describe pod pod-p says what holds it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, append(test.objects, boundClaim())...)
			if test.instead != nil {
				w.remove(node("w1", ""))
				w.create(test.instead)
			}
			if test.watcher.Addr != "" {
				w.ceph.AddWatcher(theData, test.watcher)
			}
			shown := &seen{}
			w.keeper.Shown = shown
			who := ""
			if test.pending {
				who = "lost"
			}
			w.admits(west, who)
			w.keep()
			w.wantMissing()
			w.pass(29 * time.Second)
			if wait := w.keep(); wait > time.Second {
				t.Errorf("it looks again after %s", wait)
			}
			w.wantMissing()
			if len(shown.last.Missing) != 0 {
				t.Errorf("it shows %v at once", shown.last.Missing)
			}
			w.pass(time.Second)
			w.keep()
			w.mu.Lock()
			events := slices.Clone(w.missing)
			w.mu.Unlock()
			want := 2
			if test.pod {
				want = 3
			}
			if len(events) != want {
				t.Errorf("events %q", events)
			}
			for _, e := range events {
				if !strings.Contains(e, ", "+test.kind+": volume shop/data (image replicapool/shop.data) is not released: "+test.says) {
					t.Errorf("event %q\nwant %q", e, test.says)
				}
			}
			w.wantMissing(events...)
			note := w.note()
			if note.Owner != west.UID || note.Epoch != 1 || len(note.Missing) != 1 || !strings.HasPrefix(note.Missing[0].String(), test.says) {
				t.Errorf("the note says %+v", note)
			}
			if len(shown.last.Missing) != 1 || shown.last.Missing[0].Kind != test.kind {
				t.Errorf("it shows %v", shown.last.Missing)
			}

			// Who waits in another cluster is told the same.
			waits := missing.Of(missing.Facts{Self: east, Record: w.record(), Note: note, Now: w.clock()})
			if len(waits) != 1 || !strings.HasPrefix(waits[0].String(), "in cluster west, "+test.says[:strings.LastIndex(test.says, "; ")]) {
				t.Errorf("in the other cluster %v is missing", waits)
			}

			// Not again, and neither does another leader, which knows since when.
			w.keep()
			w.leads()
			w.keep()
			w.wantMissing()
			if diff := cmp.Diff(note, w.note()); diff != "" {
				t.Errorf("the note (-before +after the leader changed):\n%s", diff)
			}
		})
	}
}

// TestAHolderThatNothingConfirms: its Node object is gone, and comes back.
func TestAHolderThatNothingConfirms(t *testing.T) {
	w := newWorld(t, boundClaim(), boundPod("p"), attachment("shop.data", "w1"))
	w.admits(west, "p")
	w.keep()
	if diff := cmp.Diff(ceph.Note{Owner: west.UID, Epoch: 1, Pods: []ceph.NotedPod{{Name: "shop/pod-p", Node: "w1"}}}, w.note()); diff != "" {
		t.Errorf("the note of a volume that is used (-want +got):\n%s", diff)
	}
	w.remove(boundPod("p"), attachment("shop.data", "w1"), node("w1", ""))
	w.keep()
	w.leads() // also one that has not seen when it began
	w.pass(30 * time.Second)
	w.keep()
	w.pass(30 * time.Second)
	w.keep()
	const text = "NodeNotConfirmed: volume shop/data (image replicapool/shop.data) is not released: the image was on node w1, whose Node object is gone, since 2026-11-22 12:00:30 UTC; " +
		"start the machine, so that its kubelet registers and says that it has let go; if you know that the machine which had the image is off, kubectl cephferry release shop/data --without-proof"
	w.wantMissing("*v1.PersistentVolume shop.data, "+text, "*v1.PersistentVolumeClaim data, "+text)
	if got := w.note(); got.Pods != nil || len(got.Missing) != 1 {
		t.Errorf("the note says %+v", got)
	}
	w.create(node("w1", "10.0.2.11"))
	w.keep()
	w.wantOwner("")
	w.wantMissing()
}

// TestNothingDependsOnANote: a record is kept, and people here are told, when it cannot be written.
func TestNothingDependsOnANote(t *testing.T) {
	w := newWorld(t, deleting(), boundClaim())
	refused := errors.New("refused")
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "Note" || call.Method == "PutNote" {
			return refused
		}
		return proceed()
	})
	w.admits(west, "")
	w.pass(time.Hour)
	w.keep()
	w.mu.Lock()
	told := len(w.missing)
	w.mu.Unlock()
	if told != 2 {
		t.Errorf("%d events", told)
	}
	w.wantHolders(nodeW1)
	w.ceph.Intercept(nil)
	w.keep()
	if len(w.note().Missing) != 1 {
		t.Error("the note is not written when it can be")
	}
}
