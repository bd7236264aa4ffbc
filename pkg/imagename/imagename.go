package imagename

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Ceph is the part of ceph.Cluster that this package uses.
type Ceph interface {
	ceph.ImageReader
	ceph.ImageRenamer
	ceph.LockReader
	ceph.KeyStore
	ceph.Fencer
}

const (
	// settleLimit is far more than a rename takes, which is some ten milliseconds.
	settleLimit = time.Second
	settlePoll  = 20 * time.Millisecond
	// namesAtOnce is how many names are looked at at a time.
	namesAtOnce = 8
)

// Refusal is why an image cannot get a cluster's name. Nothing was changed.
type Refusal struct {
	What string
	// Do is the next step.
	Do string
}

func (r *Refusal) Error() string { return r.What + "\n  do this   " + r.Do }

// All are the names that the image may carry: the base name, and one for each cluster that
// has a key beside it. A cluster has its key before it owns the first image, so who reads
// the record first finds the owner's among them.
func All(ctx context.Context, storage ceph.KeyStore, image ceph.ImageSpec) ([]string, error) {
	keys, err := storage.Keys(ctx, image.Pool, image.Namespace)
	if err != nil {
		return nil, err
	}
	all := []string{image.Name}
	for _, key := range keys {
		all = append(all, ceph.JoinName(image.Name, key.Name))
	}
	return all, nil
}

// Take gives an image that the record says is the cluster's the name with the key in
// image, and takes away every other one. renamers are the client instances that the record
// names, self among them. It also returns who has the image's lock after that, if anybody
// has and is not fenced for good: a client that does not answer is no watcher. It returns a
// [*Refusal] if the key is not the cluster's, or if there is another image under one of the
// names, and the errors of [ceph.ImageRenamer].
func Take(ctx context.Context, storage Ceph, image ceph.Image, cluster ceph.Party, renamers []string, self string) (ceph.Image, *ceph.LockedError, error) {
	if err := CheckKey(ctx, storage, image.ImageSpec, cluster); err != nil {
		return ceph.Image{}, nil, err
	}
	all, err := All(ctx, storage, image.ImageSpec)
	if err != nil {
		return ceph.Image{}, nil, err
	}
	others := slices.DeleteFunc(slices.Clone(renamers), func(r string) bool { return r == self })
	renamed, err := rename(ctx, storage, image, all, others)
	if err == nil {
		err = alone(ctx, storage, renamed, all)
	}
	if err != nil {
		return ceph.Image{}, nil, err
	}
	holder, err := storage.LockHolder(ctx, renamed.ImageSpec)
	if err == nil && holder != nil && !holder.Answers {
		var over bool
		if over, err = isOver(ctx, storage, renamed.ImageSpec, holder, others); over {
			holder = nil
		}
	}
	return renamed, holder, err
}

// isOver reports whether a silent client that has the image's lock is fenced for good, and so
// loses it to whoever maps the image. It fences one that died while it renamed.
func isOver(ctx context.Context, storage Ceph, image ceph.ImageSpec, holder *ceph.LockedError, others []string) (bool, error) {
	if !died(holder, others) {
		if fenced, err := IsFenced(ctx, storage, holder.Addr); err != nil || !fenced {
			return false, err
		}
	}
	// One that ends early cannot be prolonged.
	err := CutOff(ctx, storage, image, []string{holder.Addr})
	if errors.Is(err, ceph.ErrFenceShort) {
		return false, nil
	}
	return err == nil, err
}

// IsFenced reports whether an entry of the blocklist covers the client, for however long.
func IsFenced(ctx context.Context, storage ceph.Fencer, addr string) (bool, error) {
	entries, err := storage.Blocklisted(ctx)
	return slices.ContainsFunc(entries, func(e ceph.BlocklistEntry) bool { return e.Covers(addr) }), err
}

// died reports whether the image's lock is held by another instance of this cluster that
// does not answer any more, since it renamed. Whoever takes the lock over makes Ceph fence it
// for an hour, and an entry of an hour cannot be prolonged: until that is over, nobody
// could be sure of it, and the image could not be released. So it is fenced for good before.
func died(holder *ceph.LockedError, others []string) bool {
	return holder != nil && !holder.Answers && slices.Contains(others, holder.Addr)
}

// rename leaves to another instance of this cluster what that has begun, as long as it goes
// on. One that has stopped is fenced before its work is mended: it could go on where it was.
func rename(ctx context.Context, storage Ceph, image ceph.Image, all, others []string) (ceph.Image, error) {
	if len(others) > 0 {
		settled, err := settle(ctx, storage, image, all)
		if err == nil && !settled {
			err = CutOff(ctx, storage, image.ImageSpec, others)
		}
		if err == nil && settled {
			err = cutDead(ctx, storage, image.ImageSpec, others)
		}
		if err != nil {
			return ceph.Image{}, err
		}
	}
	return storage.RenameImage(ctx, image, image.Own(), all...)
}

