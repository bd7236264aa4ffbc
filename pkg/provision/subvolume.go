package provision

import (
	"context"
	"errors"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Subvolume is a CephFS subvolume. Its size is a quota, which is in force at once
// wherever it is mounted.
type Subvolume struct {
	// Cluster is where the subvolume is or will be.
	Cluster SubvolumeCluster
	ceph.SubvolumeSpec
	// DataPool of a new subvolume; empty is the file system's default.
	DataPool string
}

// SubvolumeCluster is the part of ceph.Cluster that subvolumes need.
type SubvolumeCluster interface {
	ceph.SubvolumeReader
	ceph.SubvolumeCreator
	ceph.SubvolumeGrower
	ceph.SubvolumeRecords
}

func (s Subvolume) kind() string { return "subvolume" }

// size is the claim's: a quota may be any number of bytes.
func (s Subvolume) size(claim uint64) uint64 { return claim }

func (s Subvolume) absent() error { return ceph.ErrSubvolumeNotFound }

func (s Subvolume) look(ctx context.Context) (*found, error) {
	subvolume, err := s.Cluster.Subvolume(ctx, s.SubvolumeSpec)
	if errors.Is(err, ceph.ErrSubvolumeNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	seen := s.found(subvolume)
	seen.record, err = recorded(s.Cluster.SubvolumeRecord(ctx, subvolume))
	return seen, err
}

func (s Subvolume) create(ctx context.Context, size uint64) (*found, error) {
	subvolume, err := s.Cluster.CreateSubvolume(ctx, s.SubvolumeSpec, ceph.SubvolumeLayout{Size: size, DataPool: s.DataPool})
	if err != nil {
		return nil, err
	}
	return s.found(subvolume), nil
}

func (s Subvolume) grow(ctx context.Context, size uint64) error {
	return s.Cluster.GrowSubvolume(ctx, s.SubvolumeSpec, size)
}

func (s Subvolume) found(subvolume ceph.Subvolume) *found {
	return &found{
		size:      subvolume.Size,
		unlimited: subvolume.Size == 0,
		path:      subvolume.Path,
		put: func(ctx context.Context, record ceph.Record) error {
			_, err := s.Cluster.PutSubvolumeRecord(ctx, subvolume, record)
			return err
		},
	}
}
