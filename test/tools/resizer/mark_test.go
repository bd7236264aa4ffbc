// Package resizer tests with the code of ceph-csi's external-resizer how that treats the mark on
// claims that keeps it away (pkg/provisioner/resizer.go).
package resizer

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kubernetes-csi/external-resizer/pkg/controller"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/util/workqueue"
)

const driver = "rbd.csi.ceph.com"

// resizer notes which volumes it is to resize, and fails.
type resizer struct{ asked chan string }

func (resizer) Name() string                              { return driver }
func (resizer) DriverSupportsControlPlaneExpansion() bool { return true }
func (resizer) CanSupport(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) bool {
	return pv.Spec.CSI.Driver == driver
}

func (r resizer) Resize(pv *corev1.PersistentVolume, _ resource.Quantity) (resource.Quantity, bool, error) {
	r.asked <- pv.Name
	return resource.Quantity{}, false, errors.New("a static volume")
}

func storage(size string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
}

// pair is a bound claim that has 8Gi and asks for so much, and its volume as the resizer sees it.
func pair(name, asks, shows string) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	uid := types.UID(name)
	return &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: uid},
			Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: name, Resources: corev1.VolumeResourceRequirements{Requests: storage(asks)}},
			Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: storage("8Gi")},
		}, &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeSpec{
				Capacity: storage(shows), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				ClaimRef:               &corev1.ObjectReference{Namespace: "shop", Name: name, UID: uid},
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: name}},
			},
		}
}

// mark is the status of a claim with that much allocated, none if it is empty.
func mark(allocated string, status corev1.ClaimResourceStatus) func(*corev1.PersistentVolumeClaimStatus) {
	return func(s *corev1.PersistentVolumeClaimStatus) {
		if allocated != "" {
			s.AllocatedResources = storage(allocated)
		}
		if status != "" {
			s.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{corev1.ResourceStorage: status}
		}
	}
}

// TestTheMark: the claim had 8Gi when it was marked, and asks for 20Gi.
func TestTheMark(t *testing.T) {
	const pending, inProgress = corev1.PersistentVolumeClaimNodeResizePending, corev1.PersistentVolumeClaimNodeResizeInProgress
	for name, test := range map[string]struct {
		shows  string
		mark   func(*corev1.PersistentVolumeClaimStatus)
		resize bool
	}{
		"as it is":                                      {"8Gi", mark("8Gi", pending), false},
		"its volume has grown once before":              {"12Gi", mark("8Gi", pending), false},
		"its volume has what it asks for":               {"20Gi", mark("8Gi", pending), false},
		"its node is to grow the filesystem":            {"20Gi", mark("20Gi", pending), false},
		"its node is to, and it asks for more again":    {"12Gi", mark("12Gi", pending), false},
		"its node grows the filesystem":                 {"20Gi", mark("20Gi", inProgress), false},
		"its node grows what was there before":          {"20Gi", mark("8Gi", inProgress), false},
		"not marked":                                    {"8Gi", mark("", ""), true},
		"not marked, and its volume has grown":          {"20Gi", mark("", ""), true},
		"after a kubelet has taken the mark":            {"20Gi", mark("8Gi", ""), true},
		"marked without a size":                         {"8Gi", mark("", pending), true},
		"marked with 12Gi, and the volume is seen late": {"8Gi", mark("12Gi", pending), true},
	} {
		t.Run(name, func(t *testing.T) {
			claim, pv := pair("data", "20Gi", test.shows)
			test.mark(&claim.Status)
			asked := resize(t, claim, pv)
			if got := slices.Contains(asked, "data"); got != test.resize {
				t.Errorf("the driver was asked for %q", asked)
			}
		})
	}
}

// resize runs the resizer with what it sees, until it has asked for a claim that came later
// and that nothing keeps it away from. It returns what it asked for.
func resize(t *testing.T, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) []string {
	t.Helper()
	last, lastPV := pair("last", "20Gi", "8Gi")
	client := fake.NewClientset(claim, pv, lastPV)
	factory := informers.NewSharedInformerFactory(client, 0)
	r := resizer{make(chan string, 100)}
	c := controller.NewResizeController(driver, r, client, 0, factory, workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Hour, time.Hour), false, time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	go c.Run(1, ctx) // one worker takes claims in the order in which they come
	if _, err := client.CoreV1().PersistentVolumeClaims("shop").Create(ctx, last, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var asked []string
	for {
		select {
		case volume := <-r.asked:
			if volume == "last" {
				return asked
			}
			asked = append(asked, volume)
		case <-time.After(time.Minute):
			t.Fatalf("the resizer does nothing; it asked for %q", asked)
		}
	}
}
