package storageclass_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func TestIsRBD(t *testing.T) {
	tests := map[string]struct {
		provisioner string
		want        bool
	}{
		"ceph-csi's own name":           {"rbd.csi.ceph.com", true},
		"Rook's name":                   {"rook-ceph.rbd.csi.ceph.com", true},
		"an operator namespace of dots": {"a.b.rbd.csi.ceph.com", true},
		"CephFS":                        {"rook-ceph.cephfs.csi.ceph.com", false},
		"NFS":                           {"rook-ceph.nfs.csi.ceph.com", false},
		"a name that only ends alike":   {"xrbd.csi.ceph.com", false},
		"RBD in the tree":               {"kubernetes.io/rbd", false},
		"none":                          {"", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := storageclass.IsRBD(test.provisioner); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// smallest are the parameters that a class must have.
var smallest = map[string]string{
	"clusterID": "rook-ceph",
	"pool":      "replicapool",
	"csi.storage.k8s.io/node-stage-secret-name":      "node",
	"csi.storage.k8s.io/node-stage-secret-namespace": "rook-ceph",
}

// parsed is what they are parsed to.
func parsed(change func(*storageclass.Class)) storageclass.Class {
	class := storageclass.Class{
		Name:            "block",
		Driver:          "rook-ceph.rbd.csi.ceph.com",
		ClusterID:       "rook-ceph",
		Attributes:      map[string]string{},
		NodeStageSecret: corev1.SecretReference{Name: "node", Namespace: "rook-ceph"},
		RBD: &storageclass.RBD{
			Pool:   "replicapool",
			Layout: ceph.Layout{Features: []string{"exclusive-lock", "layering"}},
		},
	}
	if change != nil {
		change(&class)
	}
	return class
}

func TestParse(t *testing.T) {
	tests := map[string]struct {
		// parameters on top of the smallest; an empty value removes one.
		parameters  map[string]string
		provisioner string
		mount       []string
		want        storageclass.Class
		errs        []string
	}{
		"the smallest class": {
			want: parsed(nil),
		},
		"every parameter": {
			provisioner: "rbd.csi.ceph.com",
			parameters: map[string]string{
				"dataPool": "erasure", "imageFeatures": "layering, exclusive-lock,object-map ,fast-diff,",
				"objectSize": "8388608", "stripeUnit": "65536", "stripeCount": "4",
				"mounter": "rbd-nbd", "mapOptions": "krbd:queue_depth=1024", "unmapOptions": "krbd:force", "tryOtherMounters": "true",
				"csi.storage.k8s.io/fstype":                       "xfs",
				"csi.storage.k8s.io/provisioner-secret-name":      "provisioner",
				"csi.storage.k8s.io/provisioner-secret-namespace": "ceph",
			},
			mount: []string{"noatime", "discard"},
			want: parsed(func(class *storageclass.Class) {
				class.Driver = "rbd.csi.ceph.com"
				class.RBD.Layout = ceph.Layout{
					Features: []string{"exclusive-lock", "fast-diff", "layering", "object-map"},
					DataPool: "erasure", ObjectSize: 8 << 20, StripeUnit: 64 << 10, StripeCount: 4,
				}
				class.Attributes = map[string]string{"mounter": "rbd-nbd", "mapOptions": "krbd:queue_depth=1024", "unmapOptions": "krbd:force", "tryOtherMounters": "true"}
				class.RBD.FSType = "xfs"
				class.MountOptions = []string{"noatime", "discard"}
				class.ProvisionerSecret = corev1.SecretReference{Name: "provisioner", Namespace: "ceph"}
			}),
		},
		"parameters of dynamic provisioning are passed over": {
			parameters: map[string]string{
				"volumeNamePrefix": "x", "csi.storage.k8s.io/controller-expand-secret-name": "${x}", "encrypted": "false",
				"encryptionKMSID": "x", "imageFormat": "2", "thickProvision": "true",
			},
			want: parsed(nil),
		},
		"features without layering": {
			parameters: map[string]string{"imageFeatures": "exclusive-lock"},
			want:       parsed(func(class *storageclass.Class) { class.RBD.Layout.Features = []string{"exclusive-lock"} }),
		},
		"no parameters at all": {
			parameters: map[string]string{"clusterID": "", "pool": "", "csi.storage.k8s.io/node-stage-secret-name": "", "csi.storage.k8s.io/node-stage-secret-namespace": ""},
			want: parsed(func(class *storageclass.Class) {
				class.ClusterID, class.RBD.Pool, class.NodeStageSecret = "", "", corev1.SecretReference{}
			}),
			errs: []string{
				"parameters[clusterID]: Required value",
				"parameters[csi.storage.k8s.io/node-stage-secret-name]: Required value",
				"parameters[csi.storage.k8s.io/node-stage-secret-namespace]: Required value",
				"parameters[pool]: Required value",
			},
		},
		"a class of another driver": {
			provisioner: "ebs.csi.aws.com",
			errs:        []string{`provisioner: Invalid value: "ebs.csi.aws.com": is not ceph-csi's driver for RBD or CephFS`},
		},
		"encrypted": {
			parameters: map[string]string{"encrypted": "true"},
			want:       parsed(nil),
			errs:       []string{`parameters[encrypted]: Invalid value: "true": ceph-csi cannot open an encrypted volume by a static PersistentVolume; use a class without encryption`},
		},
		"encrypted, in a word that ceph-csi does not know either": {
			parameters: map[string]string{"encrypted": "yes"},
			want:       parsed(nil),
			errs:       []string{`parameters[encrypted]: Invalid value: "yes": ceph-csi cannot open an encrypted volume by a static PersistentVolume; use a class without encryption`},
		},
		"topology": {
			parameters: map[string]string{"topologyConstrainedPools": "[]"},
			want:       parsed(nil),
			errs:       []string{`parameters[topologyConstrainedPools]: Invalid value: "[]": a migratable volume has one pool, the same for every node and in every cluster; use a class with a pool`},
		},
		"a Ceph by topology": {
			parameters: map[string]string{"clusterIDs": "east,west"},
			want:       parsed(nil),
			errs:       []string{`parameters[clusterIDs]: Invalid value: "east,west": a migratable volume is on one Ceph, the same for every node and in every cluster; use a class with one clusterID`},
		},
		"secrets by template": {
			parameters: map[string]string{
				"csi.storage.k8s.io/node-stage-secret-name":       "${pvc.name}",
				"csi.storage.k8s.io/provisioner-secret-namespace": "x-${pvc.namespace}",
			},
			want: parsed(func(class *storageclass.Class) {
				class.NodeStageSecret.Name = "${pvc.name}"
				class.ProvisionerSecret.Namespace = "x-${pvc.namespace}"
			}),
			errs: []string{
				`parameters[csi.storage.k8s.io/node-stage-secret-name]: Invalid value: "${pvc.name}": templates are not supported; name one secret`,
				`parameters[csi.storage.k8s.io/provisioner-secret-namespace]: Invalid value: "x-${pvc.namespace}": templates are not supported; name one secret`,
			},
		},
		"numbers that are none": {
			parameters: map[string]string{"objectSize": "4Mi", "stripeUnit": "-1", "stripeCount": "0"},
			want:       parsed(nil),
			errs: []string{
				`parameters[objectSize]: Invalid value: "4Mi": must be a whole number above 0`,
				`parameters[stripeUnit]: Invalid value: "-1": must be a whole number above 0`,
				`parameters[stripeCount]: Invalid value: "0": must be a whole number above 0`,
			},
		},
		"a feature that does not exist": {
			parameters: map[string]string{"imageFeatures": "layering,warp-drive"},
			want: parsed(func(class *storageclass.Class) {
				class.RBD.Layout.Features = []string{"exclusive-lock", "layering", "warp-drive"}
			}),
			errs: []string{`parameters: Invalid value: "block": feature "warp-drive" is not one of deep-flatten, exclusive-lock, fast-diff, journaling, layering, object-map: ceph cannot make an image with this layout`},
		},
		"a feature without the one it needs": {
			parameters: map[string]string{"imageFeatures": "fast-diff"},
			want:       parsed(func(class *storageclass.Class) { class.RBD.Layout.Features = []string{"exclusive-lock", "fast-diff"} }),
			errs:       []string{`parameters: Invalid value: "block": feature "fast-diff" needs feature "object-map": ceph cannot make an image with this layout`},
		},
		"a stripe unit without a count": {
			parameters: map[string]string{"stripeUnit": "65536"},
			want:       parsed(func(class *storageclass.Class) { class.RBD.Layout.StripeUnit = 64 << 10 }),
			errs:       []string{`parameters: Invalid value: "block": stripe unit 65536 and stripe count 0: one is given without the other: ceph cannot make an image with this layout`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			class := classWith(smallest, test.parameters, "rook-ceph.rbd.csi.ceph.com", test.mount)
			if test.provisioner != "" {
				class.Provisioner = test.provisioner
			}
			checkParse(t, class, test.want, test.errs)
		})
	}
}

// classWith has these parameters; an empty value removes one of the smallest.
func classWith(smallest, parameters map[string]string, provisioner string, mount []string) *storagev1.StorageClass {
	class := &storagev1.StorageClass{
		ObjectMeta:   metav1.ObjectMeta{Name: "block"},
		Provisioner:  provisioner,
		Parameters:   maps.Clone(smallest),
		MountOptions: mount,
	}
	for key, value := range parameters {
		if value == "" {
			delete(class.Parameters, key)
		} else {
			class.Parameters[key] = value
		}
	}
	return class
}

func checkParse(t *testing.T, class *storagev1.StorageClass, want storageclass.Class, wantErrs []string) {
	t.Helper()
	got, errs := storageclass.Parse(class)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("class (-want +got):\n%s", diff)
	}
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	if diff := cmp.Diff(wantErrs, texts); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
