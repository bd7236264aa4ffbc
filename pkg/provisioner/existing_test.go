package provisioner

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// volume is the PersistentVolume that the cluster made for claim shop/data with uid
// 1, and changes.
func volume(change ...func(*corev1.PersistentVolume)) corev1.PersistentVolume {
	pv := corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "shop.data", UID: "pv", ResourceVersion: "7", Annotations: map[string]string{
			"cephferry.io/migratable": "true", "cephferry.io/created-by": "cluster",
		}},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef:                      &corev1.ObjectReference{Namespace: "shop", Name: "data", UID: "1", ResourceVersion: "5"},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop.data",
				VolumeAttributes: map[string]string{"staticVolume": "true", "clusterID": "rook-ceph", "pool": "replicapool"},
			}},
		},
	}
	for _, c := range change {
		c(&pv)
	}
	return pv
}

func named(name string) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { pv.Name, pv.Spec.CSI.VolumeHandle = name, name }
}

func handle(handle string) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = handle }
}

func phase(phase corev1.PersistentVolumePhase) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { pv.Status.Phase = phase }
}

func policy(policy corev1.PersistentVolumeReclaimPolicy) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { pv.Spec.PersistentVolumeReclaimPolicy = policy }
}

func forClaim(namespace, name string, uid types.UID) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) {
		pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name, pv.Spec.ClaimRef.UID = namespace, name, uid
	}
}

func byRenderer(pv *corev1.PersistentVolume) { delete(pv.Annotations, CreatedBy) }

func foreign(pv *corev1.PersistentVolume) { pv.Annotations = nil }

func deleting(pv *corev1.PersistentVolume) {
	now := metav1.Now()
	pv.DeletionTimestamp, pv.Finalizers = &now, []string{"kubernetes.io/pv-protection"}
}

// dynamic is a volume of ceph-csi with the image that the claim asks for.
func dynamic(pv *corev1.PersistentVolume) {
	pv.Name, pv.Annotations = "pvc-1", nil
	pv.Spec.CSI.VolumeHandle = "0001-0009-rook-ceph-0000000000000001-0aa"
	pv.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": "shop.data"}
}

