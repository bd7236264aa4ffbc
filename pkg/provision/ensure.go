package provision

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Request asks for one image.
type Request struct {
	// Cluster is where the image is or will be.
	Cluster Cluster
	Image   ceph.ImageSpec
	// Size is the claim's storage request in bytes.
	Size uint64
	// Layout of a new image; its Size is ignored.
	Layout ceph.Layout
	// Adopt means that the image must exist.
	Adopt bool
	// Look means to change nothing and to return only the recorded size.
	Look bool
}

// Cluster is the part of ceph.Cluster that this package uses.
type Cluster interface {
	ceph.ImageReader
	ceph.ImageCreator
	ceph.ImageGrower
	ceph.RecordStore
}

// Result is what became of one request.
type Result struct {
	// ClaimSize is what PV and PVC keep, in bytes. It is 0 for a look at an
	// image that has no record.
	ClaimSize uint64
	// Created and Grown say what was done.
	Created, Grown bool
	// Err is nil when the image is as asked for.
	Err error
}

const (
	// parallel bounds how many images are worked on at a time.
	parallel = 16
	// attempts bounds how often one image is decided again because another
	// process changed it meanwhile. One other process needs two.
	attempts = 5
)

// Ensure carries out all requests, or none as far as Ceph allows: when it
// refuses one request, it has changed nothing. When Ceph fails half way, the
// images made until then stay, and the same call continues with the rest. The
// results are in the order of the requests.
func Ensure(ctx context.Context, requests []Request) []Result {
	results := make([]Result, len(requests))
	seen := make([]state, len(requests))
	each(requests, func(i int, r Request) {
		seen[i], results[i].Err = look(ctx, r)
		if results[i].Err == nil {
			_, results[i].ClaimSize, results[i].Err = decide(r, seen[i])
		}
	})
	if failed(results) {
		return results
	}
	each(requests, func(i int, r Request) { results[i] = carryOut(ctx, r, seen[i]) })
	return results
}

func each(requests []Request, do func(int, Request)) {
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, request := range requests {
		group.Go(func() error {
			do(i, request)
			return nil
		})
	}
	_ = group.Wait() // every do keeps its own error
}

func failed(results []Result) bool {
	return slices.ContainsFunc(results, func(r Result) bool { return r.Err != nil })
}

// look reads the image and its record.
func look(ctx context.Context, r Request) (state, error) {
	image, err := r.Cluster.Image(ctx, r.Image)
	if errors.Is(err, ceph.ErrImageNotFound) {
		return state{}, nil
	} else if err != nil {
		return state{}, err
	}
	stored, err := r.Cluster.Record(ctx, image)
	if errors.Is(err, ceph.ErrRecordNotFound) {
		return state{image: &image}, nil
	} else if err != nil {
		return state{}, err
	}
	return state{image: &image, record: &stored}, nil
}

// carryOut decides and acts, and starts over when another process was faster.
func carryOut(ctx context.Context, r Request, seen state) Result {
	var result Result
	for attempt := 1; ; attempt++ {
		var todo action
		todo, result.ClaimSize, result.Err = decide(r, seen)
		if result.Err != nil {
			return result
		}
		result.Err = act(ctx, r, todo, seen, &result)
		if attempt == attempts || !overtaken(result.Err) {
			return result
		}
		if seen, result.Err = look(ctx, r); result.Err != nil {
			return result
		}
	}
}

// overtaken reports whether err means that the image is not as it was seen.
func overtaken(err error) bool {
	return errors.Is(err, ceph.ErrImageExists) || errors.Is(err, ceph.ErrRecordChanged) || errors.Is(err, ceph.ErrImageShrinks)
}

func act(ctx context.Context, r Request, todo action, seen state, result *Result) error {
	switch todo {
	case create:
		layout := r.Layout
		layout.Size = imageSize(r.Size)
		image, err := r.Cluster.CreateImage(ctx, r.Image, layout)
		if err != nil {
			return err
		}
		result.Created = true
		return putRecord(ctx, r, image)
	case record:
		return putRecord(ctx, r, *seen.image)
	case grow:
		if err := r.Cluster.GrowImage(ctx, r.Image, imageSize(r.Size)); err != nil {
			return err
		}
		result.Grown = true
	}
	return nil
}

func putRecord(ctx context.Context, r Request, image ceph.Image) error {
	_, err := r.Cluster.PutRecord(ctx, image, ceph.Record{ClaimSize: r.Size})
	return err
}

// Summary says in one line each what was made and grown. It is empty when
// nothing was.
func Summary(requests []Request, results []Result) []string {
	var created, grown []string
	for i, result := range results {
		if result.Created {
			created = append(created, requests[i].Image.String())
		}
		if result.Grown {
			grown = append(grown, requests[i].Image.String()+" to "+quantity(imageSize(requests[i].Size)))
		}
	}
	var lines []string
	if len(created) > 0 {
		lines = append(lines, "created image "+strings.Join(created, ", "))
	}
	if len(grown) > 0 {
		lines = append(lines, "grew image "+strings.Join(grown, ", "))
	}
	return lines
}
