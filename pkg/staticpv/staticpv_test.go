package staticpv_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cephferry/cephferry/docs"
	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func TestImageName(t *testing.T) {
	tests := map[string]struct{ namespace, claim, want string }{
		"a short name is kept": {"shop", "data", "shop.data"},
		"a claim with dots":    {"shop", "data.v1", "shop.data.v1"},
		"the longest name that is kept": {
			"shop", strings.Repeat("a", 91),
			"shop." + strings.Repeat("a", 91),
		},
		"one byte more": {
			"shop", strings.Repeat("a", 92),
			"shop." + strings.Repeat("a", 74) + "-0a1b5465ba333706",
		},
		"cut at a dash": {
			"shop", strings.Repeat("a", 70) + "-.--" + strings.Repeat("b", 30),
			"shop." + strings.Repeat("a", 70) + "-0f0897c89d997c42",
		},
		"the longest namespace and claim": {
			strings.Repeat("n", 63), strings.Repeat("c", 253),
			strings.Repeat("n", 63) + "." + strings.Repeat("c", 15) + "-b235539732bbf7f3",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := staticpv.ImageName(test.namespace, test.claim)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			valid(t, got)
			if !strings.HasPrefix(got, test.namespace+".") {
				t.Errorf("%q has lost its namespace", got)
			}
		})
	}
}

// valid fails unless librbd and Kubernetes take the name.
func valid(t *testing.T, name string) {
	t.Helper()
	if len(name) > annotations.MaxImageName {
		t.Errorf("%q has %d bytes", name, len(name))
	}
	for _, message := range validation.IsDNS1123Subdomain(name) {
		t.Errorf("%q: %s", name, message)
	}
}

// TestNamesDiffer forms names that differ only where they are cut.
func TestNamesDiffer(t *testing.T) {
	seen := map[string]string{}
	add := func(of, name string) {
		t.Helper()
		valid(t, name)
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s are both %q", of, other, name)
		}
		seen[name] = of
	}
	for length := 1; length <= 253; length++ {
		claim := strings.Repeat("c", length)
		add(fmt.Sprint("claim of ", length), staticpv.ImageName("shop", claim))
		add(fmt.Sprint("claim of ", length, " elsewhere"), staticpv.ImageName("shop2", claim))
	}
	base := strings.Repeat("b", annotations.MaxImageName)
	for ordinal := range 1000 {
		add(fmt.Sprint("ordinal ", ordinal), staticpv.OrdinalImageName(base, ordinal))
	}
}

func TestOrdinalImageName(t *testing.T) {
	tests := map[string]struct {
		base    string
		ordinal int
		want    string
	}{
		"a short name is kept":          {"orders", 7, "orders-7"},
		"the longest name that is kept": {strings.Repeat("a", 94), 0, strings.Repeat("a", 94) + "-0"},
		"one byte more":                 {strings.Repeat("a", 94), 10, strings.Repeat("a", 79) + "-aa2740ace42be1e7"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := staticpv.OrdinalImageName(test.base, test.ordinal)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			valid(t, got)
		})
	}
}

