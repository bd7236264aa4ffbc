package storageclass

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Class is what a StorageClass of ceph-csi says of its volumes. The parameters are
// those of ceph-csi's examples (examples/rbd and examples/cephfs,
// storageclass.yaml); those that appear here nowhere concern dynamic provisioning
// only.
type Class struct {
	// Name is the class's name.
	Name string
	// Driver is the CSI driver's name, such as rook-ceph.rbd.csi.ceph.com.
	Driver string
	// ClusterID is the key into ceph-csi's config.json.
	ClusterID string
	// Attributes are the parameters that go into the PV's volumeAttributes as
	// they are.
	Attributes   map[string]string
	MountOptions []string
	// NodeStageSecret is what the node plugin maps or mounts with,
	// ProvisionerSecret what creates volumes.
	NodeStageSecret, ProvisionerSecret corev1.SecretReference

	// RBD or CephFS is set, as the driver is.
	RBD    *RBD
	CephFS *CephFS
}

// RBD is what only an RBD class says.
type RBD struct {
	Pool string
	// Layout of new images; its Size is zero.
	Layout ceph.Layout
	// FSType is empty for ceph-csi's default.
	FSType string
}

// CephFS is what only a CephFS class says. The subvolume group stands in ceph-csi's
// config.json.
type CephFS struct {
	// Filesystem is the parameter fsName.
	Filesystem string
	// DataPool is the parameter pool; empty is the file system's default.
	DataPool string
}

const rbdDriver, cephFSDriver = "rbd.csi.ceph.com", "cephfs.csi.ceph.com"

// IsRBD reports whether provisioner is ceph-csi's RBD driver. Rook puts the
// operator's namespace before the driver's name.
func IsRBD(provisioner string) bool { return isDriver(provisioner, rbdDriver) }

// IsCephFS reports whether provisioner is ceph-csi's CephFS driver.
func IsCephFS(provisioner string) bool { return isDriver(provisioner, cephFSDriver) }

func isDriver(provisioner, driver string) bool {
	return provisioner == driver || strings.HasSuffix(provisioner, "."+driver)
}

// Operator is [Operator] of the class's driver.
func (c Class) Operator() string { return Operator(c.Driver) }

// Operator returns the prefix of a driver's name, which with Rook and ceph-csi-operator is the
// operator's namespace. It is empty if there is none.
func Operator(provisioner string) string {
	for _, driver := range []string{rbdDriver, cephFSDriver} {
		if prefix, ok := strings.CutSuffix(provisioner, "."+driver); ok {
			return prefix
		}
	}
	return ""
}

// Parse reads a class. Every mistake is reported, with the field's path in the
// StorageClass.
func Parse(class *storagev1.StorageClass) (Class, field.ErrorList) {
	p := parser{params: class.Parameters, path: field.NewPath("parameters")}
	parsed := Class{Name: class.Name, Driver: class.Provisioner, MountOptions: class.MountOptions}
	switch {
	case IsRBD(class.Provisioner):
		p.common(&parsed)
		parsed.RBD = p.rbd(&parsed)
	case IsCephFS(class.Provisioner):
		p.common(&parsed)
		parsed.CephFS = p.cephFS(&parsed)
	default:
		return Class{}, field.ErrorList{field.Invalid(field.NewPath("provisioner"), class.Provisioner, "is not ceph-csi's driver for RBD or CephFS")}
	}
	return parsed, p.errs
}

// SecretRef is the secret that a class names for one of a volume's uses, as the field of
// the PersistentVolume is called without "SecretRef": nodeStage, nodePublish, nodeExpand,
// controllerPublish or controllerExpand. Nil: the class names none, or by a template.
func SecretRef(class *storagev1.StorageClass, use string) *corev1.SecretReference {
	prefix := map[string]string{
		"nodeStage": paramNodeStageSecret, "nodePublish": secretPrefix + "node-publish-secret-", "nodeExpand": secretPrefix + "node-expand-secret-",
		"controllerPublish": secretPrefix + "controller-publish-secret-", "controllerExpand": secretPrefix + "controller-expand-secret-",
	}[use]
	ref := corev1.SecretReference{Name: class.Parameters[prefix+"name"], Namespace: class.Parameters[prefix+"namespace"]}
	if prefix == "" || ref.Name == "" || ref.Namespace == "" || strings.Contains(ref.Name+ref.Namespace, "${") {
		return nil
	}
	return &ref
}

const secretPrefix = "csi.storage.k8s.io/"
