//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// imageKey is before an image's name in the pool's directory; the value is its id.
	imageKey = "name_"
	// recordPage is how many entries of the directory are read at a time, with the
	// records of their images. Each page is a call with a bound of its own, so that
	// many images do not make one call long.
	recordPage = 100
	// recordReaders is how many records of a page are read at a time: on a network, one after
	// the other would take a round trip for each.
	recordReaders = 16
)

func (c *connection) Records(ctx context.Context, pool, namespace string) ([]ceph.RecordOf, error) {
	spec := ceph.ImageSpec{Pool: pool, Namespace: namespace}
	var records []ceph.RecordOf
	for last := ""; ; {
		page, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (page, error) {
			if last == "" {
				if err := c.checkNamespace(spec); err != nil {
					return page{}, err
				}
			}
			return c.readPage(ctx, ioctx, spec, last)
		})
		if err != nil {
			return nil, fmt.Errorf("list the records of pool %q, rados namespace %q: %w", pool, namespace, err)
		}
		records = append(records, page.records...)
		if page.last == "" {
			return records, nil
		}
		last = page.last
	}
}

// page is a part of the records. last is the key that the next part begins after; empty
// if there is none.
type page struct {
	records []ceph.RecordOf
	last    string
}

// readPage reads the records of the next images after a key of the directory, which has
// them in the order of their names.
func (c *connection) readPage(ctx context.Context, ioctx *rados.IOContext, spec ceph.ImageSpec, after string) (page, error) {
	entries, err := ioctx.GetOmapValues(directoryObject, after, imageKey, recordPage)
	if errno(err) == enoent {
		return page{}, nil // the directory is made with the first image
	}
	if err != nil {
		return page{}, translate(err, nil)
	}
	keys := slices.Sorted(maps.Keys(entries))
	found := make([]*ceph.RecordOf, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(recordReaders)
	for i, key := range keys {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err // the caller has left, or another one failed
			}
			// An IOContext has the version of one object, that which was read last.
			own, err := c.open(spec.Pool)
			if err != nil {
				return err
			}
			defer own.Destroy()
			own.SetNamespace(spec.Namespace)
			record, err := readRecordOf(own, spec, key, entries[key])
			found[i] = record
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return page{}, err
	}
	var read page
	for _, of := range found {
		if of != nil {
			read.records = append(read.records, *of)
		}
	}
	if len(keys) == recordPage {
		read.last = keys[len(keys)-1]
	}
	return read, nil
}

// readRecordOf reads the record of the image of an entry of the directory, nil if it has none.
func readRecordOf(ioctx *rados.IOContext, spec ceph.ImageSpec, key string, value []byte) (*ceph.RecordOf, error) {
	id, err := decodeString(value)
	if err != nil {
		return nil, err
	}
	spec.Name, spec.Key = key[len(imageKey):], ""
	record, err := readRecord(ioctx, ceph.RecordObject(id))
	switch {
	case errors.Is(err, ceph.ErrRecordNotFound):
		return nil, nil
	case err == nil, errors.Is(err, ceph.ErrRecordUnknown):
		if record.Keyed {
			spec.Name, spec.Key = ceph.SplitName(spec.Name)
		}
		return &ceph.RecordOf{Image: spec, Record: record, Err: err}, nil
	default:
		return nil, fmt.Errorf("image %q: %w", spec, err)
	}
}

func (c *connection) Daemons(ctx context.Context) ([]ceph.Daemon, error) {
	var all []ceph.Daemon
	for _, dump := range dumps {
		answer, err := c.monCommand(ctx, map[string]string{"prefix": dump.command, "format": "json"})
		if dump.optional && errors.Is(err, ceph.ErrPermission) {
			continue
		}
		if err == nil {
			var found []ceph.Daemon
			found, err = dump.parse(answer)
			all = append(all, found...)
		}
		if err != nil {
			return nil, fmt.Errorf("find the machines of ceph, %s: %w", dump.command, err)
		}
	}
	return sortDaemons(all), nil
}