// Whoever renders, provisions or looks for a volume has to find the same name, in every
// version: these never change.
func TestVolumeName(t *testing.T) {
	tests := map[string]struct{ image, want string }{
		"a name that Kubernetes takes":        {"shop.data", "shop.data"},
		"the longest one":                     {strings.Repeat("a", 96), strings.Repeat("a", 96)},
		"capitals and an underscore":          {"Shop.Orders_2024", "shop.orders-2024.image-"},
		"the same, written otherwise":         {"shop.orders_2024", "shop.orders-2024.image-"},
		"the longest of them":                 {strings.Repeat("A", 96), strings.Repeat("a", 96) + ".image-"},
		"labels that are empty without '_'":   {"_._a_.__", "a.image-"},
		"nothing that Kubernetes has":         {"_", "image-"},
		"what stands in a handle by hand":     {"Ärger 1+2", "rger-1-2.image-"},
		"a name that looks like a derived":    {"shop.data.image-0123456789abcdef", "shop.data.image-0123456789abcdef.image-"},
		"a name that nearly looks like it":    {"shop.data.image-0123456789abcdeg", "shop.data.image-0123456789abcdeg"},
		"a long claim's, with its own hash":   {"shop.a-0a1b5465ba333706", "shop.a-0a1b5465ba333706"},
		"a value that no image can be called": {strings.Repeat("A/", 10000), strings.Repeat("a-", 47) + "a.image-"},
	}
	seen := map[string]string{}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := staticpv.VolumeName(test.image)
			if got != test.want && !(strings.HasPrefix(got, test.want) && len(got) == len(test.want)+16) {
				t.Errorf("got %q, want %q and a hash", got, test.want)
			}
			for _, message := range validation.IsDNS1123Subdomain(got) {
				t.Errorf("%q: %s", got, message)
			}
			if other, ok := seen[got]; ok {
				t.Errorf("%q and %q are both %q", test.image, other, got)
			}
			seen[got] = test.image
			if again := staticpv.VolumeName(got); got != test.image && again == got {
				t.Errorf("image %q has the volume of image %q", got, test.image)
			}
		})
	}
	if got, want := staticpv.VolumeName("Shop.Orders_2024"), "shop.orders-2024.image-567d4a893cced963"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClaimName(t *testing.T) {
	if got, want := staticpv.ClaimName("data", "db", 12), "data-db-12"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestValidateHandle(t *testing.T) {
	const id = "0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002"
	tests := map[string]struct {
		name    string
		refused bool
	}{
		"a usual name":                         {"shop.data", false},
		"a name of ceph-csi's own subvolumes":  {"csi-vol-24862838-240d-4215-9183-abfc0e9e4002", false},
		"an id of ceph-csi":                    {id, true},
		"an id with another version":           {"beef" + id[4:], true},
		"an id in capitals":                    {"BEEF" + strings.ToUpper(id[4:]), true},
		"an id with a length that is too long": {"0001-ffff" + id[9:], true},
		"an id that is cut off":                {id[:63], false},
		"as long as the shortest id":           {id[:64], true},
		"a namespace that is no number":        {"shop-0009" + id[9:], false},
		"a length that is no number":           {"0001-shop" + id[9:], false},
		"an id with something before it":       {"x" + id, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := staticpv.ValidateHandle(test.name); (err != nil) != test.refused {
				t.Errorf("%q: got %v", test.name, err)
			}
		})
	}
}

var class = storageclass.Class{
	Name:              "block",
	Driver:            "rook-ceph.rbd.csi.ceph.com",
	ClusterID:         "rook-ceph",
	Attributes:        map[string]string{"mapOptions": "krbd:queue_depth=1024", "tryOtherMounters": "true"},
	MountOptions:      []string{"noatime"},
	NodeStageSecret:   corev1.SecretReference{Name: "node", Namespace: "rook-ceph"},
	ProvisionerSecret: corev1.SecretReference{Name: "provisioner", Namespace: "rook-ceph"},
	RBD: &storageclass.RBD{
		Pool:   "replicapool",
		Layout: ceph.Layout{Features: []string{"exclusive-lock", "layering"}, DataPool: "erasure"},
		FSType: "xfs",
	},
}

var cephFS = storageclass.Class{
	Name:            "shared",
	Driver:          "rook-ceph.cephfs.csi.ceph.com",
	ClusterID:       "rook-ceph",
	Attributes:      map[string]string{"mounter": "kernel", "kernelMountOptions": "recover_session=clean"},
	MountOptions:    []string{"noatime"},
	NodeStageSecret: corev1.SecretReference{Name: "node", Namespace: "rook-ceph"},
	CephFS:          &storageclass.CephFS{Filesystem: "cephfs", DataPool: "cephfs-data0"},
}

// volume is the PV of claim shop/data on class.
func volume(change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	mode := corev1.PersistentVolumeFilesystem
	pv := &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: "shop.data", Annotations: map[string]string{"cephferry.io/migratable": "true"}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("8Gi")},
			ClaimRef:    &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver:       "rook-ceph.rbd.csi.ceph.com",
				VolumeHandle: "shop.data",
				FSType:       "xfs",
				VolumeAttributes: map[string]string{
					"staticVolume": "true", "clusterID": "rook-ceph", "pool": "replicapool", "imageFeatures": "exclusive-lock,layering",
					"mapOptions": "krbd:queue_depth=1024", "tryOtherMounters": "true",
				},
				NodeStageSecretRef: &corev1.SecretReference{Name: "node", Namespace: "rook-ceph"},
			}},
			MountOptions:                  []string{"noatime"},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			VolumeMode:                    &mode,
		},
	}
	if change != nil {
		change(pv)
	}
	return pv
}

