package usage

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// The names of the indexes of a cache by which this package finds what is about one volume,
// or about one watcher of its image, among the thousands that there may be.
const (
	// byVolume has the VolumeAttachments of a PersistentVolume.
	byVolume = "spec.source.persistentVolumeName"
	// byAddress has the Nodes with an IP, byVolumeInUse those that report a volume in use.
	byAddress     = "status.addresses"
	byVolumeInUse = "status.volumesInUse"
)

// Index is an index that a cache has to have.
type Index struct {
	Object client.Object
	Name   string
	Of     client.IndexerFunc
}

// Indexes are those that a [Gatherer] and a [volumes.Finder] need of their caches.
func Indexes() []Index {
	return []Index{
		{&corev1.PersistentVolume{}, volumes.ByClaim, volumes.ClaimOf},
		{&corev1.PersistentVolume{}, volumes.ByNamespace, volumes.NamespaceOf},
		{&corev1.PersistentVolume{}, volumes.ByImage, volumes.ImageOf},
		{&storagev1.VolumeAttachment{}, byVolume, func(object client.Object) []string {
			if attachment, ok := object.(*storagev1.VolumeAttachment); ok && VolumeOf(attachment) != "" {
				return []string{VolumeOf(attachment)}
			}
			return nil
		}},
		{&corev1.Node{}, byAddress, func(object client.Object) []string {
			var all []string
			if node, ok := object.(*corev1.Node); ok {
				for _, address := range Addresses(node) {
					all = append(all, address.String())
				}
			}
			return all
		}},
		{&corev1.Node{}, byVolumeInUse, func(object client.Object) []string {
			var all []string
			if node, ok := object.(*corev1.Node); ok {
				for _, volume := range node.Status.VolumesInUse {
					all = append(all, string(volume))
				}
			}
			return all
		}},
	}
}
