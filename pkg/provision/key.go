package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Errors about keys, for errors.Is.
var (
	// ErrKeyed means that the image is keyed and the request's is not to be, or the other
	// way round.
	ErrKeyed = errors.New("whether an image is keyed is decided when it is made")
	// ErrNoKey means that the image is keyed, or is to be, and who asks has no key for it.
	ErrNoKey = errors.New("there is no key for the image")
)

// decideKey returns the request's key if the image is keyed, and nothing if it has one
// name whoever owns it. seen is nil when there is no volume.
//
//	volume   record      asks for a key   key          result
//	none     -           no               any          not keyed
//	none     -           yes              none         ErrNoKey
//	none     -           -                none         not keyed; ErrNoKey if NoKey says so
//	none     -           yes, -           there        keyed
//	none     -           a look           any          not keyed
//	old name not keyed   no               any          not keyed
//	old name not keyed   yes, -           none         ErrNoKey
//	old name not keyed   yes, -           there        keyed
//	new      none        any              any          the same: somebody else made it during this call
//	exists   none, not   yes              any          ErrKeyed
//	exists   none, not   no, -            any          not keyed
//	exists   keyed       no               any          ErrKeyed
//	exists   keyed       yes, -           none         ErrNoKey
//	exists   keyed       yes, -           there        keyed
//
// An image with its old name that is keyed already is as any other: its renaming died.
// Subvolumes are never keyed.
func decideKey(request Request, seen *found) (string, error) {
	if request.Volume.kind() != (Image{}).kind() {
		return "", nil
	}
	asked, keyed := request.Keyed, false
	switch {
	case becomesKeyed(request, seen):
		keyed = true
	case seen != nil && seen.misnamed && !isKeyed(seen):
	case seen != nil && (seen.record != nil || !seen.fresh):
		keyed = isKeyed(seen)
		if asked != nil && *asked != keyed {
			return "", fmt.Errorf("%w: %s", ErrKeyed, describeKeyed(request.Volume, keyed))
		}
	case request.Look:
	case asked != nil:
		keyed = *asked
	default:
		keyed = request.Key != "" || request.NoKey != nil || request.OldName != ""
	}
	switch {
	case !keyed:
		return "", nil
	case request.Key != "":
		return request.Key, nil
	case request.NoKey != nil:
		return "", fmt.Errorf("%w: %w", ErrNoKey, request.NoKey)
	case request.OldName != "" && (seen == nil || becomesKeyed(request, seen)):
		return "", fmt.Errorf("%w: image %s must carry the name of the cluster that owns it when it is adopted; "+
			"render with --create client --cluster-name NAME, the name that the chart cephferry has as cluster.name here, or with --create cluster where its value provisioner.keyed is true; "+
			"or write %s: \"false\" for an image that gets its new name and no key", ErrNoKey, request.Volume, annotations.Keyed)
	default:
		return "", fmt.Errorf("%w: image %s is keyed, so its PersistentVolume has to say for which cluster it is; "+
			"render with --create client --cluster-name NAME, the name that the chart cephferry has as cluster.name here", ErrNoKey, request.Volume)
	}
}

func isKeyed(seen *found) bool { return seen.record != nil && seen.record.Keyed }

// becomesKeyed reports whether an image that exists, and is not keyed, becomes so: one that is
// adopted and gets another name, unless the claim asks for one that is not.
func becomesKeyed(request Request, seen *found) bool {
	return seen != nil && seen.misnamed && !isKeyed(seen) && (request.Keyed == nil || *request.Keyed)
}

// NewKey is the key that an image would get that is made now, if any.
func (r Request) NewKey() (string, error) { return decideKey(r, nil) }

// checkKeys returns [ErrNoKey] if an image that is to be keyed now could never carry the key of
// another cluster on its Ceph. One that is keyed already is not looked at: it works where its
// name fits, and a move says where it does not.
func checkKeys(ctx context.Context, r Request, seen *found) error {
	image, ok := r.Volume.(Image)
	if !ok || seen != nil && !becomesKeyed(r, seen) {
		return nil
	}
	keys, err := image.Cluster.Keys(ctx, image.Pool, image.Namespace)
	if err != nil {
		return fmt.Errorf("read the keys of all clusters: %w", err)
	}
	return fitsKeys(r.Claim, image.Name, keys)
}

// fitsKeys returns [ErrNoKey] if the claim's image cannot carry its name with one of the keys.
func fitsKeys(claim, image string, keys []ceph.Key) error {
	why := staticpv.TooLong(image, keys)
	if why == "" {
		return nil
	}
	return fmt.Errorf("%w: claim %s: %s; choose a shorter name with the annotation %s, or a new image without keys with %s: \"false\"",
		ErrNoKey, claim, why, annotations.Image, annotations.Keyed)
}

func describeKeyed(volume Volume, keyed bool) string {
	is, wants := "has one name for all clusters", "carries its owner's"
	if keyed {
		is, wants = "carries its owner's name", "does not"
	}
	return fmt.Sprintf("image %s %s, and this claim asks for one that %s; leave the annotation %s out", volume, is, wants, annotations.Keyed)
}
