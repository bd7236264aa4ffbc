package staticpv

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Image is where an RBD volume's data is. Its rados namespace stands only in
// ceph-csi's configuration, by ClusterID.
type Image struct {
	ClusterID, Pool string
	// Name is the base name of a keyed image, which it carries while nobody owns it.
	Name string
	// Key is that of the cluster that the volume is for, empty if the image is not keyed.
	// While that cluster owns the image, it carries the name of both, see [Handle].
	Key string
	// Static is true for a volume that ceph-csi did not make.
	Static bool
}

// ImageOf returns the image of an RBD volume, static or made by ceph-csi, and
// false for a volume that is not RBD. It fails for an RBD volume that does not say
// where its image is, and then returns what the volume does say.
//
// The node plugin opens what this returns: of a static volume the image that the
// volumeHandle names, with its key, of another one the image that ceph-csi noted when it
// made it (ceph-csi, internal/rbd: genVolFromVolumeOptions and ToCSI). Names of the latter
// have no keys, also where a class's prefix brings a '~' into them.
func ImageOf(pv *corev1.PersistentVolume) (Image, bool, error) {
	csi := pv.Spec.CSI
	if csi == nil || !storageclass.IsRBD(csi.Driver) {
		return Image{}, false, nil
	}
	attributes := csi.VolumeAttributes
	image := Image{ClusterID: attributes["clusterID"], Pool: attributes["pool"], Name: attributes["imageName"]}
	if image.Static = isStatic(csi); image.Static && attributes["migration"] != "true" {
		image.Name = csi.VolumeHandle
	}
	if image.Static {
		image.Name, image.Key = ceph.SplitName(image.Name)
	}
	for _, attribute := range []struct{ name, value string }{{"clusterID", image.ClusterID}, {"pool", image.Pool}, {"imageName", image.Name}} {
		if attribute.value == "" {
			return image, true, fmt.Errorf("PersistentVolume %s: spec.csi.volumeAttributes[%s] is missing, so its image is not known", pv.Name, attribute.name)
		}
	}
	return image, true, nil
}

// MayLeadTo reports whether the node plugin may open that image for the PV: what leads
// there by its clusterID is not asked, because several clusterIDs may lead to one Ceph,
// with ceph-csi's cluster-mapping.json or without. So an image of that pool and name
// counts wherever it is, and one whose pool the PV does not say. Nor is it asked with which
// key: which of its names a keyed image carries changes.
//
// A volume that ceph-csi made counts by what its attributes say and by its handle, which
// alone is what the node plugin reads (ceph-csi, internal/rbd: GenVolFromVolID): the
// image's name ends in the uuid that the handle ends in.
func MayLeadTo(pv *corev1.PersistentVolume, pool, name string) bool {
	image, rbd, _ := ImageOf(pv)
	switch {
	case !rbd:
		return false
	case (image.Name == name || image.Name == baseOf(name)) && (image.Pool == pool || image.Pool == ""):
		return true
	default:
		return !image.Static && hasUUIDOf(pv.Spec.CSI.VolumeHandle, name)
	}
}

// HandleMayLeadTo is [MayLeadTo] for a volume of which only the handle is left.
func HandleMayLeadTo(handle, name string) bool {
	return baseOf(handle) == baseOf(name) || hasUUIDOf(handle, name)
}

// hasUUIDOf reports whether an image's name, or its base name, ends in the uuid of a
// handle of ceph-csi.
func hasUUIDOf(handle, name string) bool {
	uuid := uuidOf(handle)
	return uuid != "" && (strings.HasSuffix(name, uuid) || strings.HasSuffix(baseOf(name), uuid))
}

// ImageKeys are what an index finds the volumes by that [MayLeadTo] an image: the name
// of the image that the PV says, without a key, and the uuid of its handle.
func ImageKeys(pv *corev1.PersistentVolume) []string {
	image, rbd, _ := ImageOf(pv)
	if !rbd {
		return nil
	}
	var keys []string
	if image.Name != "" {
		keys = append(keys, image.Name)
	}
	if uuid := uuidOf(pv.Spec.CSI.VolumeHandle); uuid != "" && !image.Static {
		keys = append(keys, uuid)
	}
	return keys
}

// KeysOfImage are those of [ImageKeys] that volumes of the image have.
func KeysOfImage(name string) []string {
	keys := []string{name}
	if base := baseOf(name); base != name {
		keys = append(keys, base)
	}
	for _, name := range keys {
		if len(name) > uuidLength {
			keys = append(keys, name[len(name)-uuidLength:])
		}
	}
	return keys
}

// isStatic reads the flag as ceph-csi does.
func isStatic(csi *corev1.CSIPersistentVolumeSource) bool {
	static, err := strconv.ParseBool(csi.VolumeAttributes[staticVolume])
	return err == nil && static
}

// Subvolume is where a CephFS volume's data is.
type Subvolume struct {
	// Filesystem is empty for the Ceph cluster's default.
	ClusterID, Filesystem string
	// Name is that of the subvolume. A volume that somebody else made static has
	// any name.
	Name string
	// Path is the folder in the file system.
	Path string
	// Static is true for a volume that ceph-csi did not make.
	Static bool
}

// SubvolumeOf returns what a CephFS volume, static or made by ceph-csi, says of its
// subvolume, and false for a volume that is not CephFS.
//
// The node plugin mounts the rootPath of a static volume, and finds another one by
// its volumeHandle; what it noted when it made it says the same (ceph-csi,
// internal/cephfs: NewVolumeOptionsFromStaticVolume and CreateVolume).
func SubvolumeOf(pv *corev1.PersistentVolume) (Subvolume, bool) {
	csi := pv.Spec.CSI
	if csi == nil || !storageclass.IsCephFS(csi.Driver) {
		return Subvolume{}, false
	}
	attributes := csi.VolumeAttributes
	subvolume := Subvolume{ClusterID: attributes["clusterID"], Filesystem: attributes["fsName"], Static: isStatic(csi)}
	if subvolume.Static {
		subvolume.Name, subvolume.Path = csi.VolumeHandle, attributes["rootPath"]
	} else {
		subvolume.Name, subvolume.Path = attributes["subvolumeName"], attributes["subvolumePath"]
	}
	return subvolume, true
}
