package postrender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Images makes sure that the images exist, or on CephFS classes the subvolumes, that
// plans are about. Results are in the order of the plans; notes are for people.
type Images interface {
	Ensure(ctx context.Context, plans []staticpv.Plan) (results []provision.Result, notes []string)
}

// ensure asks for the images of all pairs.
func (p *planner) ensure(ctx context.Context, images Images) error {
	plans := make([]staticpv.Plan, len(p.pairs))
	for i, pair := range p.pairs {
		plans[i] = pair.plan
	}
	results, notes := images.Ensure(ctx, plans)
	seen := map[string]bool{}
	for i, result := range results {
		pair := p.pairs[i]
		pair.made = result
		if result.Err == nil {
			continue
		}
		if key := sharedCause(pair, result.Err); !seen[key] {
			seen[key] = true
			p.mistakes = append(p.mistakes, Mistake{pair.label, locate(pair, result.Err)})
		}
	}
	p.notes = notes
	if err := p.mistakes.err(); err != nil {
		if len(notes) > 0 {
			return fmt.Errorf("%w\n%s before that; nothing is rolled back, and running the same command again continues", err, strings.Join(notes, "; "))
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
		if pair.plan.Class.CephFS == nil || !claims.SingleWriter(pair.claim.Spec.AccessModes) {
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
			return p.plan.Class.Name + ": " + cause.Error()
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
	case errors.Is(err, errAdoption), errors.Is(err, provision.ErrInUse), errors.Is(err, provision.ErrTwo):
		path = claims.AnnotationPath(p.path, annotations.Adopt)
	case errors.Is(err, provision.ErrMode), errors.Is(err, provision.ErrNoLock):
		path = claims.ClassPath(p.claim, p.path)
		if _, ok := p.claim.Annotations[annotations.Exclusive]; ok {
			path = claims.AnnotationPath(p.path, annotations.Exclusive)
		}
	case errors.Is(err, provision.ErrKeyed), errors.Is(err, provision.ErrNoKey):
		if _, ok := p.claim.Annotations[annotations.Keyed]; !ok {
			return err
		}
		path = claims.AnnotationPath(p.path, annotations.Keyed)
	case errors.Is(err, provision.ErrCannotStage):
		path = claims.SizePath(p.path)
		if slices.Contains(p.claim.Spec.AccessModes, corev1.ReadOnlyMany) {
			path = claims.ModesPath(p.path)
		}
	default:
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
