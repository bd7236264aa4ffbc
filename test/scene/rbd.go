//go:build lab

package scene

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// What follows is asked of librbd, as the rbd command does it, and not of the product.

// Stored is an image as Ceph has it.
type Stored struct {
	ID       string
	Size     uint64
	Features []string
	// Record is the content of our record, or empty.
	Record string
}

// Names are those of all images in the pool and rados namespace of spec.
func (s *Storage) Names(spec ceph.ImageSpec) (names []string, err error) {
	err = s.in(spec, func(ioctx *rados.IOContext) (err error) {
		names, err = rbd.GetImageNames(ioctx)
		return err
	})
	return names, err
}

// Create makes an image, with rbd's usual features if none are named.
func (s *Storage) Create(spec ceph.ImageSpec, size uint64, features ...string) error {
	return s.in(spec, func(ioctx *rados.IOContext) error {
		options := rbd.NewRbdImageOptions()
		defer options.Destroy()
		if len(features) > 0 {
			if err := options.SetUint64(rbd.ImageOptionFeatures, uint64(rbd.FeatureSetFromNames(features))); err != nil {
				return err
			}
		}
		return rbd.CreateImage(ioctx, spec.Name, size, options)
	})
}

// Stored reads the image that has exactly that name.
func (s *Storage) Stored(spec ceph.ImageSpec) (stored Stored, err error) {
	err = s.opened(spec, func(ioctx *rados.IOContext, image *rbd.Image) error {
		var err error
		if stored.ID, err = image.GetId(); err != nil {
			return err
		}
		if stored.Size, err = image.GetSize(); err != nil {
			return err
		}
		features, err := image.GetFeatures()
		if err != nil {
			return err
		}
		set := rbd.FeatureSet(features)
		stored.Features = set.Names()
		slices.Sort(stored.Features)

		object := ceph.RecordObject(stored.ID)
		stat, err := ioctx.Stat(object)
		if errors.Is(err, rados.ErrNotFound) || err == nil && stat.Size == 0 {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", object, err)
		}
		record := make([]byte, stat.Size)
		read, err := ioctx.Read(object, record, 0)
		stored.Record = string(record[:read])
		return err
	})
	return stored, err
}

// stamps reads them from the image that has exactly that name, which it opens read-only, so that
// this is no watcher.
func (s *Storage) stamps(spec ceph.ImageSpec) (log stamp.Log, err error) {
	err = s.opened(spec, func(_ *rados.IOContext, image *rbd.Image) error {
		size, err := image.GetSize()
		if err != nil {
			return err
		}
		area := make([]byte, stamp.Area(size))
		if _, err := image.ReadAt(area, 0); err != nil {
			return err
		}
		log, err = stamp.Read(area)
		return err
	})
	return log, err
}

// opened calls f with an image that is open read-only.
func (s *Storage) opened(spec ceph.ImageSpec, f func(*rados.IOContext, *rbd.Image) error) error {
	return s.in(spec, func(ioctx *rados.IOContext) error {
		image, err := rbd.OpenImageReadOnly(ioctx, spec.Name, rbd.NoSnapshot)
		if err != nil {
			return err
		}
		return errors.Join(f(ioctx, image), image.Close())
	})
}

// in calls f with an IOContext of the pool and rados namespace of spec.
func (s *Storage) in(spec ceph.ImageSpec, f func(*rados.IOContext) error) error {
	conn, err := s.conn()
	if err != nil {
		return err
	}
	ioctx, err := conn.OpenIOContext(spec.Pool)
	if err != nil {
		return fmt.Errorf("open pool %q: %w", spec.Pool, err)
	}
	defer ioctx.Destroy()
	ioctx.SetNamespace(spec.Namespace)
	if err := f(ioctx); err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	return nil
}

// connect makes a connection as the administrator of s, which waits for Ceph as long as a command
// may.
func (s *Storage) connect() (*rados.Conn, error) {
	conn, err := rados.NewConn()
	if err != nil {
		return nil, err
	}
	if err := conn.ReadConfigFile(s.ConfFile); err != nil {
		return nil, err
	}
	for _, option := range []string{"client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"} {
		if err := conn.SetConfigOption(option, fmt.Sprint(commandLimit.Seconds())); err != nil {
			return nil, fmt.Errorf("set %s: %w", option, err)
		}
	}
	if err := conn.Connect(); err != nil {
		return nil, err
	}
	s.closes(func() error { conn.Shutdown(); return nil })
	return conn, nil
}
