package dynamicpv

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Change is one field that differs between the clusters.
type Change struct{ Field, From, To string }

// Localize makes an exported volume one of the cluster that has the class: driver, clusterID
// (also in the handle), secrets and class become the class's. It fails if the class is of
// another kind or leads to another pool or file system: the image would not be there.
func Localize(exported *corev1.PersistentVolume, class *storagev1.StorageClass) (*corev1.PersistentVolume, []Change, error) {
	if err := Check(exported); err != nil {
		return nil, nil, err
	}
	settings, errs := storageclass.Parse(class)
	if len(errs) > 0 {
		return nil, nil, fmt.Errorf("StorageClass %s: %w", class.Name, errs.ToAggregate())
	}
	if err := Fits(exported, settings); err != nil {
		return nil, nil, err
	}
	pv := exported.DeepCopy()
	csi := pv.Spec.CSI
	var changes []Change
	set := func(field string, value *string, to string) {
		if *value != to {
			changes = append(changes, Change{field, *value, to})
			*value = to
		}
	}
	handle, err := staticpv.WithClusterID(csi.VolumeHandle, settings.ClusterID)
	if err != nil {
		return nil, nil, fmt.Errorf("PersistentVolume %s: spec.csi.volumeHandle: %w", pv.Name, err)
	}
	clusterID := csi.VolumeAttributes[clusterIDAttribute]
	set("spec.csi.driver", &csi.Driver, settings.Driver)
	set("spec.csi.volumeHandle", &csi.VolumeHandle, handle)
	set("spec.csi.volumeAttributes["+clusterIDAttribute+"]", &clusterID, settings.ClusterID)
	csi.VolumeAttributes[clusterIDAttribute] = clusterID
	set("spec.storageClassName", &pv.Spec.StorageClassName, class.Name)
	for _, secret := range []struct {
		name string
		ref  **corev1.SecretReference
	}{
		{"nodeStage", &csi.NodeStageSecretRef}, {"nodePublish", &csi.NodePublishSecretRef}, {"nodeExpand", &csi.NodeExpandSecretRef},
		{"controllerPublish", &csi.ControllerPublishSecretRef}, {"controllerExpand", &csi.ControllerExpandSecretRef},
	} {
		to := storageclass.SecretRef(class, secret.name)
		if from := text(*secret.ref); from != text(to) {
			changes = append(changes, Change{"spec.csi." + secret.name + "SecretRef", from, text(to)})
			*secret.ref = to
		}
	}
	pv.Annotations[provisionedBy] = csi.Driver
	Share(pv)
	return pv, changes, nil
}

const clusterIDAttribute = "clusterID"

func text(ref *corev1.SecretReference) string {
	if ref == nil {
		return ""
	}
	return ref.Namespace + "/" + ref.Name
}

// Fits returns why volumes of the class are not where an exported volume is.
func Fits(exported *corev1.PersistentVolume, class storageclass.Class) error {
	attributes := exported.Spec.CSI.VolumeAttributes
	refuse := func(what, there, of string) error {
		return fmt.Errorf("PersistentVolume %s is in %s %s, and StorageClass %s has %s; name a class of the same Ceph with --class", exported.Name, what, there, class.Name, of)
	}
	switch rbd := storageclass.IsRBD(exported.Spec.CSI.Driver); {
	case rbd && class.RBD == nil:
		return refuse("pool", attributes["pool"], "the driver "+class.Driver)
	case !rbd && class.CephFS == nil:
		return refuse("file system", attributes["fsName"], "the driver "+class.Driver)
	case rbd && class.RBD.Pool != attributes["pool"]:
		return refuse("pool", attributes["pool"], "pool "+class.RBD.Pool)
	case !rbd && class.CephFS.Filesystem != attributes["fsName"]:
		return refuse("file system", attributes["fsName"], "file system "+class.CephFS.Filesystem)
	}
	return nil
}

// Candidates returns the classes of a cluster that an exported volume may be of: the one of
// that name, or else all of its pool or file system, the one with the volume's own class name
// first. Their clusterIDs may yet lead to another Ceph or another rados namespace.
func Candidates(exported *corev1.PersistentVolume, classes []storagev1.StorageClass, name string) ([]*storagev1.StorageClass, error) {
	if name != "" {
		class, err := storageclass.Find(classes, name)
		return []*storagev1.StorageClass{class}, err
	}
	var fitting []*storagev1.StorageClass
	for i := range classes {
		if settings, errs := storageclass.Parse(&classes[i]); len(errs) == 0 && Fits(exported, settings) == nil {
			fitting = append(fitting, &classes[i])
		}
	}
	if len(fitting) == 0 {
		return nil, fmt.Errorf("PersistentVolume %s: no StorageClass of this cluster is of its pool or file system; name one with --class to see why", exported.Name)
	}
	own := func(class *storagev1.StorageClass) int {
		if class.Name == exported.Spec.StorageClassName {
			return 0
		}
		return 1
	}
	slices.SortFunc(fitting, func(a, b *storagev1.StorageClass) int {
		return cmp.Or(cmp.Compare(own(a), own(b)), cmp.Compare(a.Name, b.Name))
	})
	return fitting, nil
}
