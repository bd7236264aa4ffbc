package postrender

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Image is one image that the pairs need.
type Image struct {
	Class storageclass.Class
	Name  string
	// Size is the claim's request in bytes.
	Size uint64
	// Adopt means that the image must exist.
	Adopt bool
	// Look means that only the recorded size is asked for.
	Look bool
}

// Outcome is what became of one Image.
type Outcome struct {
	// ClaimSize in bytes is what PV and PVC keep; 0 leaves the claim's request.
	ClaimSize uint64
	Err       error
}

// Images makes sure that images exist. Outcomes are in the order of the images;
// notes are for people.
type Images interface {
	Ensure(ctx context.Context, images []Image) (outcomes []Outcome, notes []string)
}

// Untouched connects to nothing: for dry runs, and for images that somebody else
// makes. Every claim keeps its request.
type Untouched struct{}

// Ensure implements [Images].
func (Untouched) Ensure(_ context.Context, images []Image) ([]Outcome, []string) {
	return make([]Outcome, len(images)), nil
}

// Provisioned makes images in Ceph.
type Provisioned struct {
	// Connect returns the cluster behind the class, and the rados namespace its
	// images live in. It is called once per class.
	Connect func(ctx context.Context, class storageclass.Class) (cluster provision.ImageCluster, radosNamespace string, err error)
}

// Ensure implements [Images].
func (p Provisioned) Ensure(ctx context.Context, images []Image) ([]Outcome, []string) {
	type target struct {
		cluster        provision.ImageCluster
		radosNamespace string
		err            error
	}
	targets := map[string]target{}
	outcomes := make([]Outcome, len(images))
	requests := make([]provision.Request, len(images))
	refused := false
	for i, image := range images {
		to, ok := targets[image.Class.Name]
		if !ok {
			to.cluster, to.radosNamespace, to.err = p.Connect(ctx, image.Class)
			targets[image.Class.Name] = to
		}
		if to.err != nil {
			outcomes[i].Err = fmt.Errorf("connect to the Ceph cluster of class %q: %w", image.Class.Name, to.err)
			refused = true
			continue
		}
		requests[i] = provision.Request{
			Volume: provision.Image{
				Cluster:   to.cluster,
				ImageSpec: ceph.ImageSpec{Pool: image.Class.RBD.Pool, Namespace: to.radosNamespace, Name: image.Name},
				Layout:    image.Class.RBD.Layout,
			},
			Size:  image.Size,
			Adopt: image.Adopt,
			Look:  image.Look,
		}
	}
	if refused {
		return outcomes, nil
	}
	results := provision.Ensure(ctx, requests)
	for i, result := range results {
		outcomes[i] = Outcome{result.ClaimSize, result.Err}
	}
	return outcomes, provision.Summary(requests, results)
}

// ensure asks for the images of all pairs and notes the sizes that claims keep.
func (p *planner) ensure(ctx context.Context, images Images) error {
	wanted := make([]Image, len(p.pairs))
	for i, pair := range p.pairs {
		request := pair.request()
		wanted[i] = Image{*pair.class, pair.image, uint64(request.Value()), pair.adopt, pair.look}
	}
	outcomes, notes := images.Ensure(ctx, wanted)
	seen := map[string]bool{}
	for i, outcome := range outcomes {
		pair := p.pairs[i]
		pair.size = outcome.ClaimSize
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
	return nil
}

// sharedCause is equal for errors that are reported once: a cluster that does not
// answer, or a pool that does not exist, fails all images of a class alike.
func sharedCause(p *pair, err error) string {
	for _, cause := range []error{
		ceph.ErrUnreachable, ceph.ErrBlocklisted, ceph.ErrPermission,
		ceph.ErrPoolNotFound, ceph.ErrNamespaceNotFound, ceph.ErrPoolFull,
	} {
		if errors.Is(err, cause) {
			return p.class.Name + ": " + cause.Error()
		}
	}
	return err.Error()
}

// locate adds the field to an error that the field's value caused.
func locate(p *pair, err error) error {
	if errors.Is(err, provision.ErrBelow) || errors.Is(err, provision.ErrSmaller) {
		return fmt.Errorf("%s: %w", claims.SizePath(p.path), err)
	}
	return err
}
