package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// TestEventsAtClaims: what becomes of an image is said at the claim that its volume is for.
func TestEventsAtClaims(t *testing.T) {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: "u-1"}}
	volume := func(uid string) volumes.Volume {
		pv := &corev1.PersistentVolume{}
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: "data", UID: claim.UID}
		if uid != "" {
			pv.Spec.ClaimRef.UID = "u-0"
		}
		return volumes.Volume{Namespace: "shop", Claim: "data", PV: pv, Image: staticpv.Image{Pool: "replicapool", Name: "shop.data"}}
	}
	for name, test := range map[string]struct {
		does func(atClaims)
		want []string
	}{
		"a pod acquires it": {func(a atClaims) { a.acquired(volume("")) },
			[]string{"Normal Acquired image replicapool/shop.data is now owned by cluster west: a pod was admitted"}},
		"it was used already": {func(a atClaims) { a.changed(volume(""), true) },
			[]string{"Normal Acquired image replicapool/shop.data is now owned by cluster west: the cluster uses it already"}},
		"it is released": {func(a atClaims) { a.changed(volume(""), false) },
			[]string{"Normal Released image replicapool/shop.data is released: nothing in cluster west uses it any more"}},
		"a workload is woken": {func(a atClaims) { a.woken(volume(""), "StatefulSet/db") },
			[]string{"Normal Woken image replicapool/shop.data is free: StatefulSet/db was told to try again"}},
		"the claim was made again, with another volume": {func(a atClaims) { a.changed(volume("u-0"), false) }, nil},
		"there is no claim": {func(a atClaims) {
			gone := volume("")
			gone.Claim = "gone"
			a.acquired(gone)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(10)
			test.does(atClaims{recorder, fake.NewClientBuilder().WithObjects(claim.DeepCopy()).Build(), "west"})
			close(recorder.Events)
			var got []string
			for event := range recorder.Events {
				got = append(got, event)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
