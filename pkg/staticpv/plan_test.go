package staticpv_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func TestPlans(t *testing.T) {
	path := field.NewPath("spec", "volumeClaimTemplates").Index(0)
	block := corev1.PersistentVolumeBlock
	rbd := storageclass.Class{Name: "block", Driver: "rook-ceph.rbd.csi.ceph.com", RBD: &storageclass.RBD{Pool: "replicapool"}}
	nbd := rbd
	nbd.Attributes = map[string]string{"mounter": "rbd-nbd"}
	files := storageclass.Class{Name: "files", Driver: "rook-ceph.cephfs.csi.ceph.com", CephFS: &storageclass.CephFS{Filesystem: "shared"}}
	id := "0001-0009-" + strings.Repeat("a", 60)
	yes, no := true, false
	tests := map[string]struct {
		class  storageclass.Class
		modes  []corev1.PersistentVolumeAccessMode
		block  bool
		asked  annotations.Claim
		images []string
		want   staticpv.Plan
		errs   []string
	}{
		"an image": {
			class: rbd, images: []string{"shop.data"},
			want: staticpv.Plan{Mapping: staticpv.Mapping{NewExclusive: true}, NewPrivate: true},
		},
		"an image of a class that may map by another program": {
			class: nbd, images: []string{"shop.data"},
			want: staticpv.Plan{Mapping: staticpv.Mapping{Exclusive: &no}},
		},
		"an image that is to be keyed": {
			class: rbd, asked: annotations.Claim{Keyed: &yes}, images: []string{"shop.data"},
			want: staticpv.Plan{Mapping: staticpv.Mapping{NewExclusive: true}, NewPrivate: true, Keyed: &yes},
		},
		"an image that is not to be keyed": {
			class: rbd, asked: annotations.Claim{Keyed: &no}, images: []string{"shop.data"},
			want: staticpv.Plan{Mapping: staticpv.Mapping{NewExclusive: true}, NewPrivate: true, Keyed: &no},
		},
		"a subvolume that is not to be keyed": {
			class: files, asked: annotations.Claim{Keyed: &no}, images: []string{"shop.data"},
			want: staticpv.Plan{Mapping: staticpv.Mapping{Exclusive: &no}, Keyed: &no},
		},
		"a subvolume that is to be keyed": {
			class: files, asked: annotations.Claim{Keyed: &yes}, images: []string{"shop.data"},
			errs: []string{"spec.volumeClaimTemplates[0].metadata.annotations[cephferry.io/keyed]"},
		},
		"an image for each ordinal": {
			class: rbd, images: []string{"shop.data-db-0", "shop.data-db-1"},
			want: staticpv.Plan{Mapping: staticpv.Mapping{NewExclusive: true}, NewPrivate: true},
		},
		"an adopted block device that is mapped exclusively": {
			class: rbd, block: true, asked: annotations.Claim{Adopt: true, Exclusive: &yes}, images: []string{"orders"},
			want: staticpv.Plan{Adopt: true, Mapping: staticpv.Mapping{Exclusive: &yes}, NewPrivate: true},
		},
		"an adopted image that gets another name": {
			class: rbd, asked: annotations.Claim{Adopt: true, OldName: "csi-vol-1"}, images: []string{"orders"},
			want: staticpv.Plan{Adopt: true, OldName: "csi-vol-1", Mapping: staticpv.Mapping{NewExclusive: true}, NewPrivate: true},
		},
		"an adopted image that is to get the name that it has": {
			class: rbd, asked: annotations.Claim{Adopt: true, OldName: "orders"}, images: []string{"orders"},
			errs: []string{"spec.volumeClaimTemplates[0].metadata.annotations[cephferry.io/adopt]"},
		},
		"an adopted subvolume that is to get another name": {
			class: files, asked: annotations.Claim{Adopt: true, OldName: "csi-vol-1"}, images: []string{"orders"},
			errs: []string{"spec.volumeClaimTemplates[0].metadata.annotations[cephferry.io/adopt]"},
		},
		"a subvolume": {
			class: files, images: []string{"shop.data"},
			want: staticpv.Plan{Mapping: staticpv.Mapping{Exclusive: &no}},
		},
		"no claim, no plan, and the class's mistakes once": {
			class: rbd, modes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			errs: []string{"spec.volumeClaimTemplates[0].spec.accessModes"},
		},
		"a filesystem for several nodes, and exclusive": {
			class: rbd, modes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, asked: annotations.Claim{Exclusive: &yes}, images: []string{"a", "b"},
			errs: []string{"spec.volumeClaimTemplates[0].spec.accessModes", "spec.volumeClaimTemplates[0].metadata.annotations[cephferry.io/exclusive]"},
		},
		"a block device on CephFS": {
			class: files, block: true, images: []string{"shop.data"},
			errs: []string{"spec.volumeClaimTemplates[0].spec.volumeMode"},
		},
		"names that ceph-csi takes for its own, of two ordinals": {
			class: files, images: []string{id + "-0", "shop.data", id + "-1"},
			errs: []string{"spec.volumeClaimTemplates[0].metadata.name", "spec.volumeClaimTemplates[0].metadata.name"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			claim := &corev1.PersistentVolumeClaim{}
			claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
			claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("8Gi")}
			if test.modes != nil {
				claim.Spec.AccessModes = test.modes
			}
			if test.block {
				claim.Spec.VolumeMode = &block
			}
			var names []staticpv.Names
			var want []staticpv.Plan
			for _, image := range test.images {
				names = append(names, staticpv.Names{Claim: "claim of " + image, Image: image})
				plan := test.want
				plan.Namespace, plan.Names, plan.Class = "shop", names[len(names)-1], test.class
				plan.Request, plan.AccessModes, plan.VolumeMode = resource.MustParse("8Gi"), claim.Spec.AccessModes, corev1.PersistentVolumeFilesystem
				if test.block {
					plan.VolumeMode = block
				}
				want = append(want, plan)
			}
			got, errs := staticpv.Plans(staticpv.Input{Claim: claim, Path: path, Namespace: "shop", Asked: test.asked, Class: test.class}, names...)
			var fields []string
			for _, err := range errs {
				fields = append(fields, err.Field)
			}
			if diff := cmp.Diff(test.errs, fields); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s\n%v", diff, errs)
			}
			if len(test.errs) > 0 {
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestNames(t *testing.T) {
	chosen := annotations.Claim{Image: "orders"}
	for name, test := range map[string]struct{ got, want staticpv.Names }{
		"of a PVC":                         {staticpv.NamesOf("shop", "data", annotations.Claim{}), staticpv.Names{Claim: "data", Image: "shop.data"}},
		"of a PVC that chooses":            {staticpv.NamesOf("shop", "data", chosen), staticpv.Names{Claim: "data", Image: "orders"}},
		"of an ordinal":                    {staticpv.NamesOfOrdinal("shop", "data-db-2", annotations.Claim{}, 2), staticpv.Names{Claim: "data-db-2", Image: "shop.data-db-2"}},
		"of an ordinal with a base's name": {staticpv.NamesOfOrdinal("shop", "data-db-2", chosen, 2), staticpv.Names{Claim: "data-db-2", Image: "orders-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
