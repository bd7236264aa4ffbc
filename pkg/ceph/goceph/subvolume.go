//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ceph/go-ceph/cephfs/admin"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// subvolumeMode is ceph-csi's: the containers of a pod may be any users.
const subvolumeMode = 0o777

func (c *connection) Subvolume(ctx context.Context, spec ceph.SubvolumeSpec) (ceph.Subvolume, error) {
	found, err := managed(ctx, c, func(_ context.Context, f filesystems) (ceph.Subvolume, error) {
		return f.lookup(spec)
	})
	if err != nil {
		return ceph.Subvolume{}, fmt.Errorf("look at subvolume %q: %w", spec, err)
	}
	return found, nil
}

func (f filesystems) lookup(spec ceph.SubvolumeSpec) (ceph.Subvolume, error) {
	info, err := f.admin.SubVolumeInfo(spec.Filesystem, spec.Group, spec.Name)
	switch {
	case errno(err) == enoent:
		// The file system, the group, or the subvolume: the manager says it in
		// different sentences.
		if _, err := filesystem(f.rados, spec.Filesystem); err != nil {
			return ceph.Subvolume{}, err
		}
		return ceph.Subvolume{}, fmt.Errorf("%w (%w)", ceph.ErrSubvolumeNotFound, err)
	case err != nil:
		return ceph.Subvolume{}, translate(err, nil)
	case info.State == admin.StateSnapRetained:
		return ceph.Subvolume{}, fmt.Errorf("%w: it was removed, and its snapshots are kept", ceph.ErrSubvolumeNotFound)
	}
	found := ceph.Subvolume{SubvolumeSpec: spec, Path: info.Path}
	// Infinite is of another type.
	if quota, limited := info.BytesQuota.(admin.ByteCount); limited {
		found.Size = uint64(quota)
	}
	return found, nil
}

// CreateSubvolume makes the subvolume without a quota, and then sets that.
//
// To the manager, creating a subvolume that exists is no error: it sets the
// existing one's quota to the size that was asked for, larger or smaller. So each
// client waits for its turn, looks, and only then creates; and should another
// program do so in between, its quota stays.
func (c *connection) CreateSubvolume(ctx context.Context, spec ceph.SubvolumeSpec, layout ceph.SubvolumeLayout) (ceph.Subvolume, error) {
	made, err := managed(ctx, c, func(ctx context.Context, f filesystems) (ceph.Subvolume, error) {
		return f.create(ctx, spec, layout)
	})
	if err != nil {
		return ceph.Subvolume{}, fmt.Errorf("create subvolume %q: %w", spec, err)
	}
	return made, nil
}

func (f filesystems) create(ctx context.Context, spec ceph.SubvolumeSpec, layout ceph.SubvolumeLayout) (ceph.Subvolume, error) {
	in, err := filesystem(f.rados, spec.Filesystem)
	if err != nil {
		return ceph.Subvolume{}, err
	}
	if err := f.checkAbsent(spec); err != nil {
		return ceph.Subvolume{}, err
	}
	if layout.DataPool != "" && !slices.Contains(in.DataPools, layout.DataPool) {
		return ceph.Subvolume{}, fmt.Errorf("data pool %q: %w", layout.DataPool, ceph.ErrPoolNotFound)
	}
	turn, err := f.awaitTurn(ctx, in.MetadataPool, spec)
	if err != nil {
		return ceph.Subvolume{}, err
	}
	defer turn.end()
	if err := f.checkAbsent(spec); err != nil {
		return ceph.Subvolume{}, err
	}
	options := &admin.SubVolumeOptions{Mode: subvolumeMode, PoolLayout: layout.DataPool}
	create := func() error {
		return turn.change(ctx, func() error {
			return f.admin.CreateSubVolume(spec.Filesystem, spec.Group, spec.Name, options)
		})
	}
	err = create()
	if errno(err) == enoent {
		// Not before: creating a group that exists sets its owner and mode.
		if err = turn.change(ctx, func() error {
			return f.admin.CreateSubVolumeGroup(spec.Filesystem, spec.Group, nil)
		}); err == nil {
			err = create()
		}
	}
	if err != nil {
		return ceph.Subvolume{}, translate(err, nil)
	}
	made, err := f.lookup(spec)
	if err != nil || made.Size >= layout.Size {
		return made, err
	}
	if err := f.resize(ctx, turn, spec, layout.Size); err != nil {
		return ceph.Subvolume{}, err
	}
	return f.lookup(spec)
}

// checkAbsent returns ErrSubvolumeExists when there is a subvolume.
func (f filesystems) checkAbsent(spec ceph.SubvolumeSpec) error {
	_, err := f.lookup(spec)
	switch {
	case err == nil:
		return ceph.ErrSubvolumeExists
	case errors.Is(err, ceph.ErrSubvolumeNotFound):
		return nil
	}
	return err
}

func (c *connection) GrowSubvolume(ctx context.Context, spec ceph.SubvolumeSpec, size uint64) error {
	_, err := managed(ctx, c, func(ctx context.Context, f filesystems) (struct{}, error) {
		return struct{}{}, f.grow(ctx, spec, size)
	})
	if err != nil {
		return fmt.Errorf("grow subvolume %q: %w", spec, err)
	}
	return nil
}

func (f filesystems) grow(ctx context.Context, spec ceph.SubvolumeSpec, size uint64) error {
	found, err := f.lookup(spec)
	if err != nil {
		return err
	}
	if done, err := compareQuota(found, size); done {
		return err
	}
	in, err := filesystem(f.rados, spec.Filesystem)
	if err != nil {
		return err
	}
	turn, err := f.awaitTurn(ctx, in.MetadataPool, spec)
	if err != nil {
		return err
	}
	defer turn.end()
	// Whoever had the turn before may have changed the size.
	if found, err = f.lookup(spec); err != nil {
		return err
	}
	if done, err := compareQuota(found, size); done {
		return err
	}
	return f.resize(ctx, turn, spec, size)
}

// resize sets the quota. The manager compares it with the bytes in use only, and
// not with the quota that there is.
func (f filesystems) resize(ctx context.Context, turn *turn, spec ceph.SubvolumeSpec, size uint64) error {
	const noShrink = true
	return translate(turn.change(ctx, func() error {
		_, err := f.admin.ResizeSubVolume(spec.Filesystem, spec.Group, spec.Name, admin.ByteCount(size), noShrink)
		return err
	}), meanings{
		enoent: ceph.ErrSubvolumeNotFound,
		einval: ceph.ErrSubvolumeShrinks,
	})
}

// compareQuota reports whether there is nothing to do for a subvolume that should
// have that quota, and why.
func compareQuota(subvolume ceph.Subvolume, size uint64) (done bool, err error) {
	switch {
	case subvolume.Size > size:
		return true, fmt.Errorf("from %d to %d bytes: %w", subvolume.Size, size, ceph.ErrSubvolumeShrinks)
	case subvolume.Size == size:
		return true, nil
	}
	return false, nil
}
