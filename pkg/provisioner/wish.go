package provisioner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// retryWish is how often the record of an image is read that cannot grow while it is
// mapped. Nothing in the cluster tells that the renderer has written there.
const retryWish = time.Minute

// growByRecord makes the image of a bound claim as large as its record says, when
// nobody has it open. The webhook does so before a pod starts, if its Ceph user may;
// the provisioner's may for sure. Until a record says so, nobody has asked for
// anything, and nobody is told what stands in the way.
func (c *Claims) growByRecord(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	pv := c.exclusiveVolume(ctx, claim)
	if pv == nil {
		return nil
	}
	class, err := c.classOf(ctx, pv)
	if class == nil || err != nil {
		return err
	}
	cluster, image, record, err := c.recordOf(ctx, class, pv)
	if err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("cannot read the record", "image", staticpv.ImageOfPair(pv), "error", err.Error())
		return nil
	}
	if record.GrowTo == 0 {
		return nil
	}
	size := resource.NewQuantity(int64(record.GrowTo), resource.BinarySI).String()
	if err := ownership.Grow(ctx, cluster, image, record); errors.Is(err, ceph.ErrImageLocked) {
		return failure{filesystem, deferred(staticpv.ImageOfPair(pv), size)}
	} else if err != nil {
		return explain(err)
	}
	c.Metrics.grown()
	c.Events.normal(claim, eventGrown, "grew image "+image.String()+" to "+size)
	return nil
}

// exclusiveVolume is the claim's volume if it is a pair of ours whose image cannot
// grow while it is mapped.
func (c *Claims) exclusiveVolume(ctx context.Context, claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	var pv corev1.PersistentVolume
	err := c.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, &pv) // from the cache
	if err != nil || !staticpv.IsPair(&pv, claim.Namespace, claim.Name) || pv.Spec.ClaimRef.UID != claim.UID || !staticpv.IsExclusive(&pv) {
		return nil
	}
	return &pv
}

func (c *Claims) recordOf(ctx context.Context, class *storageclass.Class, pv *corev1.PersistentVolume) (ceph.Cluster, ceph.Image, ceph.Record, error) {
	cluster, settings, err := c.Storages.ClusterAs(ctx, class.ClusterID, class.ProvisionerSecret)
	if err != nil {
		return nil, ceph.Image{}, ceph.Record{}, err
	}
	at, _, err := staticpv.ImageOf(pv)
	if err != nil {
		return nil, ceph.Image{}, ceph.Record{}, err
	}
	image, err := cluster.Image(ctx, at.Spec(settings.RadosNamespace))
	if err != nil {
		return nil, ceph.Image{}, ceph.Record{}, err
	}
	record, err := ownership.Read(ctx, cluster, image)
	return cluster, image, record, err
}

func deferred(image, size string) string {
	return fmt.Sprintf("image %s is mapped exclusively and cannot grow now; it grows to %s when nobody uses it, and the filesystem with it: scale the workload to zero and up again", image, size)
}

// classOf is the first class by name whose images are where the volume's is, and that
// names a secret to grow them with; nil if there is none.
func (c *Claims) classOf(ctx context.Context, pv *corev1.PersistentVolume) (*storageclass.Class, error) {
	var classes storagev1.StorageClassList
	if err := c.Client.List(ctx, &classes); err != nil {
		return nil, fmt.Errorf("list the StorageClasses: %w", err)
	}
	slices.SortFunc(classes.Items, func(a, b storagev1.StorageClass) int { return cmp.Compare(a.Name, b.Name) })
	var others []storageclass.Class
	for i := range classes.Items {
		class, errs := storageclass.Parse(&classes.Items[i])
		switch {
		case len(errs) > 0 || class.RBD == nil || class.ProvisionerSecret.Name == "" || class.ProvisionerSecret.Namespace == "" || class.Driver != pv.Spec.CSI.Driver:
		case whereOfClass(class) == whereOf(pv):
			return &class, nil
		default:
			others = append(others, class)
		}
	}
	for _, class := range others {
		if same, err := c.planner().isSame(ctx, class, whereOf(pv)); err != nil {
			return nil, explain(err)
		} else if same {
			return &class, nil
		}
	}
	return nil, nil
}
