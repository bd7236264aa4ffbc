package keeper

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// adopt makes Reconcile look at an orphan as at a volume that was deleted. Another one
// of that name has to be done with first.
func (k *Keeper) adopt(orphan volumes.Volume) {
	known, _ := k.known.LoadOrStore(orphan.PV.Name, orphan)
	if known.(volumes.Volume).Image == orphan.Image {
		k.wake(orphan.PV.Name, 0)
	}
}

// orphans are the images that this cluster owns and none of its PersistentVolumes leads to. A
// leader hears only of the volumes that are deleted in its time; those of before are found
// here, by their records. Those that are looked at already are left out.
func (s *Sweep) orphans(ctx context.Context, pvs []corev1.PersistentVolume, all map[volumes.Place]records) []volumes.Volume {
	k := s.Keeper
	// The values are positions in pvs, so that a sweep does not copy thousands of volumes.
	byKey := map[string][]int{}
	for i := range pvs {
		for _, key := range append(staticpv.ImageKeys(&pvs[i]), pvs[i].Name) {
			byKey[key] = append(byKey[key], i)
		}
	}
	leads := func(image ceph.ImageSpec) bool {
		keys := append(staticpv.KeysOfImage(image.Own()), staticpv.VolumeName(image.Name))
		return slices.ContainsFunc(keys, func(key string) bool {
			return slices.ContainsFunc(byKey[key], func(i int) bool {
				return volumes.LeadsTo(pvs[i:i+1], image.Pool, image.Own()) != ""
			})
		})
	}
	var owned []volumes.Volume
	for place, found := range all {
		for _, of := range found {
			// If the record cannot be read, nobody may release the image.
			if of.Err != nil || of.Record.State != ceph.Held || !ownership.Owns(of.Record, k.Self) || leads(of.Image) {
				continue
			}
			orphan := volumes.OrphanOf(place, of.Image.Own(), *of.Record.Owner)
			if known, ok := k.known.Load(orphan.PV.Name); !ok || known.(volumes.Volume).Image != orphan.Image {
				owned = append(owned, orphan)
			}
		}
	}
	if len(owned) == 0 {
		return nil
	}
	// The volumes are read from the API server, and after the records: a volume exists before its
	// image has an owner, so none is missed.
	err := usage.EachPage(ctx, usage.Source{Reader: k.Finder.API}, func(present *corev1.PersistentVolumeList) {
		owned = slices.DeleteFunc(owned, func(volume volumes.Volume) bool {
			return volumes.LeadsTo(present.Items, volume.Image.Pool, volume.Image.Name) != ""
		})
	})
	if s.say("list PersistentVolumes", err) {
		return nil
	}
	return owned
}
