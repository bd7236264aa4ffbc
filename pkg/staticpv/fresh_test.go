package staticpv_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func TestCannotStage(t *testing.T) {
	type modes = []corev1.PersistentVolumeAccessMode
	const once, read = corev1.ReadWriteOnce, corev1.ReadOnlyMany
	image := func(fs string) storageclass.Class {
		return storageclass.Class{Name: "block", RBD: &storageclass.RBD{Pool: "rbd", FSType: fs}}
	}
	for name, test := range map[string]struct {
		class storageclass.Class
		modes modes
		size  string
		block bool
		want  string
	}{
		"a small ext4":              {image("ext4"), modes{once}, "1Mi", false, ""},
		"ext4 for one who writes":   {image("ext4"), modes{once, read}, "1Gi", false, ""},
		"ext4 for readers only":     {image("ext4"), modes{read}, "1Gi", false, "makes none for a claim that is ReadOnlyMany alone"},
		"a device for readers only": {image("ext4"), modes{read}, "1Gi", true, ""},
		"the smallest XFS":          {image("xfs"), modes{once}, "300Mi", false, ""},
		"an XFS that is smaller":    {image("xfs"), modes{once}, "299Mi", false, "ask for at least 300Mi"},
		"a small device":            {image("xfs"), modes{once}, "1Mi", true, ""},
		"a folder for readers only": {storageclass.Class{CephFS: &storageclass.CephFS{}}, modes{read}, "1Mi", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			plan := staticpv.Plan{Class: test.class, AccessModes: test.modes, Request: resource.MustParse(test.size), VolumeMode: corev1.PersistentVolumeFilesystem}
			if test.block {
				plan.VolumeMode = corev1.PersistentVolumeBlock
			}
			err := plan.CannotStage()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want %q", err, test.want)
			}
		})
	}
}

// TestSecrets: a volume of ours has the secrets that a node takes, and none of those with which
// ceph-csi's controller would handle it. With one of these, detaching it fails for ever.
func TestSecrets(t *testing.T) {
	plan := staticpv.Plan{
		Namespace: "shop", Names: staticpv.Names{Claim: "data", Image: "shop.data"}, Request: resource.MustParse("1Gi"),
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeMode: corev1.PersistentVolumeFilesystem,
	}
	for _, c := range []storageclass.Class{class, cephFS} {
		plan.Class = c
		csi := plan.PV(staticpv.Made{Size: plan.Request}).Spec.CSI
		if csi.NodeStageSecretRef == nil || csi.ControllerPublishSecretRef != nil || csi.ControllerExpandSecretRef != nil || csi.NodePublishSecretRef != nil {
			t.Errorf("class %s: %+v", c.Name, csi)
		}
	}
}