// shared is the PV of claim shop/data on cephFS.
func shared(change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	return volume(func(pv *corev1.PersistentVolume) {
		pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{
			Driver:       "rook-ceph.cephfs.csi.ceph.com",
			VolumeHandle: "shop.data",
			VolumeAttributes: map[string]string{
				"staticVolume": "true", "clusterID": "rook-ceph", "fsName": "cephfs", "rootPath": "/volumes/csi/shop.data/7ba5c3c4",
				"mounter": "kernel", "kernelMountOptions": "recover_session=clean",
			},
			NodeStageSecretRef: &corev1.SecretReference{Name: "node", Namespace: "rook-ceph"},
		}
		if change != nil {
			change(pv)
		}
	})
}

func TestPV(t *testing.T) {
	type input struct {
		staticpv.Plan
		staticpv.Made
	}
	block := corev1.PersistentVolumeBlock
	tests := map[string]struct {
		change func(*input)
		class  *storageclass.Class
		want   *corev1.PersistentVolume
	}{
		"a filesystem, by default": {
			want: volume(nil),
		},
		"a filesystem, by name": {
			change: func(c *input) { c.VolumeMode = corev1.PersistentVolumeFilesystem },
			want:   volume(nil),
		},
		"a block device has neither filesystem nor mount options": {
			change: func(c *input) {
				c.VolumeMode = block
				c.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
			},
			want: volume(func(pv *corev1.PersistentVolume) {
				pv.Spec.VolumeMode = &block
				pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
				pv.Spec.CSI.FSType = ""
				pv.Spec.MountOptions = nil
			}),
		},
		"an image of another name, and annotations": {
			change: func(c *input) {
				c.Image = "orders"
				c.Annotations = map[string]string{"helm.sh/resource-policy": "keep"}
			},
			want: volume(func(pv *corev1.PersistentVolume) {
				pv.Name, pv.Spec.CSI.VolumeHandle = "orders", "orders"
				pv.Annotations["helm.sh/resource-policy"] = "keep"
			}),
		},
		"an image with features of its own": {
			change: func(c *input) { c.Features = []string{"layering"} },
			want: volume(func(pv *corev1.PersistentVolume) {
				pv.Spec.CSI.VolumeAttributes["imageFeatures"] = "layering"
			}),
		},
		"an image without features": {
			change: func(c *input) { c.Features = []string{} },
			want: volume(func(pv *corev1.PersistentVolume) {
				pv.Spec.CSI.VolumeAttributes["imageFeatures"] = ""
			}),
		},
		"a keyed image": {
			change: func(c *input) { c.Key = "east" },
			want:   volume(func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "shop.data~east" }),
		},
		"an image whose mappings are private": {
			change: func(c *input) { c.Private = true },
			want: volume(func(pv *corev1.PersistentVolume) {
				pv.Spec.CSI.VolumeAttributes["mapOptions"] = "krbd:queue_depth=1024,noshare"
			}),
		},
		"a subvolume": {
			class: &cephFS,
			change: func(c *input) {
				c.RootPath = "/volumes/csi/shop.data/7ba5c3c4"
				c.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
			},
			want: shared(nil),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := input{staticpv.Plan{
				Namespace: "shop", Names: staticpv.Names{Claim: "data", Image: "shop.data"}, Class: class,
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			}, staticpv.Made{Size: resource.MustParse("8Gi")}}
			if test.class != nil {
				in.Class = *test.class
			}
			if test.change != nil {
				test.change(&in)
			}
			got := in.PV(in.Made)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !staticpv.IsPair(got, "shop", "data") {
				t.Error("it is not recognised as a pair")
			}
		})
	}
}

