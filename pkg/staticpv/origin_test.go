package staticpv

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestMayLeadTo(t *testing.T) {
	const (
		uuid   = "6d5e1c1e-0f4b-4f0c-9c57-0f3f1e6d2b5a"
		other  = "00000000-0f4b-4f0c-9c57-0f3f1e6d2b5a"
		handle = "0001-0009-rook-ceph-0000000000000002-"
		rbd    = "rook-ceph.rbd.csi.ceph.com"
	)
	type attributes = map[string]string
	for name, test := range map[string]struct {
		driver, handle string
		attributes     attributes
		image          string
		want           bool
	}{
		"a pair":                               {rbd, "shop.data", attributes{"staticVolume": "true", "pool": "rbd", "clusterID": "a"}, "shop.data", true},
		"a pair of another clusterID":          {rbd, "shop.data", attributes{"staticVolume": "true", "pool": "rbd", "clusterID": "b"}, "shop.data", true},
		"a pair that does not say its pool":    {rbd, "shop.data", attributes{"staticVolume": "true"}, "shop.data", true},
		"a pair in another pool":               {rbd, "shop.data", attributes{"staticVolume": "true", "pool": "slow"}, "shop.data", false},
		"a pair on what ceph-csi made":         {rbd, "csi-vol-" + uuid, attributes{"staticVolume": "true", "pool": "rbd"}, "csi-vol-" + uuid, true},
		"a pair whose handle looks like an id": {rbd, handle + uuid, attributes{"staticVolume": "true", "pool": "rbd"}, "csi-vol-" + uuid, false},
		"made by ceph-csi":                     {rbd, handle + other, attributes{"pool": "rbd", "imageName": "csi-vol-" + uuid}, "csi-vol-" + uuid, true},
		"made by ceph-csi, by its handle":      {rbd, handle + uuid, nil, "csi-vol-" + uuid, true},
		"made by ceph-csi, with a prefix":      {rbd, handle + uuid, nil, "prod-" + uuid, true},
		"made by ceph-csi, and copied wrongly": {rbd, handle + uuid, attributes{"pool": "slow", "imageName": "other"}, "csi-vol-" + uuid, true},
		"made by ceph-csi, another one":        {rbd, handle + other, attributes{"pool": "rbd"}, "csi-vol-" + uuid, false},
		"CephFS":                               {"rook-ceph.cephfs.csi.ceph.com", handle + uuid, nil, "csi-vol-" + uuid, false},
	} {
		t.Run(name, func(t *testing.T) {
			pv := &corev1.PersistentVolume{}
			pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: test.driver, VolumeHandle: test.handle, VolumeAttributes: test.attributes}
			if got := MayLeadTo(pv, "rbd", test.image); got != test.want {
				t.Errorf("%v; want %v", got, test.want)
			}
			keys := KeysOfImage(test.image)
			if found := slices.ContainsFunc(ImageKeys(pv), func(key string) bool { return slices.Contains(keys, key) }); test.want && !found {
				t.Errorf("an index by %q does not find it by %q", ImageKeys(pv), keys)
			}
		})
	}
	if MayLeadTo(&corev1.PersistentVolume{}, "rbd", "") || ImageKeys(&corev1.PersistentVolume{}) != nil {
		t.Error("a volume without CSI leads somewhere")
	}
}
