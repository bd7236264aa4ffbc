package cephtest

import (
	"context"
	"fmt"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Filesystem is a CephFS file system and what is in it at the start.
type Filesystem struct {
	Name string
	// DataPools are its data pools, besides the default one.
	DataPools []string
	// Subvolumes exist already, and so do their groups.
	Subvolumes []Subvolume
}

// Subvolume is a subvolume that exists already.
type Subvolume struct {
	Group, Name string
	// Size is the quota. Zero: there is none.
	Size uint64
	// ClaimSize is the size in the subvolume's record. Zero: there is no record.
	ClaimSize uint64
}

type filesystem struct {
	dataPools  []string
	subvolumes map[ceph.SubvolumeSpec]*subvolume
	records    map[string]object
}

type subvolume struct {
	path   string
	layout ceph.SubvolumeLayout
}

// AddFilesystem makes a file system.
func (c *Ceph) AddFilesystem(f Filesystem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	added := &filesystem{f.DataPools, map[ceph.SubvolumeSpec]*subvolume{}, map[string]object{}}
	c.filesystems[f.Name] = added
	for _, s := range f.Subvolumes {
		made := c.addSubvolume(added, ceph.SubvolumeSpec{Filesystem: f.Name, Group: s.Group, Name: s.Name}, ceph.SubvolumeLayout{Size: s.Size})
		if s.ClaimSize != 0 {
			record := ceph.Record{Token: c.token(), ClaimSize: s.ClaimSize}
			added.records[ceph.SubvolumeRecordObject(made.path)] = object{record.Encode(), c.next()}
		}
	}
}

// RemoveSubvolume does what `ceph fs subvolume rm` does. The record stays.
func (c *Ceph) RemoveSubvolume(spec ceph.SubvolumeSpec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.filesystems[spec.Filesystem].subvolumes, spec)
}

// SetSubvolumeQuota sets the quota of a subvolume to any size; zero takes it
// away.
func (c *Ceph) SetSubvolumeQuota(spec ceph.SubvolumeSpec, size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filesystems[spec.Filesystem].subvolumes[spec].layout.Size = size
}

// SubvolumeLayout is the layout of a subvolume.
func (c *Ceph) SubvolumeLayout(spec ceph.SubvolumeSpec) ceph.SubvolumeLayout {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.filesystems[spec.Filesystem].subvolumes[spec].layout
}

// WriteSubvolumeRecord overwrites the stored bytes of a subvolume's record.
func (c *Ceph) WriteSubvolumeRecord(subvolume ceph.Subvolume, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filesystems[subvolume.Filesystem].records[ceph.SubvolumeRecordObject(subvolume.Path)] = object{data, c.next()}
}

func (c *client) Subvolume(ctx context.Context, spec ceph.SubvolumeSpec) (ceph.Subvolume, error) {
	return do(ctx, c, Call{Method: "Subvolume", Subvolume: spec}, Observer, func() (ceph.Subvolume, error) {
		found, err := c.ceph.findSubvolume(spec)
		if err != nil {
			return ceph.Subvolume{}, err
		}
		return found.describe(spec), nil
	})
}

func (c *client) CreateSubvolume(ctx context.Context, spec ceph.SubvolumeSpec, layout ceph.SubvolumeLayout) (ceph.Subvolume, error) {
	return do(ctx, c, Call{Method: "CreateSubvolume", Subvolume: spec}, Provisioner, func() (ceph.Subvolume, error) {
		in := c.ceph.filesystems[spec.Filesystem]
		if in.subvolumes[spec] != nil {
			return ceph.Subvolume{}, ceph.ErrSubvolumeExists
		}
		if layout.DataPool != "" && !slices.Contains(in.dataPools, layout.DataPool) {
			return ceph.Subvolume{}, fmt.Errorf("data pool %q: %w", layout.DataPool, ceph.ErrPoolNotFound)
		}
		return c.ceph.addSubvolume(in, spec, layout).describe(spec), nil
	})
}

func (c *client) GrowSubvolume(ctx context.Context, spec ceph.SubvolumeSpec, size uint64) error {
	_, err := do(ctx, c, Call{Method: "GrowSubvolume", Subvolume: spec}, Provisioner, func() (struct{}, error) {
		found, err := c.ceph.findSubvolume(spec)
		if err != nil {
			return struct{}{}, err
		}
		if found.layout.Size > size {
			return struct{}{}, fmt.Errorf("from %d to %d bytes: %w", found.layout.Size, size, ceph.ErrSubvolumeShrinks)
		}
		found.layout.Size = size
		return struct{}{}, nil
	})
	return err
}

func (c *client) SubvolumeRecord(ctx context.Context, subvolume ceph.Subvolume) (ceph.Record, error) {
	return do(ctx, c, Call{Method: "SubvolumeRecord", Subvolume: subvolume.SubvolumeSpec}, Observer, func() (ceph.Record, error) {
		return readRecord(c.ceph.filesystems[subvolume.Filesystem].records, ceph.SubvolumeRecordObject(subvolume.Path))
	})
}

func (c *client) PutSubvolumeRecord(ctx context.Context, subvolume ceph.Subvolume, record ceph.Record) (ceph.Record, error) {
	return do(ctx, c, Call{Method: "PutSubvolumeRecord", Subvolume: subvolume.SubvolumeSpec}, Operator, func() (ceph.Record, error) {
		return c.ceph.putRecord(c.ceph.filesystems[subvolume.Filesystem].records, ceph.SubvolumeRecordObject(subvolume.Path), record)
	})
}

func (c *Ceph) findSubvolume(spec ceph.SubvolumeSpec) (*subvolume, error) {
	found := c.filesystems[spec.Filesystem].subvolumes[spec]
	if found == nil {
		return nil, ceph.ErrSubvolumeNotFound
	}
	return found, nil
}

func (c *Ceph) addSubvolume(to *filesystem, spec ceph.SubvolumeSpec, layout ceph.SubvolumeLayout) *subvolume {
	path := fmt.Sprintf("/volumes/%s/%s/00000000-0000-4000-8000-%012x", spec.Group, spec.Name, c.next())
	made := &subvolume{path, layout}
	to.subvolumes[spec] = made
	return made
}

func (s *subvolume) describe(spec ceph.SubvolumeSpec) ceph.Subvolume {
	return ceph.Subvolume{SubvolumeSpec: spec, Path: s.path, Size: s.layout.Size}
}
