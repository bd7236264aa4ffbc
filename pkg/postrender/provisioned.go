package postrender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
func (p Provisioned) Ensure(ctx context.Context, plans []staticpv.Plan) ([]provision.Result, []string) {
	results := p.refuseAdoptions(ctx, plans)
	if failed(results) {
		return results, nil
	}
	connect := once(func(name string) (provision.Location, error) {
		i := slices.IndexFunc(plans, func(plan staticpv.Plan) bool { return plan.Class.Name == name })
		return p.Connect(ctx, plans[i].Class)
	})
	requests := make([]provision.Request, len(plans))
	for i, plan := range plans {
		at, err := connect(plan.Class.Name)
		if err != nil {
			results[i].Err = fmt.Errorf("connect to the Ceph cluster of class %q: %w", plan.Class.Name, err)
			continue
		}
		requests[i] = at.Request(plan)
	}
	if failed(results) {
		return results, nil
	}
	results = provision.Ensure(ctx, requests)
	notes := provision.Summary(requests, results)
	if !failed(results) {
		notes = append(notes, similar(ctx, plans, results, connect)...)
	}
	return results, notes
}

// surveyLimit bounds the look at other images: by then the claims have theirs, and helm waits.
const surveyLimit = 3 * time.Second

// similar says which images may have been meant where new ones were made. It is a courtesy:
// what cannot be found out in time is not said.
func similar(ctx context.Context, plans []staticpv.Plan, results []provision.Result, connect func(string) (provision.Location, error)) []string {
	ctx, cancel := context.WithTimeout(ctx, surveyLimit)
	defer cancel()
	used := once(func(name string) ([]provision.Used, error) {
		at, err := connect(name)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(plans, func(plan staticpv.Plan) bool { return plan.Class.Name == name })
		records, err := at.Cluster.Records(ctx, plans[i].Class.RBD.Pool, at.RadosNamespace)
		return provision.UsedAndFree(records), err
	})
	var notes []string
	for i, plan := range plans {
		if !results[i].Created || plan.Class.RBD == nil {
			continue
		}
		all, err := used(plan.Class.Name)
		if text := provision.SaySimilar(plan, provision.Similar(plan, all)); text != "" && err == nil {
			notes = append(notes, text)
		}
	}
	return notes
}

func failed(results []provision.Result) bool {
	return slices.ContainsFunc(results, func(r provision.Result) bool { return r.Err != nil })
}

// refuseAdoptions fails for the images that a volume of this cluster stands in the
// way of.
func (p Provisioned) refuseAdoptions(ctx context.Context, plans []staticpv.Plan) []provision.Result {
	results := make([]provision.Result, len(plans))
	volumes := once(func(struct{}) ([]corev1.PersistentVolume, error) { return p.Volumes(ctx) })
	for i, plan := range plans {
		if !plan.Adopt {
			continue
		}
		all, err := volumes(struct{}{})
		if err != nil {
			results[i].Err = fmt.Errorf("check whether a volume of this cluster still uses the storage to adopt: %w", err)
		} else if err := plan.RefuseAdoption(all); err != nil {
			results[i].Err = fmt.Errorf("%w: %w", errAdoption, err)
		}
	}
	return results
}

// Existing is for images that somebody else makes. Of those it asks nothing: every
// claim keeps its request, and images are mapped exclusively only if claim or class
// say so. None is keyed: who asks for that is told how. Only a subvolume is looked at, because nobody but Ceph
// knows its path, and what is adopted, because its size and features are the pair's.
type Existing struct {
	Provisioned
	// DryRun reports whether even that is not asked. It is called only if there is
	// something to ask.
	DryRun func(context.Context) (bool, error)
}

// Ensure implements [Images].
func (e Existing) Ensure(ctx context.Context, plans []staticpv.Plan) ([]provision.Result, []string) {
	var looks []staticpv.Plan
	var positions []int
	for i, plan := range plans {
		if plan.Adopt || plan.Class.CephFS != nil {
			plan.Look = true
			looks, positions = append(looks, plan), append(positions, i)
		}
	}
	results := make([]provision.Result, len(plans))
	for i, plan := range plans {
		results[i] = unseen(plan, false, "")
	}
	if len(looks) == 0 || failed(results) {
		return results, nil
	}
	dry, err := e.DryRun(ctx)
	if err != nil {
		results[positions[0]].Err = err
		return results, nil
	}
	if dry {
		return Untouched{Exist: true}.Ensure(ctx, plans)
	}
	found, notes := e.Provisioned.Ensure(ctx, looks)
	for i, result := range found {
		at := positions[i]
		if results[at] = result; result.Err == nil && !plans[at].Look {
			results[at].Err = absent(looks[i], result)
		}
	}
	return results, notes
}

// absent is the error for what had to exist and was not found.
func absent(plan staticpv.Plan, result provision.Result) error {
	switch {
	case plan.Class.CephFS != nil && result.Path == "":
		return fmt.Errorf("look at subvolume %q: %w", plan.Image, ceph.ErrSubvolumeNotFound)
	case plan.Class.RBD != nil && result.Features == nil:
		return fmt.Errorf("look at image %q: %w", plan.Image, ceph.ErrImageNotFound)
	}
	return nil
}

// unseen is what can be said of an image without its record. key is that which new
// images get.
func unseen(plan staticpv.Plan, isNew bool, key string) provision.Result {
	isNew = isNew && !plan.Adopt
	// One that gets another name is keyed as a new one is.
	renamed := plan.OldName != ""
	if !isNew && !renamed && plan.Keyed == nil {
		key = ""
	}
	result := provision.Result{Private: (isNew || renamed) && plan.NewPrivate, Exclusive: isNew && plan.Mapping.NewExclusive}
	if asked := plan.Mapping.Exclusive; asked != nil {
		result.Exclusive = *asked
	}
	result.Key, result.Err = provision.Location{Key: key}.Request(plan).NewKey()
	return result
}

// Untouched connects to nothing: for dry runs. Every claim keeps its request, an
// adopted image is taken for one of its class, the others are mapped and named as new ones
// are, and the path of a subvolume is one that nobody can mount.
type Untouched struct {
	// Exist: somebody else makes the images.
	Exist bool
	// Key is that of a provision.Location.
	Key string
}

// Ensure implements [Images].
func (u Untouched) Ensure(_ context.Context, plans []staticpv.Plan) ([]provision.Result, []string) {
	results := make([]provision.Result, len(plans))
	var unknown []string
	for i, plan := range plans {
		results[i] = unseen(plan, !u.Exist, u.Key)
		if plan.Class.CephFS != nil && !plan.Look {
			results[i].Path = "(dry run: only Ceph knows the path of subvolume " + plan.Image + ")"
			unknown = append(unknown, plan.Image)
		}
	}
	if len(unknown) == 0 {
		return results, nil
	}
	return results, []string{"dry run: the rootPath of PersistentVolume " + strings.Join(unknown, ", ") + " is a placeholder, so this output is not for kubectl apply"}
}
