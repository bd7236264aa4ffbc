package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// searchInterval is how often orphans are looked for.
	searchInterval = 3 * time.Minute
	// searchLimit bounds one search.
	searchLimit = time.Minute
)

// Storages lead from a clusterID to its Ceph cluster and to the rados namespace of its
// images.
type Storages interface {
	Cluster(ctx context.Context, clusterID string) (ceph.Cluster, string, error)
}

// Orphans finds the images that this cluster owns and none of its PersistentVolumes
// leads to, and makes the Keeper release them. A leader knows only the volumes that
// were deleted in its time; those of before are found here, by their records.
type Orphans struct {
	Keeper   *Keeper
	Storages Storages
	Log      logr.Logger

	// failing is what went wrong the last time.
	failing map[string]bool
}

// Start runs until ctx ends. The manager starts it in the leader only.
func (o *Orphans) Start(ctx context.Context) error {
	ticker := time.NewTicker(searchInterval)
	defer ticker.Stop()
	for {
		for _, orphan := range o.Find(ctx) {
			o.Keeper.adopt(ctx, orphan)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// adopt makes Reconcile look at an orphan as at a volume that was deleted. Another one
// of that name has to be done with first.
func (k *Keeper) adopt(ctx context.Context, orphan volumes.Volume) {
	known, _ := k.known.LoadOrStore(orphan.PV.Name, orphan)
	if known.(volumes.Volume).Image != orphan.Image {
		return
	}
	select {
	case k.acquired <- event.GenericEvent{Object: orphan.PV}:
	case <-ctx.Done():
	}
}

// Find returns the orphans in the pools of the cluster's StorageClasses and
// PersistentVolumes. What cannot be looked at is logged, once.
func (o *Orphans) Find(ctx context.Context) []volumes.Volume {
	ctx, cancel := context.WithTimeout(ctx, searchLimit)
	defer cancel()
	var classes storagev1.StorageClassList
	o.say("list StorageClasses", o.Keeper.Finder.API.List(ctx, &classes))
	var pvs corev1.PersistentVolumeList
	if err := o.Keeper.Finder.Cache.List(ctx, &pvs); o.say("list PersistentVolumes", err) {
		return nil
	}
	var owned []volumes.Volume
	for _, place := range volumes.Places(classes.Items, pvs.Items) {
		records, err := o.records(ctx, place)
		o.say(fmt.Sprintf("list the records of pool %s by clusterID %s", place.Pool, place.ClusterID), err)
		for _, of := range records {
			// One that cannot be read is nobody's to release.
			if of.Err == nil && of.Record.State == ceph.Held && ownership.Owns(of.Record, o.Keeper.Self) {
				owned = append(owned, volumes.OrphanOf(place, of.Image.Own(), *of.Record.Owner))
			}
		}
	}
	if len(owned) == 0 {
		return nil
	}
	// Live, and after the records: a volume is there before its image has an owner.
	if err := o.Keeper.Finder.API.List(ctx, &pvs); o.say("list PersistentVolumes", err) {
		return nil
	}
	var orphans []volumes.Volume
	for _, volume := range owned {
		if volumes.LeadsTo(pvs.Items, volume.Image.Pool, volume.Image.Name) == "" {
			orphans = append(orphans, volume)
		}
	}
	return orphans
}

func (o *Orphans) records(ctx context.Context, place volumes.Place) ([]ceph.RecordOf, error) {
	storage, radosNamespace, err := o.Storages.Cluster(ctx, place.ClusterID)
	if err != nil {
		return nil, err
	}
	return storage.Records(ctx, place.Pool, radosNamespace)
}

// say logs an error when it begins, and reports whether there is one.
func (o *Orphans) say(what string, err error) bool {
	if err == nil {
		delete(o.failing, what)
		return false
	}
	if !o.failing[what] {
		o.Log.Error(err, "cannot look for images without a volume: "+what, "advice", ceph.Advice(err))
	}
	if o.failing == nil {
		o.failing = map[string]bool{}
	}
	o.failing[what] = true
	return true
}
