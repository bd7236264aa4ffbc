package agent

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The volume was mounted when the claim had 8Mi, and now has 16Mi. The cases are those of
// kubelet's NodeExpander and legacyCallNodeExpandOnPlugin.
func TestExpandOnce(t *testing.T) {
	const pending, inProgress = corev1.PersistentVolumeClaimNodeResizePending, corev1.PersistentVolumeClaimNodeResizeInProgress
	storage := func(size string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
	}
	for name, test := range map[string]struct {
		has, allocated string
		status         corev1.ClaimResourceStatus
		modes          corev1.PersistentVolumeAccessMode
		// claim is what the claim says then, remembered is the size of what is mounted.
		claim, remembered string
		calls             int
	}{
		"nothing is allocated":                       {"8Mi", "", "", corev1.ReadWriteOnce, "16Mi, 0 , 1 conditions", "16Mi", 1},
		"nothing is allocated, and the claim has it": {"16Mi", "", "", corev1.ReadWriteOnce, "16Mi, 0 , 2 conditions", "16Mi", 1},
		"to what is allocated":                       {"8Mi", "16Mi", pending, corev1.ReadWriteOnce, "16Mi, 16Mi , 1 conditions", "16Mi", 1},
		"begun before":                               {"8Mi", "16Mi", inProgress, corev1.ReadWriteOnce, "16Mi, 16Mi , 1 conditions", "16Mi", 1},
		"less is allocated than the volume has":      {"8Mi", "8Mi", pending, corev1.ReadWriteOnce, "8Mi, 8Mi , 1 conditions", "8Mi", 1},
		"the mark was taken":                         {"8Mi", "16Mi", "", corev1.ReadWriteOnce, "8Mi, 16Mi , 2 conditions", "8Mi", 0},
		"another has done it":                        {"16Mi", "16Mi", "", corev1.ReadWriteOnce, "16Mi, 16Mi , 2 conditions", "16Mi", 0},
		"another node has done it":                   {"16Mi", "16Mi", "", corev1.ReadWriteMany, "16Mi, 16Mi , 2 conditions", "16Mi", 1},
		"a resizer is at work":                       {"8Mi", "16Mi", corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.ReadWriteOnce, "8Mi, 16Mi ControllerResizeInProgress, 2 conditions", "8Mi", 0},
	} {
		t.Run(name, func(t *testing.T) {
			n, pod := stagingNode(&busy{}, "")
			claims := n.Client.CoreV1().PersistentVolumeClaims(pod.Namespace)
			claim, err := claims.Get(t.Context(), "data", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{test.modes}
			claim.Status.Capacity = storage(test.has)
			claim.Status.Conditions = []corev1.PersistentVolumeClaimCondition{{Type: "Others"}, {Type: corev1.PersistentVolumeClaimFileSystemResizePending}}
			if test.allocated != "" {
				claim.Status.AllocatedResources = storage(test.allocated)
			}
			if test.status != "" {
				claim.Status.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{corev1.ResourceStorage: test.status}
			}
			if _, err := claims.Update(t.Context(), claim, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			device := &growing{}
			v := &volume{turn: make(chan struct{}, 1), staged: device, use: use{pod.Namespace, "data", resource.MustParse("8Mi")}}
			if err := n.expandOnce(t.Context(), v, v.use, resource.MustParse("16Mi")); err != nil {
				t.Fatal(err)
			}
			claim, err = claims.Get(t.Context(), "data", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			status := claim.Status
			got := fmt.Sprintf("%s, %s %s, %d conditions", status.Capacity.Storage(), status.AllocatedResources.Storage(), status.AllocatedResourceStatuses[corev1.ResourceStorage], len(status.Conditions))
			if got != test.claim || v.use.size.String() != test.remembered || device.calls != test.calls {
				t.Errorf("the claim says %q, %s is remembered, %d calls; want %q, %s and %d", got, v.use.size.String(), device.calls, test.claim, test.remembered, test.calls)
			}
		})
	}
}

// growing counts how often it was expanded.
type growing struct {
	staged
	calls int
}

func (g *growing) expand() (uint64, error) { g.calls++; return 16 << 20, nil }
