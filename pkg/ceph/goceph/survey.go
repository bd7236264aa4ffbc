//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// imageKey is before an image's name in the pool's directory; the value is its id.
	imageKey = "name_"
	// imagePage is how many entries of the directory are read at a time.
	imagePage = 1000
)

func (c *connection) Records(ctx context.Context, pool, namespace string) ([]ceph.RecordOf, error) {
	spec := ceph.ImageSpec{Pool: pool, Namespace: namespace}
	records, err := do(ctx, c, spec, func(ioctx *rados.IOContext) ([]ceph.RecordOf, error) {
		if err := c.checkNamespace(spec); err != nil {
			return nil, err
		}
		ids, err := listImages(ioctx)
		if err != nil {
			return nil, err
		}
		var records []ceph.RecordOf
		for _, name := range slices.Sorted(maps.Keys(ids)) {
			spec.Name = name
			record, err := readRecord(ioctx, ceph.RecordObject(ids[name]))
			switch {
			case errors.Is(err, ceph.ErrRecordNotFound):
			case err == nil, errors.Is(err, ceph.ErrRecordUnknown):
				records = append(records, ceph.RecordOf{Image: spec, Record: record, Err: err})
			default:
				return nil, fmt.Errorf("image %q: %w", spec, err)
			}
			if err := ctx.Err(); err != nil {
				return nil, err // the caller has left
			}
		}
		return records, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the records of pool %q, rados namespace %q: %w", pool, namespace, err)
	}
	return records, nil
}

// listImages returns the ids of images by their names.
func listImages(ioctx *rados.IOContext) (map[string]string, error) {
	ids := map[string]string{}
	for last := ""; ; {
		page, err := ioctx.GetOmapValues(directoryObject, last, imageKey, imagePage)
		if errno(err) == enoent {
			return ids, nil // the directory is made with the first image
		}
		if err != nil {
			return nil, translate(err, nil)
		}
		for key, value := range page {
			if ids[key[len(imageKey):]], err = decodeString(value); err != nil {
				return nil, err
			}
			last = max(last, key)
		}
		if len(page) < imagePage {
			return ids, nil
		}
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