// cutDead fences who died with the image's lock while it renamed.
func cutDead(ctx context.Context, storage Ceph, image ceph.ImageSpec, others []string) error {
	holder, err := storage.LockHolder(ctx, image)
	if err != nil || !died(holder, others) {
		return err
	}
	return CutOff(ctx, storage, image, []string{holder.Addr})
}

// settle waits while a rename is half done and may go on, and reports whether it is over.
func settle(ctx context.Context, storage Ceph, image ceph.Image, all []string) (bool, error) {
	var found []string
	err := wait.PollUntilContextTimeout(ctx, settlePoll, settleLimit, true, func(ctx context.Context) (bool, error) {
		var err error
		found, err = storage.ImageNames(ctx, image, all...)
		return len(found) == 1, err
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// alone is the error if another image has one of the names: somebody has made it anew while
// the one with the data bore a cluster's name.
func alone(ctx context.Context, storage Ceph, image ceph.Image, all []string) error {
	var looks errgroup.Group
	looks.SetLimit(namesAtOnce)
	for _, name := range all {
		if name == image.Own() {
			continue
		}
		looks.Go(func() error { return vacant(ctx, storage, image, name) })
	}
	return looks.Wait()
}

// vacant is the error if there is an image with exactly that name.
func vacant(ctx context.Context, storage Ceph, image ceph.Image, name string) error {
	other, err := storage.Image(ctx, ceph.ImageSpec{Pool: image.Pool, Namespace: image.Namespace, Name: name})
	switch {
	case errors.Is(err, ceph.ErrImageNotFound):
		return nil
	case err != nil:
		return err
	case other.ID == image.ID:
		return fmt.Errorf("image %s has the name %s yet: %w", image.ImageSpec, name, ceph.ErrImageRenamed)
	default:
		return &Refusal{
			What: fmt.Sprintf("there are two images of that name: %s with the id %s, and %s with the id %s", image.Own(), image.ID, name, other.ID),
			Do:   "find out which one has the data, and give the other one a name of its own with `rbd rename`",
		}
	}
}

// ClaimKey returns the cluster's key where the image is, and claims one if it has none. It
// returns a [*Refusal] if another cluster has that.
func ClaimKey(ctx context.Context, storage ceph.KeyStore, image ceph.ImageSpec, cluster ceph.Party) (string, error) {
	key, err := storage.ClaimKey(ctx, image.Pool, image.Namespace, cluster)
	var taken *ceph.KeyTakenError
	if errors.As(err, &taken) {
		return "", &Refusal{
			What: fmt.Sprintf("another cluster (uid %s) is called %q too, and was first", taken.UID, taken.Key),
			Do:   "give this cluster another name, with the value cluster.name of the chart",
		}
	}
	return key, err
}

// CheckKey returns a [*Refusal] unless the key in image is the cluster's, which claims it
// if it has none.
func CheckKey(ctx context.Context, storage ceph.KeyStore, image ceph.ImageSpec, cluster ceph.Party) error {
	key, err := ClaimKey(ctx, storage, image, cluster)
	switch {
	case err != nil:
		return err
	case key != image.Key:
		return &Refusal{
			What: fmt.Sprintf("the volumeHandle %q has the key %q, and that of cluster %s is %q", image.Own(), image.Key, cluster.Name, key),
			Do:   "delete the PersistentVolume and let it be created again in this cluster",
		}
	}
	return nil
}

// GiveBack gives an image that nobody owns its base name again, if it has this cluster's.
// Whoever acquires it renames it from any name; this one tells people.
func GiveBack(ctx context.Context, storage Ceph, image ceph.Image) error {
	if image.Key == "" || image.Named != image.Own() {
		return nil
	}
	all, err := All(ctx, storage, image.ImageSpec)
	if err != nil {
		return err
	}
	_, err = storage.RenameImageFrom(ctx, image, image.Own(), image.Name, all...)
	if errors.Is(err, ceph.ErrImageRenamed) || errors.Is(err, ceph.ErrImageNotFound) {
		return nil // somebody else has acquired it
	}
	return err
}

// CutOff puts those that may be renaming the image on the blocklist, before it gets another
// owner.
func CutOff(ctx context.Context, storage ceph.Fencer, image ceph.ImageSpec, renamers []string) error {
	if len(renamers) == 0 {
		return nil
	}
	if err := storage.Blocklist(ctx, renamers, ceph.MaxFence); err != nil {
		return fmt.Errorf("fence who may be renaming image %s: %w", image, err)
	}
	return storage.Barrier(ctx, image)
}
