package doctor_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cephferry/cephferry/pkg/doctor"
)

func TestVolumes(t *testing.T) {
	pv := func(name, namespace string, policy corev1.PersistentVolumeReclaimPolicy, static string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeReclaimPolicy: policy,
				ClaimRef:                      &corev1.ObjectReference{Namespace: namespace, Name: "data"},
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
					Driver: "rbd.csi.ceph.com", VolumeHandle: name, VolumeAttributes: map[string]string{"staticVolume": static},
				}},
			},
		}
	}
	free := pv("free", "", corev1.PersistentVolumeReclaimDelete, "")
	free.Spec.ClaimRef = nil
	const retain, deletes = corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete
	tests := map[string]struct {
		volumes []runtime.Object
		fails   error
		want    []doctor.Finding
	}{
		"nothing to say": {
			volumes: []runtime.Object{pv("a", "shop", retain, "true"), pv("b", "bank", deletes, "yes"), free},
			want:    []doctor.Finding{{State: doctor.OK, Check: "volumes", Says: "1 of claims in namespace shop, with nothing to report"}},
		},
		"a static volume that does not say so, and one that goes with its claim": {
			volumes: []runtime.Object{pv("a", "shop", retain, ""), pv("b", "shop", deletes, "true")},
			want: []doctor.Finding{
				{State: doctor.Problem, Check: "volumes", Do: "kubectl get persistentvolume a -o yaml",
					Says: `PersistentVolume a, of claim shop/data: spec.csi.volumeAttributes[staticVolume]: Invalid value: "": must be "true" for a volume that ceph-csi did not make: it takes the volumeHandle "a" for an id of its own and finds no image, and cephferry does not guard the image; the source of a PersistentVolume cannot be changed, so recreate it`},
				{State: doctor.Problem, Check: "volumes", Do: "kubectl get persistentvolume b -o yaml",
					Says: "PersistentVolume b, of claim shop/data: spec.persistentVolumeReclaimPolicy: Invalid value: \"Delete\": the image may be deleted with the claim of this cluster, whichever cluster has the data in it then; run `kubectl patch pv b -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`"},
			},
		},
		"they may not be listed": {
			fails: forbidden("persistentvolumes"),
			want:  []doctor.Finding{{State: doctor.Skipped, Check: "volumes", Says: "you have no right to look at them (list persistentvolumes); the platform team has"}},
		},
		"they cannot be listed": {
			fails: errors.New("no route to host"),
			want:  []doctor.Finding{{State: doctor.Problem, Check: "volumes", Says: "no route to host", Do: "kubectl get persistentvolumes"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := corev1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			c := fake.NewSimpleDynamicClient(scheme, test.volumes...)
			if test.fails != nil {
				c.PrependReactor("*", "persistentvolumes", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, test.fails })
			}
			if diff := cmp.Diff(test.want, doctor.Volumes(t.Context(), c, "shop")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
