package keeper_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// boundClaim is claim data, bound to volume shop.data.
func boundClaim() *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: "claim-1"}}
	claim.Spec.VolumeName = "shop.data"
	claim.Status.Conditions = []corev1.PersistentVolumeClaimCondition{{Type: "FileSystemResizePending", Status: corev1.ConditionTrue}}
	return claim
}

func boundPod(uid string) *corev1.Pod {
	p := pod(uid, "data")
	p.Spec.NodeName = "w1"
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

// events are those that were written since the last call.
func (w *world) events() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.conflicts
	w.conflicts = nil
	return all
}

// conditions are what objects say of the volume, by their names.
func (w *world) conditions(objects ...client.Object) map[string]string {
	w.Helper()
	all := map[string]string{}
	for _, object := range objects {
		err := w.api.Get(w.Context(), client.ObjectKeyFromObject(object), object)
		if client.IgnoreNotFound(err) != nil {
			w.Fatal(err)
		}
		if err != nil {
			continue
		}
		others := 0
		switch object := object.(type) {
		case *corev1.Pod:
			for _, c := range object.Status.Conditions {
				if c.Type == keeper.Condition && c.Status == corev1.ConditionTrue && c.Reason == keeper.Reason && c.LastTransitionTime.Equal(&metav1.Time{Time: noon}) {
					all[object.Name] = c.Message
				} else {
					others++
				}
			}
		case *corev1.PersistentVolumeClaim:
			for _, c := range object.Status.Conditions {
				if c.Type == keeper.Condition && c.Status == corev1.ConditionTrue && c.Reason == keeper.Reason && c.LastTransitionTime.Equal(&metav1.Time{Time: noon}) {
					all[object.Name] = c.Message
				} else {
					others++
				}
			}
		}
		if others != 1 {
			w.Errorf("%s has %d conditions of others, want 1", object.GetName(), others)
		}
	}
	return all
}

func (w *world) wantEvents(want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.events()); diff != "" {
		w.Errorf("events (-want +got):\n%s", diff)
	}
}

func (w *world) wantConditions(want map[string]string, objects ...client.Object) {
	w.Helper()
	if diff := cmp.Diff(want, w.conditions(objects...)); diff != "" {
		w.Errorf("conditions (-want +got):\n%s", diff)
	}
}

const (
	owned   = "volume shop/data (image replicapool/shop.data): cluster east owns the image"
	scale   = "; scale the workload to zero in this cluster, and up again when the image is free"
	ofPodA  = owned + ", and pod pod-a uses it here on node w1" + scale
	ofPodB  = owned + ", and pod pod-b uses it here on node w1" + scale
	ofBoth  = owned + ", and 2 pods use it here, pod-a on node w1 among them" + scale
	related = " [shop.data]"
)

// released is the record after its owner has let go.
func released(owner ceph.Party) func(ceph.Record) (ceph.Record, error) {
	return func(stored ceph.Record) (ceph.Record, error) { return ownership.Release(stored, owner, "", noon) }
}

// TestEachIncidentIsTold: at once when it begins, at a calm rate while it lasts, and taken
// back when it is over.
func TestEachIncidentIsTold(t *testing.T) {
	w := newWorld(t, boundClaim(), boundPod("a"), attachment("shop.data", "w1"))
	objects := []client.Object{boundClaim(), boundPod("a"), boundPod("b")}
	w.admits(east, "p")

	w.keep()
	first := []string{"pod-a: " + ofPodA + related, "shop.data: " + ofPodA + " [pod-a]", "data: " + ofPodA + " [pod-a]"}
	w.wantEvents(first...)
	w.wantConditions(map[string]string{"data": ofPodA, "pod-a": ofPodA}, objects...)
	if w.metrics.elsewhere != 1 {
		t.Errorf("%d volumes are owned elsewhere", w.metrics.elsewhere)
	}
	w.pass(30*time.Minute - time.Second)
	w.keep()
	w.wantEvents()
	w.pass(time.Second)
	w.keep()
	w.wantEvents(first...)

	// One more pod is told, and the first one not again.
	w.create(boundPod("b"))
	w.keep()
	w.wantEvents("pod-b: "+ofPodB+related, "shop.data: "+ofBoth+" [pod-b]", "data: "+ofBoth+" [pod-b]")
	w.wantConditions(map[string]string{"data": ofBoth, "pod-a": ofPodA}, boundClaim(), boundPod("a"))
	w.remove(boundPod("b"))

	// The pod ends, and with it the incident.
	w.remove(boundPod("a"), attachment("shop.data", "w1"))
	w.keep()
	w.wantEvents()
	w.wantConditions(map[string]string{}, objects...)
	if w.metrics.elsewhere != 0 {
		t.Errorf("%d volumes are owned elsewhere", w.metrics.elsewhere)
	}

	// The second one of the volume, a moment later.
	w.mu.Lock()
	w.now = noon
	w.mu.Unlock()
	w.create(boundPod("a"), attachment("shop.data", "w1"))
	w.keep()
	w.wantEvents(first...)
	w.wantConditions(map[string]string{"data": ofPodA, "pod-a": ofPodA}, objects...)

	// The owner lets go: what runs here is this cluster's own.
	w.change(released(east))
	w.keep()
	w.wantOwner("west")
	w.wantEvents()
	w.wantConditions(map[string]string{}, objects...)
}

