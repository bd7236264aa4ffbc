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
		"a keyed pair":                         {rbd, "shop.data~east", attributes{"staticVolume": "true", "pool": "rbd"}, "shop.data", true},
		"a keyed pair, by its own name":        {rbd, "shop.data~east", attributes{"staticVolume": "true", "pool": "rbd"}, "shop.data~east", true},
		"a keyed pair, by another's name":      {rbd, "shop.data~east", attributes{"staticVolume": "true", "pool": "rbd"}, "shop.data~west", true},
		"a pair, by a cluster's name":          {rbd, "shop.data", attributes{"staticVolume": "true", "pool": "rbd"}, "shop.data~west", true},
		"a keyed pair in another pool":         {rbd, "shop.data~east", attributes{"staticVolume": "true", "pool": "slow"}, "shop.data", false},
		"a keyed pair of another image":        {rbd, "shop.data~east", attributes{"staticVolume": "true", "pool": "rbd"}, "shop.east", false},
		"two keys are none":                    {rbd, "shop.data~east~west", attributes{"staticVolume": "true", "pool": "rbd"}, "shop.data", false},
		"two keys are none, by that name":      {rbd, "shop.data~east~west", attributes{"staticVolume": "true", "pool": "rbd"}, "shop.data~east~west", true},
		"made by ceph-csi, an owner's by now":  {rbd, handle + uuid, nil, "csi-vol-" + uuid + "~east", true},
		"made by ceph-csi, '~' in its prefix":  {rbd, handle + uuid, attributes{"pool": "rbd", "imageName": "prod~" + uuid}, "prod~" + uuid, true},
		"made by ceph-csi, '~', another one":   {rbd, handle + other, attributes{"pool": "rbd", "imageName": "prod~" + other}, "prod~" + uuid, false},
		"CephFS, with what looks like a key":   {"rook-ceph.cephfs.csi.ceph.com", "shop.data~east", attributes{"staticVolume": "true", "pool": "rbd"}, "shop.data", false},
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

func TestHandleMayLeadTo(t *testing.T) {
	const uuid = "6d5e1c1e-0f4b-4f0c-9c57-0f3f1e6d2b5a"
	for name, test := range map[string]struct {
		handle, image string
		want          bool
	}{
		"its name":                {"shop.data", "shop.data", true},
		"another name":            {"shop.data", "shop.data2", false},
		"with a key":              {"shop.data~east", "shop.data", true},
		"of before it was keyed":  {"shop.data", "shop.data~east", true},
		"with another key":        {"shop.data~east", "shop.data~west", true},
		"with a key, another one": {"shop.data~east", "shop.logs", false},
		"two keys are none":       {"shop.data~east~west", "shop.data", false},
		"an empty key is none":    {"shop.data~", "shop.data", false},
		"an id of ceph-csi":       {"0001-0009-rook-ceph-0000000000000002-" + uuid, "csi-vol-" + uuid, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := HandleMayLeadTo(test.handle, test.image); got != test.want {
				t.Errorf("%v; want %v", got, test.want)
			}
		})
	}
}
