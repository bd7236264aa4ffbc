package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// sweepInterval is after what time the records are read again.
	sweepInterval = 30 * time.Second
	// sweepLimit bounds one sweep.
	sweepLimit = 2 * time.Minute
)

// Storages lead from a clusterID to its Ceph cluster and to the rados namespace of its
// images.
type Storages interface {
	Cluster(ctx context.Context, clusterID string) (ceph.Cluster, string, error)
}

// Sweep reads the records of all images in the pools of the cluster's StorageClasses and
// PersistentVolumes, page by page, and makes the Keeper look at the volumes whose record has
// changed since it looked, and at orphans (orphans.go). So a volume costs a page's share while
// nothing happens to it.
type Sweep struct {
	Keeper   *Keeper
	Storages Storages
	Log      logr.Logger

	// failing is what went wrong the last time.
	failing map[string]bool
	// spaces are the rados namespaces of the places, and silent those whose records could not
	// be read, and how often in a row.
	spaces map[volumes.Place]string
	silent map[volumes.Place]silence
}

// Start runs until ctx ends. The manager starts it in the leader only.
func (s *Sweep) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.Keeper.started:
	}
	s.Keeper.State.leads()
	for {
		s.pass(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(sweepInterval):
		}
	}
}

func (s *Sweep) pass(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	pvs := s.Keeper.find(ctx)
	all := s.read(ctx, pvs)
	s.count(all)
	s.census(pvs, all)
	s.compare(ctx, pvs, all)
	for _, orphan := range s.orphans(ctx, pvs, all) {
		s.Keeper.adopt(orphan)
	}
}

// records are those of one place, by the names of their images, without keys.
type records map[string]ceph.RecordOf

// read returns the records of each place that can be read.
func (s *Sweep) read(ctx context.Context, pvs []corev1.PersistentVolume) map[volumes.Place]records {
	var classes storagev1.StorageClassList
	s.say("list StorageClasses", s.Keeper.Finder.API.List(ctx, &classes))
	all := map[volumes.Place]records{}
	before := s.silent
	s.silent, s.spaces = map[volumes.Place]silence{}, map[volumes.Place]string{}
	for _, place := range volumes.Places(classes.Items, pvs) {
		found, err := s.list(ctx, place)
		if err != nil {
			s.silent[place] = silence{before[place].times + 1, err}
		}
		if s.say(fmt.Sprintf("list the records of pool %s by clusterID %s", place.Pool, place.ClusterID), err) {
			continue
		}
		all[place] = records{}
		for _, of := range found {
			all[place][of.Image.Name] = of
		}
	}
	return all
}

func (s *Sweep) list(ctx context.Context, place volumes.Place) ([]ceph.RecordOf, error) {
	storage, radosNamespace, err := s.Storages.Cluster(ctx, place.ClusterID)
	if err != nil {
		return nil, err
	}
	s.spaces[place] = radosNamespace
	return storage.Records(ctx, place.Pool, radosNamespace)
}

// places are those that were read and those that are silent, by clusterID and pool.
func (s *Sweep) places(all map[volumes.Place]records) map[[2]string]volumes.Place {
	places := map[[2]string]volumes.Place{}
	for place := range all {
		places[[2]string{place.ClusterID, place.Pool}] = place
	}
	for place := range s.silent {
		places[[2]string{place.ClusterID, place.Pool}] = place
	}
	return places
}

// census counts the guarded volumes by what their records say.
func (s *Sweep) census(pvs []corev1.PersistentVolume, all map[volumes.Place]records) {
	if s.Keeper.State == nil {
		return
	}
	c := census{blind: len(s.silent) > 0}
	places := s.places(all)
	for i := range pvs {
		volume, guarded, err := s.Keeper.Finder.Guarded(&pvs[i])
		if !guarded || volume.Claim == "" && err == nil {
			continue
		}
		found, listed := all[places[[2]string{volume.Image.ClusterID, volume.Image.Pool}]]
		of := found[volume.Image.Name] // an image without a record is nobody's
		c.add(of.Record, err == nil && listed && of.Err == nil)
	}
	for _, found := range all {
		for _, of := range found {
			c.addFenced(of.Record)
		}
	}
	s.Keeper.State.counted(c)
}

// compare makes the Keeper look at the volumes whose records are not those that it has seen.
func (s *Sweep) compare(ctx context.Context, pvs []corev1.PersistentVolume, all map[volumes.Place]records) {
	k := s.Keeper
	places := s.places(all)
	var used *usage.CachedUses
	for i := range pvs {
		pv := &pvs[i]
		volume, guarded, err := k.Finder.Guarded(pv)
		place := places[[2]string{volume.Image.ClusterID, volume.Image.Pool}]
		found, listed := all[place]
		if !guarded || volume.Claim == "" || err != nil {
			continue
		}
		if !listed {
			s.showSilence(volume, place)
			continue
		}
		of := found[volume.Image.Name]
		token, looked := k.ledger.at(pv.Name)
		switch {
		case looked && token == of.Record.Token && k.isNamed(of, volume):
			k.showAgain(volume, s.spaces[place], of.Record)
			continue
		case looked || !k.isCalm(of) || !k.isNamed(of, volume):
			k.wake(pv.Name, 0)
			continue
		}
		// The leader or the volume is new.
		if used == nil {
			uses, err := k.Usage.CachedUses(ctx)
			if s.say("read what is used", err) {
				return
			}
			used = &uses
		}
		switch ours := ownership.Owns(of.Record, k.Self); {
		case ours != used.Has(volume), used.Told(volume):
			k.wake(pv.Name, 0)
		default:
			k.ledger.note(pv.Name, of.Record, ours)
			k.showAgain(volume, s.spaces[place], of.Record)
			if ours {
				k.wake(pv.Name, k.turn(pv.Name))
			}
		}
	}
}

// isCalm reports whether the record leaves nothing open.
func (k *Keeper) isCalm(of ceph.RecordOf) bool {
	record := of.Record
	switch {
	case of.Err != nil:
		return false
	case record.State == ceph.Held && ownership.Owns(record, k.Self):
		nodes := len(record.Owner.Nodes)
		return nodes > 0 && len(record.Owner.Instances()) >= nodes && len(record.Pending) == 0 && len(record.Unbound) == 0
	}
	return true
}

// isNamed reports whether the image has the name that the record asks for. Somebody may take
// it away by hand.
func (k *Keeper) isNamed(of ceph.RecordOf, volume volumes.Volume) bool {
	own := of.Image.Key == volume.Image.Key
	switch record := of.Record; {
	case !record.Keyed || volume.Image.Key == "":
		return true
	case record.State == ceph.Held && ownership.Owns(record, k.Self):
		return own
	case record.State == ceph.Free:
		return !own
	}
	return true
}

// say logs an error when it begins, and reports whether there is one.
func (s *Sweep) say(what string, err error) bool {
	if err == nil {
		delete(s.failing, what)
		return false
	}
	if !s.failing[what] {
		s.Log.Error(err, "cannot see whether a record has changed, or an image has no volume: "+what, "advice", ceph.Advice(err))
	}
	if s.failing == nil {
		s.failing = map[string]bool{}
	}
	s.failing[what] = true
	return true
}