// TestAnotherOwner is another incident, also if nobody looked between the two.
func TestAnotherOwner(t *testing.T) {
	w := newWorld(t, boundPod("a"), attachment("shop.data", "w1"))
	w.admits(east, "p")
	w.keep()
	w.wantEvents("pod-a: "+ofPodA+related, "shop.data: "+ofPodA+" [pod-a]")
	w.change(released(east))
	w.admits(east, "q")
	w.keep()
	w.wantEvents("pod-a: "+ofPodA+related, "shop.data: "+ofPodA+" [pod-a]")
}

// TestANewLeaderTakesBackWhatItsPredecessorSaid: the claim says that there is something.
func TestANewLeaderTakesBackWhatItsPredecessorSaid(t *testing.T) {
	w := newWorld(t, boundClaim(), boundPod("a"), attachment("shop.data", "w1"))
	w.admits(east, "p")
	w.keep()
	w.wantConditions(map[string]string{"data": ofPodA, "pod-a": ofPodA}, boundClaim(), boundPod("a"))
	w.keeper = &keeper.Keeper{Prover: w.keeper.Prover, Finder: w.keeper.Finder, Storage: w.keeper.Storage, Metrics: w.metrics, Events: w, Client: w.api}
	w.change(released(east))
	w.keep()
	w.wantConditions(map[string]string{}, boundClaim(), boundPod("a"))
}

// TestWhatEndsAnIncident, beside the end of its pod, and of the other cluster's ownership.
func TestWhatEndsAnIncident(t *testing.T) {
	for name, end := range map[string]func(*world){
		"the volume is not guarded any more": func(w *world) {
			w.remove(volume("shop.data", "data"))
			dynamic := volume("shop.data", "data")
			dynamic.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": "shop.data"}
			w.create(dynamic)
		},
		"the PersistentVolume is gone": func(w *world) { w.remove(volume("shop.data", "data")) },
		"the image is gone":            func(w *world) { w.ceph.RemoveImage(theData) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, boundClaim(), boundPod("a"), attachment("shop.data", "w1"))
			w.admits(east, "p")
			w.keep()
			if w.metrics.elsewhere != 1 || len(w.events()) != 3 {
				t.Fatalf("%d volumes are owned elsewhere", w.metrics.elsewhere)
			}
			end(w)
			w.keep()
			w.wantEvents()
			w.wantConditions(map[string]string{}, boundClaim(), boundPod("a"))
			if w.metrics.elsewhere != 0 {
				t.Errorf("%d volumes are owned elsewhere", w.metrics.elsewhere)
			}
		})
	}
}

// TestWhileTheImageIsBeingTaken, whose it will be is open: nobody is told, and nothing is taken
// back.
func TestWhileTheImageIsBeingTaken(t *testing.T) {
	fencing := func(stored ceph.Record) (ceph.Record, error) {
		stored.State, stored.Takeover = ceph.Fencing, &ceph.Takeover{Party: ceph.Party{UID: "u-north", Name: "north"}, By: "somebody", Since: noon}
		return stored, nil
	}
	w := newWorld(t, boundClaim(), boundPod("a"), attachment("shop.data", "w1"))
	w.admits(east, "p")
	w.change(fencing)
	w.keep()
	w.wantEvents()
	w.wantConditions(map[string]string{}, boundClaim(), boundPod("a"))

	w = newWorld(t, boundClaim(), boundPod("a"), attachment("shop.data", "w1"))
	w.admits(east, "p")
	w.keep()
	w.events()
	w.change(fencing)
	w.keep()
	w.wantEvents()
	w.wantConditions(map[string]string{"data": ofPodA, "pod-a": ofPodA}, boundClaim(), boundPod("a"))
}

// TestAPodWithTwoVolumes says one thing at a time, and does not go on saying what is over.
func TestAPodWithTwoVolumes(t *testing.T) {
	w := newWorld(t, boundClaim(), attachment("shop.data", "w1"))
	p := boundPod("a")
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type: keeper.Condition, Status: corev1.ConditionTrue, Reason: keeper.Reason, Message: "volume shop/wal (image replicapool/shop.wal): cluster east owns the image", LastTransitionTime: metav1.NewTime(noon),
	})
	w.create(p)
	w.admits(east, "p")
	w.keep()
	w.wantConditions(map[string]string{"data": ofPodA, "pod-a": "volume shop/wal (image replicapool/shop.wal): cluster east owns the image"}, boundClaim(), boundPod("a"))
	w.change(released(east))
	w.keep()
	w.wantConditions(map[string]string{"pod-a": "volume shop/wal (image replicapool/shop.wal): cluster east owns the image"}, boundClaim(), boundPod("a"))
}

// TestTheRecordIsKeptWhenNothingCanBeSaid.
func TestTheRecordIsKeptWhenNothingCanBeSaid(t *testing.T) {
	w := newWorld(t, boundClaim(), boundPod("a"), attachment("shop.data", "w1"))
	w.admits(east, "p")
	forbidden := errors.New("pods/status is forbidden")
	w.keeper.Client = interceptor.NewClient(w.api, interceptor.Funcs{SubResourcePatch: func(_ context.Context, _ client.Client, _ string, _ client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
		return forbidden
	}})
	w.keep()
	if got := strings.Join(w.events(), "\n"); !strings.Contains(got, ofPodA) {
		t.Errorf("events %q", got)
	}
	w.change(released(east))
	w.keep()
	w.wantOwner("west")
}
