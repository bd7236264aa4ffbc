//go:build lab

package chart

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/test/scene"
)

// testDoubts: the policy warns of the volumes that the webhook and the doctor warn of, in
// the same words.
func testDoubts(t *testing.T, w *world) {
	const name, id = "cephferry-volumes", "0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002"
	pv := func(handle, flag string, policy corev1.PersistentVolumeReclaimPolicy, migratable string) *corev1.PersistentVolume {
		made := &corev1.PersistentVolume{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
			ObjectMeta: metav1.ObjectMeta{Name: "doubt", Annotations: map[string]string{"cephferry.io/migratable": migratable}},
			Spec: corev1.PersistentVolumeSpec{
				AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
				StorageClassName:              "doubt",
				PersistentVolumeReclaimPolicy: policy,
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
					Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: handle,
				}},
			},
		}
		if flag != "" {
			made.Spec.CSI.VolumeAttributes = map[string]string{"staticVolume": flag}
		}
		return made
	}
	const retain, deletes = corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete
	cephFS := pv("doubt", "", deletes, "true")
	cephFS.Spec.CSI.Driver = "rook-ceph.cephfs.csi.ceph.com"

	w.apply(t, "", w.helm(t, 3, "template", "cephferry", chartDir, "--set", "cluster.name=west", "--show-only", "templates/volumes.yaml"))
	scene.Eventually(t, "the policy", func() error {
		if out, err := w.Run(t.Context(), append(w.creating(t, pv("doubt", "", retain, "")), "--warnings-as-errors")...); err == nil {
			return fmt.Errorf("it is not in use: %s", out)
		}
		return nil
	})
	scene.Eventually(t, "the controller's opinion", func() error {
		if seen := w.kubectl(t, "get", "validatingadmissionpolicy/"+name, "--output=jsonpath={.status.observedGeneration}"); seen != "1" {
			return fmt.Errorf("generation %q", seen)
		}
		return nil
	})
	if said := w.kubectl(t, "get", "validatingadmissionpolicy/"+name, "--output=jsonpath={.status.typeChecking.expressionWarnings}"); said != "" {
		t.Error(said)
	}
	for what, volume := range map[string]*corev1.PersistentVolume{
		"static":                           pv("doubt", "True", retain, "true"),
		"static, and does not say so":      pv("doubt", "", retain, ""),
		"static, and says it wrongly":      pv("doubt", "yes", retain, ""),
		"static, and goes with its claim":  pv("doubt", "1", deletes, ""),
		"both":                             pv("doubt", "", deletes, "true"),
		"made by ceph-csi":                 pv(id, "", deletes, ""),
		"made by ceph-csi, and shared":     pv(id, "", deletes, "true"),
		"made by ceph-csi, and kept":       pv(id, "", retain, "true"),
		"of Kubernetes' own driver before": pv("mig_mons-1_image-2_7265", "", deletes, ""),
		"on CephFS":                        cephFS,
	} {
		t.Run(what, func(t *testing.T) {
			doubts := staticpv.Doubts(volume)
			if len(doubts) == 0 {
				w.kubectl(t, append(w.creating(t, volume), "--warnings-as-errors")...)
				return
			}
			got := w.refused(t, append(w.creating(t, volume), "--warnings-as-errors")...)
			for _, doubt := range doubts {
				if !strings.Contains(got, "PersistentVolume doubt: "+doubt.Error()) {
					t.Errorf("%s\nwant in it: %v", got, doubt)
				}
			}
			if want := fmt.Sprintf("%d warning", len(doubts)); !strings.Contains(got, want) {
				t.Errorf("%s\nwant %s", got, want)
			}
		})
	}
	t.Run("the policy changes", func(t *testing.T) {
		volume := pv("doubt", "true", retain, "")
		w.kubectl(t, append(w.creating(t, volume)[:1], "--warnings-as-errors", "--filename", w.object(t, volume))...)
		change := []string{"patch", "persistentvolume/doubt", `--patch={"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`}
		if got := w.refused(t, append(change, "--warnings-as-errors")...); !strings.Contains(got, "whichever cluster has the data in it then") {
			t.Error(got)
		}
		w.kubectl(t, "label", "persistentvolume/doubt", "a=b", "--warnings-as-errors") // which is no news
		w.kubectl(t, "delete", "persistentvolume/doubt", "--timeout=60s")
	})
}
