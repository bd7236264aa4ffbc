package agent

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestMapMode(t *testing.T) {
	for name, test := range map[string]struct {
		accessModes []corev1.PersistentVolumeAccessMode
		mapOptions  string
		want        Mode
	}{
		"one writer":              {[]corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, "", ReadWrite},
		"readers only":            {[]corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}, "exclusive", ReadOnly},
		"readers and a writer":    {[]corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany, corev1.ReadWriteOnce}, "", ReadWrite},
		"exclusive":               {[]corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, "exclusive", Exclusive},
		"exclusive among others":  {[]corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, "nbd:try-netlink;krbd:lock_on_read,exclusive", Exclusive},
		"exclusive for rbd-nbd":   {[]corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, "nbd:exclusive", ReadWrite},
		"an option that contains": {[]corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, "nonexclusive", ReadWrite},
	} {
		t.Run(name, func(t *testing.T) {
			var pv corev1.PersistentVolume
			pv.Spec.AccessModes = test.accessModes
			pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{VolumeAttributes: map[string]string{"mapOptions": test.mapOptions}}
			if got := mapMode(&pv); got != test.want {
				t.Errorf("mapMode = %q, want %q", got, test.want)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	sleep := func(seconds string) corev1.Container { return corev1.Container{Command: []string{"sleep", seconds}} }
	for name, test := range map[string]struct {
		policy     corev1.RestartPolicy
		containers []corev1.Container
		want       time.Duration
		ends       bool
	}{
		"a job":                   {corev1.RestartPolicyNever, []corev1.Container{sleep("1.5")}, 1500 * time.Millisecond, true},
		"arguments":               {corev1.RestartPolicyOnFailure, []corev1.Container{{Args: []string{"sleep", "2"}}}, 2 * time.Second, true},
		"the longest":             {corev1.RestartPolicyNever, []corev1.Container{sleep("3"), sleep("1")}, 3 * time.Second, true},
		"a server beside it":      {corev1.RestartPolicyNever, []corev1.Container{sleep("3"), {}}, 0, false},
		"always restarted":        {corev1.RestartPolicyAlways, []corev1.Container{sleep("3")}, 0, false},
		"something else than one": {corev1.RestartPolicyNever, []corev1.Container{sleep("infinity")}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var pod corev1.Pod
			pod.Spec.RestartPolicy, pod.Spec.Containers = test.policy, test.containers
			if got, ends := duration(&pod); got != test.want || ends != test.ends {
				t.Errorf("duration = %v, %t, want %v, %t", got, ends, test.want, test.ends)
			}
		})
	}
}

// The name is kube-controller-manager's (getAttachmentName in its CSI plugin).
func TestAttachmentName(t *testing.T) {
	got := attachmentName(volumeID{Operator("rook-ceph").rbd(), "life"}, "east-2")
	if want := "csi-ccbbcbab036511153970b769ebc2f81819117290028ab7d4e027b5b9218a3f49"; got != want {
		t.Errorf("attachmentName = %q, want %q", got, want)
	}
}
