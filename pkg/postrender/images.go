package postrender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Image is one image, or on a CephFS class one subvolume, that the pairs need.
type Image struct {
	Class storageclass.Class
	Name  string
	// Size is the claim's request in bytes.
	Size uint64
	// Adopt means that the image must exist; the pair takes size and features
	// from it.
	Adopt bool
	// Look means that only the recorded size is asked for.
	Look bool
	// Mapping is what claim and class say of how the image is mapped.
	Mapping staticpv.Mapping
}

// Outcome is what became of one Image.
type Outcome struct {
	// ClaimSize in bytes is what PV and PVC keep; 0 leaves the claim's request.
	ClaimSize uint64
	// Features are those of an adopted image; nil leaves the class's.
	Features []string
	// RootPath is where a subvolume is in its file system.
	RootPath string
	// Exclusive says that clients map the image with krbd's option exclusive.
	Exclusive bool
	Err       error
}

// Images makes sure that images exist. Outcomes are in the order of the images;
// notes are for people.
type Images interface {
	Ensure(ctx context.Context, images []Image) (outcomes []Outcome, notes []string)
}

// ensure asks for the images of all pairs and notes what the pairs take from them.
func (p *planner) ensure(ctx context.Context, images Images) error {
	wanted := make([]Image, len(p.pairs))
	for i, pair := range p.pairs {
		request := pair.request()
		wanted[i] = Image{*pair.class, pair.image, uint64(request.Value()), pair.adopt, pair.look, pair.mapping}
	}
	outcomes, notes := images.Ensure(ctx, wanted)
	seen := map[string]bool{}
	for i, outcome := range outcomes {
		pair := p.pairs[i]
		pair.size, pair.features, pair.rootPath, pair.exclusive = outcome.ClaimSize, outcome.Features, outcome.RootPath, outcome.Exclusive
		if outcome.Err == nil {
			continue
		}
		if key := sharedCause(pair, outcome.Err); !seen[key] {
			seen[key] = true
			p.mistakes = append(p.mistakes, Mistake{pair.label, locate(pair, outcome.Err)})
		}
	}
	p.notes = notes
	if err := p.mistakes.err(); err != nil {
		if len(notes) > 0 {
			return fmt.Errorf("%w\n%s before that; nothing is removed, and the same command continues with the rest", err, strings.Join(notes, "; "))
		}
		return err
	}
	p.notes = append(p.notes, p.unguarded()...)
	return nil
}

// unguarded names the claims that are for one writer, on volumes that are not.
func (p *planner) unguarded() []string {
	var notes []string
	for _, pair := range p.pairs {
		if pair.class.CephFS == nil || !claims.SingleWriter(pair.claim.Spec.AccessModes) {
			continue
		}
		note := fmt.Sprintf("%s: %s: a volume on CephFS is not guarded, and nothing keeps a second cluster from writing to it at the same time", pair.label, child(pair.path, "spec").Child("accessModes"))
		if !slices.Contains(notes, note) { // the ordinals of a template have one
			notes = append(notes, note)
		}
	}
	return notes
}

// sharedCause is equal for errors that are reported once: a cluster that does not
// answer, or a pool that does not exist, fails all images of a class alike.
func sharedCause(p *pair, err error) string {
	for _, cause := range []error{
		ceph.ErrUnreachable, ceph.ErrBlocklisted, ceph.ErrPermission,
		ceph.ErrPoolNotFound, ceph.ErrNamespaceNotFound, ceph.ErrPoolFull, ceph.ErrFilesystemNotFound,
	} {
		if errors.Is(err, cause) {
			return p.class.Name + ": " + cause.Error()
		}
	}
	return err.Error()
}

// locate adds the field to an error that the field's value caused.
func locate(p *pair, err error) error {
	var path *field.Path
	switch {
	case errors.Is(err, provision.ErrBelow), errors.Is(err, provision.ErrSmaller):
		path = claims.SizePath(p.path)
	case errors.Is(err, errAdoption):
		path = claims.AnnotationPath(p.path, annotations.Adopt)
	case errors.Is(err, provision.ErrMode), errors.Is(err, provision.ErrNoLock):
		path = claims.ClassPath(p.claim, p.path)
		if _, ok := p.claim.Annotations[annotations.Exclusive]; ok {
			path = claims.AnnotationPath(p.path, annotations.Exclusive)
		}
	default:
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