func TestDecide(t *testing.T) {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: "1"}}
	type decision struct {
		Next next
		Why  string
	}
	type changes = []func(*corev1.PersistentVolume)
	const already = " has image shop.data already, for claim shop/data"
	tests := map[string]struct {
		adopt   bool
		volumes []changes
		want    decision
	}{
		"no volume":                             {want: decision{create, ""}},
		"the claim's own":                       {volumes: []changes{{}}, want: decision{bind, ""}},
		"the claim's own, without the uid":      {volumes: []changes{{forClaim("shop", "data", "")}}, want: decision{bind, ""}},
		"that of its predecessor":               {volumes: []changes{{forClaim("shop", "data", "0")}}, want: decision{wait, "PersistentVolume shop.data belongs to the claim's predecessor, and goes away once no node has it attached"}},
		"one that is being deleted":             {volumes: []changes{{deleting, foreign}}, want: decision{wait, "PersistentVolume shop.data is being deleted"}},
		"that of another claim":                 {volumes: []changes{{forClaim("shop", "other", "2")}}, want: decision{refused, "PersistentVolume shop.data has image shop.data already, for claim shop/other"}},
		"that of a claim in another namespace":  {volumes: []changes{{forClaim("bank", "data", "1")}}, want: decision{refused, "PersistentVolume shop.data has image shop.data already, for a claim of another namespace"}},
		"the renderer's, for this claim":        {volumes: []changes{{byRenderer}}, want: decision{refused, "PersistentVolume shop.data exists, and was not created by the cluster: it is for claim shop/data; delete one of the two, or name it in spec.volumeName if it is the one you want"}},
		"somebody's of that name":               {volumes: []changes{{foreign}}, want: decision{refused, "PersistentVolume shop.data exists, and was not created by the cluster: it is for claim shop/data; delete one of the two, or name it in spec.volumeName if it is the one you want"}},
		"somebody's of that name, for nobody":   {volumes: []changes{{foreign, func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }}}, want: decision{refused, "PersistentVolume shop.data exists, and was not created by the cluster: it is for no claim; delete one of the two, or name it in spec.volumeName if it is the one you want"}},
		"others with other images":              {volumes: []changes{{named("shop.other")}, {dynamic, func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["imageName"] = "csi-vol-1" }}}, want: decision{create, ""}},
		"others, and the claim's own":           {volumes: []changes{{named("shop.other")}, {}}, want: decision{bind, ""}},
		"a volume that is not ceph-csi's":       {volumes: []changes{{named("nfs"), func(pv *corev1.PersistentVolume) { pv.Spec.CSI = nil }}}, want: decision{create, ""}},
		"another static one with the image":     {volumes: []changes{{func(pv *corev1.PersistentVolume) { pv.Name = "old" }}}, want: decision{refused, "PersistentVolume old" + already}},
		"the claim's own, keyed":                {volumes: []changes{{handle("shop.data~east")}}, want: decision{bind, ""}},
		"another keyed one with the image":      {volumes: []changes{{handle("shop.data~east"), func(pv *corev1.PersistentVolume) { pv.Name = "old" }}}, want: decision{refused, "PersistentVolume old" + already}},
		"another keyed one in another pool":     {volumes: []changes{{handle("shop.data~east"), func(pv *corev1.PersistentVolume) { pv.Name, pv.Spec.CSI.VolumeAttributes["pool"] = "old", "ssd" }}}, want: decision{refused, "PersistentVolume old" + already}},
		"another cluster's, keyed":              {adopt: true, volumes: []changes{{handle("shop.data~west"), func(pv *corev1.PersistentVolume) { pv.Name = "old" }}}, want: decision{refused, "PersistentVolume old" + already}},
		"one with the handle in another pool":   {volumes: []changes{{func(pv *corev1.PersistentVolume) { pv.Name, pv.Spec.CSI.VolumeAttributes["pool"] = "old", "ssd" }}}, want: decision{refused, "PersistentVolume old" + already}},
		"one with the name in another pool":     {volumes: []changes{{dynamic, func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["pool"] = "ssd" }}}, want: decision{create, ""}},
		"one whose image is not known":          {volumes: []changes{{dynamic, func(pv *corev1.PersistentVolume) { delete(pv.Spec.CSI.VolumeAttributes, "imageName") }}}, want: decision{create, ""}},
		"a dynamic one with the image":          {volumes: []changes{{dynamic, phase(corev1.VolumeReleased)}}, want: decision{refused, "PersistentVolume pvc-1" + already}},
		"adopt from a dynamic one, released":    {adopt: true, volumes: []changes{{dynamic, phase(corev1.VolumeReleased)}}, want: decision{create, ""}},
		"adopt from a dynamic one, bound":       {adopt: true, volumes: []changes{{dynamic, phase(corev1.VolumeBound)}}, want: decision{refused, "PersistentVolume pvc-1: spec.claimRef still binds it to claim shop/data; scale the workload down, then run `kubectl delete pvc data --namespace shop`"}},
		"adopt from one that would be deleted":  {adopt: true, volumes: []changes{{dynamic, phase(corev1.VolumeReleased), policy(corev1.PersistentVolumeReclaimDelete)}}, want: decision{refused, "PersistentVolume pvc-1: spec.persistentVolumeReclaimPolicy is Delete, so the data would be deleted with its claim; run `kubectl patch pv pvc-1 -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`"}},
		"adopt what another static one has too": {adopt: true, volumes: []changes{{func(pv *corev1.PersistentVolume) { pv.Name = "old" }}}, want: decision{refused, "PersistentVolume old" + already}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := plan{Plan: staticpv.Plan{
				Adopt: test.adopt, Names: staticpv.Names{Image: "shop.data"},
				Class: storageclass.Class{Driver: "rook-ceph.rbd.csi.ceph.com", RBD: &storageclass.RBD{Pool: "replicapool"}},
			}}
			var found []corev1.PersistentVolume
			for _, change := range test.volumes {
				// The index leaves out only what would not matter.
				if pv := volume(change...); test.adopt || pv.Name == p.Image || slices.Contains(volumes.ImageOf(&pv), p.Image) {
					found = append(found, pv)
				}
			}
			var got decision
			var err error
			if got.Next, err = decide(claim, p, found); err != nil {
				got.Why = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
