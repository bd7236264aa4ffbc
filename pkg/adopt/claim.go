package adopt

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// save is what goes back: the objects without what belongs to these, and with the policy with
// which nothing deletes the image.
func save(seen Seen) *Saved {
	pv := &corev1.PersistentVolume{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"}, Spec: *seen.PV.Spec.DeepCopy()}
	pv.Name, pv.Labels, pv.Annotations = seen.PV.Name, seen.PV.Labels, ofPeople(seen.PV.Annotations)
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	pv.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: seen.Name.Namespace, Name: seen.Name.Name}
	claim := claimLike(seen.Claim)
	claim.Annotations = ofPeople(seen.Claim.Annotations)
	claim.Spec = *seen.Claim.Spec.DeepCopy()
	return &Saved{PV: pv, Claim: claim}
}

// claimLike is a claim with the metadata of another.
func claimLike(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	like := &corev1.PersistentVolumeClaim{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}}
	like.Namespace, like.Name, like.Labels, like.OwnerReferences = claim.Namespace, claim.Name, maps.Clone(claim.Labels), slices.Clone(claim.OwnerReferences)
	return like
}

// ofPeople are annotations without those by which controllers know what they have bound.
func ofPeople(all map[string]string) map[string]string {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(key, _ string) bool {
		return key == "pv.kubernetes.io/bind-completed" || key == "pv.kubernetes.io/bound-by-controller"
	})
	return kept
}

// settingsOf is the class of the new claim, which has to lead to where the image is.
func settingsOf(classes []storagev1.StorageClass, pv *corev1.PersistentVolume, name string) (storageclass.Class, error) {
	ours := name != ""
	if !ours {
		name = pv.Spec.StorageClassName
	}
	none := func(format string, arguments ...any) (storageclass.Class, error) {
		return storageclass.Class{}, refuse("StorageClass %s: "+format, append([]any{name}, arguments...)...)
	}
	if name == "" {
		return storageclass.Class{}, refuse("PersistentVolume %s: spec.storageClassName is empty; name a class of cephferry's with --class", pv.Name)
	}
	found, err := storageclass.Find(classes, name)
	if err != nil {
		return none("%v; name a class of cephferry's with --class", err)
	}
	if storageclass.IsOurs(found) != ours {
		return none("provisioner is %s; --class takes a class with the provisioner %s", found.Provisioner, storageclass.Provisioner)
	}
	settings, mistakes := storageclass.Settings(classes, found)
	if len(mistakes) > 0 {
		return none("%v", mistakes.ToAggregate())
	}
	attributes := pv.Spec.CSI.VolumeAttributes
	switch {
	case settings.ClusterID != attributes["clusterID"]:
		return none("its clusterID is %s, and the volume's is %s", settings.ClusterID, attributes["clusterID"])
	case settings.Driver != pv.Spec.CSI.Driver:
		return none("its driver is %s, and the volume's is %s", settings.Driver, pv.Spec.CSI.Driver)
	case settings.RBD != nil && settings.RBD.Pool != attributes["pool"]:
		return none("its pool is %s, and the image is in %s", settings.RBD.Pool, attributes["pool"])
	case settings.CephFS != nil && settings.CephFS.Filesystem != attributes["fsName"]:
		return none("its file system is %s, and the subvolume is in %s", settings.CephFS.Filesystem, attributes["fsName"])
	}
	return settings, nil
}

// newClaim adopts the image. A subvolume keeps its name.
func newClaim(saved *Saved, image, class string, settings storageclass.Class) *corev1.PersistentVolumeClaim {
	claim := claimLike(saved.Claim)
	claim.Annotations = maps.Clone(saved.Claim.Annotations)
	if claim.Annotations == nil {
		claim.Annotations = map[string]string{}
	}
	maps.DeleteFunc(claim.Annotations, func(key, _ string) bool {
		return slices.Contains([]string{corev1.BetaStorageClassAnnotation, claims.StorageProvisioner, claims.BetaStorageProvisioner, "volume.kubernetes.io/selected-node"}, key)
	})
	claim.Spec = *saved.Claim.Spec.DeepCopy()
	claim.Spec.VolumeName = ""
	if class != "" {
		claim.Spec.StorageClassName = &class
	} else {
		claim.Spec.StorageClassName = new(string)
		claim.Annotations[annotations.Migratable], claim.Annotations[annotations.Class] = "true", settings.Name
	}
	claim.Annotations[annotations.Adopt] = image
	// The image gets the name that follows from the claim's.
	delete(claim.Annotations, annotations.Image)
	if settings.CephFS != nil {
		claim.Annotations[annotations.Adopt], claim.Annotations[annotations.Image] = "true", image
	}
	return claim
}

// isNew reports whether the claim is the one that adopts the image of the file.
func isNew(claim *corev1.PersistentVolumeClaim, saved *Saved) bool {
	image, _ := imageOf(saved.PV)
	adopts := claim.Annotations[annotations.Adopt]
	return image != "" && (adopts == image || adopts == "true" && claim.Annotations[annotations.Image] == image)
}
