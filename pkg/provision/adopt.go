package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// lookForAdoption is look for an image that has another name until it is adopted. image and
// err are what was found by the name that it gets. A rename that died has left both names.
//
//	new name      old name    the image
//	none          none        does not exist
//	none          there       is misnamed
//	there         none        was adopted before
//	there         the same    is misnamed: renaming died half-way
//	there         another     ErrTwo
func (i Image) lookForAdoption(ctx context.Context, image ceph.Image, err error) (*found, error) {
	there := err == nil
	if !there && !errors.Is(err, ceph.ErrImageNotFound) {
		return nil, err
	}
	old, err := i.Cluster.Image(ctx, ceph.ImageSpec{Pool: i.Pool, Namespace: i.Namespace, Name: i.OldName})
	switch {
	case err != nil && !errors.Is(err, ceph.ErrImageNotFound):
		return nil, err
	case err != nil && !there:
		// It may have got its name between the two looks.
		if image, err = i.named(ctx); errors.Is(err, ceph.ErrImageNotFound) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		return i.adoptedBefore(ctx, image)
	case err != nil:
		return i.adoptedBefore(ctx, image)
	case there && image.ID != old.ID:
		return nil, fmt.Errorf("%w: %s has the id %s, and %s, which is to get that name, has the id %s; find out which one has the data, and give the other one a name of its own with `rbd rename`",
			ErrTwo, image.ImageSpec, image.ID, i.OldName, old.ID)
	}
	old.ImageSpec = i.ImageSpec
	seen, err := i.recorded(ctx, old)
	if err != nil {
		return nil, err
	}
	seen.misnamed = true
	seen.used, err = i.used(ctx, seen.record)
	return seen, err
}

// adoptedBefore is an image with the name that it was to get, while no image has its old one.
// That may be a slip as well: no record says what an image was called.
func (i Image) adoptedBefore(ctx context.Context, image ceph.Image) (*found, error) {
	seen, err := i.recorded(ctx, image)
	if err == nil {
		seen.adopted = true
	}
	return seen, err
}

// used says who uses a misnamed image, empty for nobody. Whoever opens it by its old name
// after this look and before the rename is a watcher, and no pod starts beside one.
func (i Image) used(ctx context.Context, record *ceph.Record) (string, error) {
	if record != nil && record.State != ceph.Free {
		return fmt.Sprintf("it is cluster %s's, for claim %s/%s; release it first", record.Owner.Name, record.Owner.Namespace, record.Owner.Claim), nil
	}
	watchers, err := i.Cluster.Watchers(ctx, ceph.ImageSpec{Pool: i.Pool, Namespace: i.Namespace, Name: i.OldName})
	if errors.Is(err, ceph.ErrImageNotFound) {
		return "", nil // it has got its name meanwhile, as the rename will see
	} else if err != nil || len(watchers) == 0 {
		return "", err
	}
	var open []string
	for _, watcher := range watchers {
		open = append(open, watcher.Addr)
	}
	return "it is open at " + strings.Join(open, ", ") + "; stop what uses it there", nil
}

// adopt makes the record say first what the image is: whoever finds it by its new name then
// finds the record, too. A claim that asks for another name at the same time gets
// ErrImageRenamed, as the image does not have its old one any more.
func (i Image) adopt(ctx context.Context, image ceph.Image, record ceph.Record) (*found, error) {
	keys, err := i.Cluster.Keys(ctx, i.Pool, i.Namespace)
	if err != nil {
		return nil, err
	}
	var others []string
	for _, key := range keys {
		others = append(others, ceph.JoinName(i.Name, key.Name))
	}
	if record, err = i.Cluster.PutRecord(ctx, image, record); err != nil {
		return nil, err
	}
	renamed, err := i.Cluster.RenameImageFrom(ctx, image, i.OldName, i.Name, others...)
	if err != nil {
		return nil, err
	}
	seen := i.found(renamed)
	seen.record = &record
	return seen, nil
}
