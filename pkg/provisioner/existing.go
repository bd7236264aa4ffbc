package provisioner

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// CreatedBy is the annotation on a PersistentVolume that says who created it. The
// renderer's have none.
const (
	CreatedBy = annotations.Prefix + "created-by"
	byCluster = "cluster"
)

func isClusters(pv *corev1.PersistentVolume) bool {
	return pv.Annotations[CreatedBy] == byCluster && pv.Annotations[annotations.Migratable] == "true"
}

// next is what to do about the PersistentVolumes there are.
type next int

const (
	create  next = iota // there is none
	bind                // the claim's own is there
	wait                // one of an earlier claim is on its way out
	refused             // there is one that is not the claim's
)

// inTheWay returns the PersistentVolumes about which [decide] is asked: those that may have
// the image or subvolume, and the one of that name. Adoption asks for all of them.
func (c *Claims) inTheWay(ctx context.Context, p plan) ([]corev1.PersistentVolume, error) {
	var list corev1.PersistentVolumeList
	if p.Adopt {
		if err := c.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list the PersistentVolumes: %w", err)
		}
		return list.Items, nil
	}
	if err := c.Client.List(ctx, &list, client.MatchingFields{volumes.ByImage: p.Image}); err != nil {
		return nil, fmt.Errorf("list the PersistentVolumes by what they have: %w", err)
	}
	var named corev1.PersistentVolume
	name := staticpv.VolumeName(p.Image)
	err := c.Client.Get(ctx, client.ObjectKey{Name: name}, &named)
	switch {
	case apierrors.IsNotFound(err):
		return list.Items, nil
	case err != nil:
		return nil, fmt.Errorf("read PersistentVolume %s: %w", name, err)
	case slices.ContainsFunc(list.Items, func(pv corev1.PersistentVolume) bool { return pv.Name == named.Name }):
		return list.Items, nil
	}
	return append(list.Items, named), nil
}

// decide says what to do for a claim with that image.
//
//	volume of that name       made by us   for                     result
//	none                      -            -                       create, or refused when another has the image
//	going                     any          any                     wait
//	there                     yes          this claim              bind, or refused when it has another image
//	there                     yes          an earlier claim        wait
//	there                     yes          another claim           refused
//	there                     no           any                     refused
func decide(claim *corev1.PersistentVolumeClaim, p plan, volumes []corev1.PersistentVolume) (next, error) {
	var found *corev1.PersistentVolume
	name := staticpv.VolumeName(p.Image)
	for i := range volumes {
		if volumes[i].Name == name {
			found = &volumes[i]
		} else if err := p.taken(&volumes[i], claim.Namespace); err != nil {
			return refused, err
		}
	}
	if p.Adopt {
		if err := p.RefuseAdoption(volumes); err != nil {
			return refused, err
		}
	}
	if found == nil {
		return create, nil
	}
	ref := found.Spec.ClaimRef
	same := ref != nil && ref.Namespace == claim.Namespace && ref.Name == claim.Name
	switch {
	case found.DeletionTimestamp != nil:
		return wait, fmt.Errorf("PersistentVolume %s is being deleted", found.Name)
	case !isClusters(found):
		return refused, fmt.Errorf("PersistentVolume %s exists, and was not created by the cluster: it is for %s; delete one of the two, or name it in spec.volumeName if it is the one you want", found.Name, who(ref, claim.Namespace))
	case same && staticpv.ImageOfPair(found) != p.Image:
		return refused, fmt.Errorf("PersistentVolume %s has %s %q, and the claim's is %q; delete it if that is not intended", found.Name, p.kind(), staticpv.ImageOfPair(found), p.Image)
	case same && (ref.UID == claim.UID || ref.UID == ""):
		return bind, nil
	case same:
		return wait, fmt.Errorf("PersistentVolume %s belongs to the claim's predecessor, and goes away once no node has it attached", found.Name)
	default:
		return refused, fmt.Errorf("PersistentVolume %s has %s %s already, for %s", found.Name, p.kind(), p.Image, who(ref, claim.Namespace))
	}
}

// taken refuses an image or subvolume that another volume has, under whatever name.
// Two volumes of one image would be mounted by two nodes; and kubelet takes two
// volumes of one driver with one handle for one. A volume of ceph-csi may remain of
// an image that is adopted, see staticpv.RefuseAdoption.
func (p *plan) taken(pv *corev1.PersistentVolume, namespace string) error {
	csi := pv.Spec.CSI
	if csi == nil {
		return nil
	}
	var same, static bool
	handle := csi.VolumeHandle
	if fs := p.Class.CephFS; fs != nil {
		subvolume, ok := staticpv.SubvolumeOf(pv)
		same, static = ok && subvolume.Filesystem == fs.Filesystem && subvolume.Name == p.Image, subvolume.Static
	} else {
		image, ok, err := staticpv.ImageOf(pv)
		same, static = ok && err == nil && image.Pool == p.Class.RBD.Pool && image.Name == p.Image, image.Static
		if static {
			handle = image.Name // whatever its key
		}
	}
	same = same || csi.Driver == p.Class.Driver && handle == p.Image
	if !same || p.Adopt && !static {
		return nil
	}
	return fmt.Errorf("PersistentVolume %s has %s %s already, for %s", pv.Name, p.kind(), p.Image, who(pv.Spec.ClaimRef, namespace))
}

// who is whose volume it is, for people of the namespace.
func who(ref *corev1.ObjectReference, namespace string) string {
	switch {
	case ref == nil:
		return "no claim"
	case ref.Namespace != namespace:
		return "a claim of another namespace"
	}
	return "claim " + ref.Namespace + "/" + ref.Name
}
