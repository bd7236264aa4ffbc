package postrender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Provisioned makes images in Ceph.
type Provisioned struct {
	// Connect returns where the images of a class live. It is called once per
	// class.
	Connect func(ctx context.Context, class storageclass.Class) (provision.Location, error)
	// Volumes lists the PersistentVolumes of the cluster. It is called only if an
	// image is to be adopted.
	Volumes func(ctx context.Context) ([]corev1.PersistentVolume, error)
}

// errAdoption means that an image cannot be adopted as the cluster is now.
var errAdoption = errors.New("this volume cannot be adopted now")

// Ensure implements [Images].
func (p Provisioned) Ensure(ctx context.Context, images []Image) ([]Outcome, []string) {
	outcomes := p.refuseAdoptions(ctx, images)
	if failed(outcomes) {
		return outcomes, nil
	}
	connect := once(func(name string) (provision.Location, error) {
		i := slices.IndexFunc(images, func(i Image) bool { return i.Class.Name == name })
		return p.Connect(ctx, images[i].Class)
	})
	requests := make([]provision.Request, len(images))
	for i, image := range images {
		at, err := connect(image.Class.Name)
		if err != nil {
			outcomes[i].Err = fmt.Errorf("connect to the Ceph cluster of class %q: %w", image.Class.Name, err)
			continue
		}
		requests[i] = provision.Request{
			Volume: at.Volume(image.Class, image.Name), Size: image.Size, Adopt: image.Adopt, Look: image.Look,
			Exclusive: image.Mapping.Exclusive, NewExclusive: image.Mapping.NewExclusive,
		}
	}
	if failed(outcomes) {
		return outcomes, nil
	}
	results := provision.Ensure(ctx, requests)
	for i, result := range results {
		outcomes[i] = Outcome{ClaimSize: result.ClaimSize, RootPath: result.Path, Exclusive: result.Exclusive, Err: result.Err}
		if images[i].Adopt {
			outcomes[i].Features = result.Features
		}
	}
	return outcomes, provision.Summary(requests, results)
}

func failed(outcomes []Outcome) bool {
	return slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Err != nil })
}

// refuseAdoptions fails for the images that a volume of this cluster stands in the
// way of.
func (p Provisioned) refuseAdoptions(ctx context.Context, images []Image) []Outcome {
	outcomes := make([]Outcome, len(images))
	volumes := once(func(struct{}) ([]corev1.PersistentVolume, error) { return p.Volumes(ctx) })
	for i, image := range images {
		if !image.Adopt {
			continue
		}
		all, err := volumes(struct{}{})
		if err != nil {
			outcomes[i].Err = fmt.Errorf("find out whether a volume of this cluster still uses what is adopted: %w", err)
		} else if err := staticpv.RefuseAdoption(all, image.Name, image.Class); err != nil {
			outcomes[i].Err = fmt.Errorf("%w: %w", errAdoption, err)
		}
	}
	return outcomes
}

// Existing is for images that somebody else makes. Of those it asks nothing: every
// claim keeps its request, and images are mapped exclusively only if claim or class
// say so. Only a subvolume is looked at, because nobody but Ceph
// knows its path, and what is adopted, because its size and features are the pair's.
type Existing struct {
	Provisioned
	// DryRun reports whether even that is not asked. It is called only if there is
	// something to ask.
	DryRun func(context.Context) (bool, error)
}

// Ensure implements [Images].
func (e Existing) Ensure(ctx context.Context, images []Image) ([]Outcome, []string) {
	var asked []Image
	var positions []int
	for i, image := range images {
		if image.Adopt || image.Class.CephFS != nil {
			image.Look = true
			asked, positions = append(asked, image), append(positions, i)
		}
	}
	outcomes := make([]Outcome, len(images))
	for i, image := range images {
		outcomes[i].Exclusive = unrecorded(image, false)
	}
	if len(asked) == 0 {
		return outcomes, nil
	}
	dry, err := e.DryRun(ctx)
	if err != nil {
		outcomes[positions[0]].Err = err
		return outcomes, nil
	}
	if dry {
		return Untouched{Exist: true}.Ensure(ctx, images)
	}
	found, notes := e.Provisioned.Ensure(ctx, asked)
	for i, outcome := range found {
		at := positions[i]
		if outcomes[at] = outcome; outcome.Err == nil && !images[at].Look {
			outcomes[at].Err = absent(asked[i], outcome)
		}
	}
	return outcomes, notes
}

// absent is the error for what had to exist and was not found.
func absent(image Image, outcome Outcome) error {
	switch {
	case image.Class.CephFS != nil && outcome.RootPath == "":
		return fmt.Errorf("look at subvolume %q: %w", image.Name, ceph.ErrSubvolumeNotFound)
	case image.Class.RBD != nil && outcome.Features == nil:
		return fmt.Errorf("look at image %q: %w", image.Name, ceph.ErrImageNotFound)
	}
	return nil
}

// unrecorded reports whether an image is mapped exclusively, as far as can be said
// without its record.
func unrecorded(image Image, isNew bool) bool {
	if asked := image.Mapping.Exclusive; asked != nil {
		return *asked
	}
	return isNew && !image.Adopt && image.Mapping.NewExclusive
}

// Untouched connects to nothing: for dry runs. Every claim keeps its request, an
// adopted image is taken for one of its class, the others are mapped as new ones are,
// and the path of a subvolume is one that nobody can mount.
type Untouched struct {
	// Exist: somebody else makes the images.
	Exist bool
}

// Ensure implements [Images].
func (u Untouched) Ensure(_ context.Context, images []Image) ([]Outcome, []string) {
	outcomes := make([]Outcome, len(images))
	var unknown []string
	for i, image := range images {
		outcomes[i].Exclusive = unrecorded(image, !u.Exist)
		if image.Class.CephFS != nil && !image.Look {
			outcomes[i].RootPath = "(dry run: only Ceph knows the path of subvolume " + image.Name + ")"
			unknown = append(unknown, image.Name)
		}
	}
	if len(unknown) == 0 {
		return outcomes, nil
	}
	return outcomes, []string{"dry run: the rootPath of PersistentVolume " + strings.Join(unknown, ", ") + " is a placeholder, so this output is not for kubectl apply"}
}