// TestPVSharesNothing changes a PV, and expects class and claim to stay.
func TestPVSharesNothing(t *testing.T) {
	asked := map[string]string{"a": "b"}
	got := staticpv.Plan{Names: staticpv.Names{Image: "x"}, Class: class}.PV(staticpv.Made{Annotations: asked})
	got.Annotations["c"] = "d"
	got.Spec.CSI.VolumeAttributes["c"] = "d"
	got.Spec.CSI.NodeStageSecretRef.Name = "other"
	if diff := cmp.Diff(map[string]string{"a": "b"}, asked); diff != "" {
		t.Errorf("the claim's annotations changed:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"mapOptions": "krbd:queue_depth=1024", "tryOtherMounters": "true"}, class.Attributes); diff != "" {
		t.Errorf("the class's attributes changed:\n%s", diff)
	}
	if got, want := class.NodeStageSecret.Name, "node"; got != want {
		t.Errorf("the class's secret is %q, want %q", got, want)
	}
}

func TestIsPair(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.PersistentVolume)
		want   bool
	}{
		"what a plan makes": {nil, true},
		"another class's settings": {func(pv *corev1.PersistentVolume) {
			pv.Spec.CSI.VolumeAttributes["pool"] = "other"
			pv.Spec.CSI.Driver = "rbd.csi.ceph.com"
			pv.Annotations = nil
		}, true},
		"bound": {func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "1" }, true},
		"no CSI volume": {func(pv *corev1.PersistentVolume) {
			pv.Spec.CSI = nil
			pv.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/"}
		}, false},
		"CephFS":         {func(pv *corev1.PersistentVolume) { pv.Spec = shared(nil).Spec }, true},
		"another driver": {func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "rook-ceph.nfs.csi.ceph.com" }, false},
		"a dynamic volume": {func(pv *corev1.PersistentVolume) {
			delete(pv.Spec.CSI.VolumeAttributes, "staticVolume")
		}, false},
		"staticVolume with another value": {func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["staticVolume"] = "false" }, false},
		"a keyed image":                   {func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "shop.data~east" }, true},
		"a keyed image of another name":   {func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "other~east" }, false},
		"an image with two keys":          {func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "shop.data~east~west" }, false},
		"a subvolume with a key": {func(pv *corev1.PersistentVolume) {
			pv.Spec = shared(nil).Spec
			pv.Spec.CSI.VolumeHandle = "shop.data~east"
		}, false},
		"an image that no volume can be called like": {func(pv *corev1.PersistentVolume) {
			pv.Name, pv.Spec.CSI.VolumeHandle = staticpv.VolumeName("shop.My_Data"), "shop.My_Data~east"
		}, true},
		"such an image, with a name of its own": {func(pv *corev1.PersistentVolume) {
			pv.Name, pv.Spec.CSI.VolumeHandle = "shop.my-data", "shop.My_Data~east"
		}, false},
		"an image of another name":       {func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "other" }, false},
		"no claimRef":                    {func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }, false},
		"the claim of another namespace": {func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.Namespace = "other" }, false},
		"another claim":                  {func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.Name = "other" }, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := staticpv.IsPair(volume(test.change), "shop", "data"); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestSubvolumeOf(t *testing.T) {
	const handle = "0001-0009-rook-ceph-0000000000000001-24862838-240d-4215-9183-abfc0e9e4002"
	const name = "csi-vol-24862838-240d-4215-9183-abfc0e9e4002"
	ours := staticpv.Subvolume{ClusterID: "rook-ceph", Filesystem: "cephfs", Name: "shop.data", Path: "/volumes/csi/shop.data/7ba5c3c4", Static: true}
	tests := map[string]struct {
		pv        *corev1.PersistentVolume
		want      staticpv.Subvolume
		wantOther bool
	}{
		"what a plan makes": {pv: shared(nil), want: ours},
		"a volume of ceph-csi": {
			pv: shared(func(pv *corev1.PersistentVolume) {
				pv.Spec.CSI.VolumeHandle = handle
				pv.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "fsName": "cephfs", "subvolumeName": name, "subvolumePath": "/volumes/csi/" + name + "/1"}
			}),
			want: staticpv.Subvolume{ClusterID: "rook-ceph", Filesystem: "cephfs", Name: name, Path: "/volumes/csi/" + name + "/1"},
		},
		"a volume of an early ceph-csi": {
			pv: shared(func(pv *corev1.PersistentVolume) {
				pv.Spec.CSI.VolumeHandle = handle
				pv.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph"}
			}),
			want: staticpv.Subvolume{ClusterID: "rook-ceph"},
		},
		"RBD":           {pv: volume(nil), wantOther: true},
		"no CSI volume": {pv: shared(func(pv *corev1.PersistentVolume) { pv.Spec.CSI = nil }), wantOther: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, is := staticpv.SubvolumeOf(test.pv)
			if is == test.wantOther {
				t.Errorf("got CephFS %v", is)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestImageOf(t *testing.T) {
	// attributes are all that a volume has, in place of what New returns.
	attributes := func(handle string, attributes map[string]string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) {
			pv.Spec.CSI.VolumeHandle, pv.Spec.CSI.VolumeAttributes = handle, attributes
		}
	}
	static := func(value string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["staticVolume"] = value }
	}
	const handle = "0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002"
	const image = "csi-vol-24862838-240d-4215-9183-abfc0e9e4002"
	missing := func(attribute string) string {
		return "PersistentVolume shop.data: spec.csi.volumeAttributes[" + attribute + "] is missing, so its image is not known"
	}
	ours := staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: "shop.data", Static: true}

	tests := map[string]struct {
		change    func(*corev1.PersistentVolume)
		want      staticpv.Image
		wantOther bool
		wantError string
	}{
		"what a plan makes": {nil, ours, false, ""},
		"a static volume's image is its handle, whatever else is noted": {
			func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["imageName"] = "other" }, ours, false, "",
		},
		"a keyed image": {
			func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "shop.data~east" },
			staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: "shop.data", Key: "east", Static: true}, false, "",
		},
		"a handle with two separators": {
			func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "shop.data~east~west" },
			staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: "shop.data~east", Key: "west", Static: true}, false, "",
		},
		"a volume of ceph-csi with a '~' in its prefix": {
			attributes(handle, map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": "prod~1"}),
			staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: "prod~1"}, false, "",
		},
		"a static volume, in another spelling": {static("True"), ours, false, ""},
		"a static volume, by number":           {static("1"), ours, false, ""},
		"a volume of ceph-csi": {
			attributes(handle, map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": image, "journalPool": "replicapool"}),
			staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: image}, false, "",
		},
		"a volume of ceph-csi that says it is not static": {
			attributes(handle, map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": image, "staticVolume": "false"}),
			staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: image}, false, "",
		},
		"a static volume from the driver that Kubernetes had": {
			attributes("any", map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": image, "staticVolume": "true", "migration": "true"}),
			staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: image, Static: true}, false, "",
		},
		"ceph-csi's own driver name": {
			func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "rbd.csi.ceph.com" }, ours, false, "",
		},
		"a block device": {
			func(pv *corev1.PersistentVolume) {
				mode := corev1.PersistentVolumeBlock
				pv.Spec.VolumeMode = &mode
			}, ours, false, "",
		},
		"for nobody": {func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }, ours, false, ""},
		"CephFS":     {change: func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "rook-ceph.cephfs.csi.ceph.com" }, wantOther: true},
		"a driver whose name ends alike": {
			change: func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "notrbd.csi.ceph.com" }, wantOther: true,
		},
		"no CSI volume": {change: func(pv *corev1.PersistentVolume) { pv.Spec.CSI = nil }, wantOther: true},
		"no clusterID": {
			func(pv *corev1.PersistentVolume) { delete(pv.Spec.CSI.VolumeAttributes, "clusterID") },
			staticpv.Image{Pool: "replicapool", Name: "shop.data", Static: true}, false, missing("clusterID"),
		},
		"no pool": {
			func(pv *corev1.PersistentVolume) { delete(pv.Spec.CSI.VolumeAttributes, "pool") },
			staticpv.Image{ClusterID: "rook-ceph", Name: "shop.data", Static: true}, false, missing("pool"),
		},
		"a value that does not say whether it is static, so it is not": {
			static("yes"), staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool"}, false, missing("imageName"),
		},
		"a volume of an early ceph-csi": {
			attributes(handle, map[string]string{"clusterID": "rook-ceph", "pool": "replicapool"}),
			staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool"}, false, missing("imageName"),
		},
		"no attributes": {attributes(handle, nil), staticpv.Image{}, false, missing("clusterID")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, rbd, err := staticpv.ImageOf(volume(test.change))
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(test.wantError, text); diff != "" {
				t.Errorf("error -want +got:\n%s", diff)
			}
			if rbd == test.wantOther {
				t.Errorf("got RBD %v", rbd)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestDocumentedVolumeNames keeps the table of docs/names.md true.
func TestDocumentedVolumeNames(t *testing.T) {
	text, err := docs.Files.ReadFile("names.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"shop.data", "Shop.Orders_2024"} {
		if row := fmt.Sprintf("| `%s` | `%[1]s` | `%s` |\n", image, staticpv.VolumeName(image)); !strings.Contains(string(text), row) {
			t.Errorf("docs/names.md has no row %s", row)
		}
	}
}
