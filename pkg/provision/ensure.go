package provision

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Request asks for one volume.
type Request struct {
	Volume Volume
	// Size is the claim's storage request in bytes.
	Size uint64
	// AtLeast is the size in bytes of the volume when that is more than Size.
	AtLeast uint64
	// MayBeLarger means that the volume may have grown since, for a claim of the
	// recorded size.
	MayBeLarger bool
	// Exists means that a claim is bound to the volume: it is never made anew.
	Exists bool
	// Adopt means that the volume must exist, and that the claim takes the size
	// that it has unless it asks for more.
	Adopt bool
	// Look means to change nothing and to return what there is.
	Look bool
}

// wanted is the size in bytes that the claim asks for.
func (r Request) wanted() uint64 { return max(r.Size, r.AtLeast) }

// Result is what became of one request.
type Result struct {
	// ClaimSize is what PV and PVC keep, in bytes. It is 0 for a look at a
	// volume that has no record.
	ClaimSize uint64
	// Features are those of an image that somebody chose. They are not nil when
	// there is an image.
	Features []string
	// Path of a subvolume is the folder in its file system. It is not empty when
	// there is a subvolume.
	Path string
	// Created and Grown say what was done.
	Created, Grown bool
	// Err is nil when the volume is as asked for.
	Err error
}

const (
	// parallel bounds how many volumes are worked on at a time.
	parallel = 16
	// attempts bounds how often one volume is decided again because another
	// process changed it meanwhile. One other process needs two.
	attempts = 5
)

// Ensure carries out all requests, or none as far as Ceph allows: when it
// refuses one request, it has changed nothing. When Ceph fails half way, the
// volumes made until then stay, and the same call continues with the rest. The
// results are in the order of the requests.
func Ensure(ctx context.Context, requests []Request) []Result {
	results := make([]Result, len(requests))
	seen := make([]*found, len(requests))
	each(requests, func(i int, r Request) {
		seen[i], results[i].Err = r.Volume.look(ctx)
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

// carryOut decides and acts, and starts over when another process was faster.
func carryOut(ctx context.Context, r Request, seen *found) Result {
	var result Result
	for attempt := 1; ; attempt++ {
		var todo action
		todo, result.ClaimSize, result.Err = decide(r, seen)
		if result.Err != nil {
			return result
		}
		seen, result.Err = act(ctx, r, todo, seen, &result)
		if seen != nil {
			result.Features, result.Path = seen.features, seen.path
		}
		if attempt == attempts || !overtaken(result.Err) {
			return result
		}
		if seen, result.Err = r.Volume.look(ctx); result.Err != nil {
			return result
		}
	}
}

// overtaken reports whether err means that the volume is not as it was seen.
func overtaken(err error) bool {
	return errors.Is(err, ceph.ErrRecordChanged) ||
		errors.Is(err, ceph.ErrImageExists) || errors.Is(err, ceph.ErrImageShrinks) ||
		errors.Is(err, ceph.ErrSubvolumeExists) || errors.Is(err, ceph.ErrSubvolumeShrinks)
}

// act does what is to do, and returns the volume as it was seen or made.
func act(ctx context.Context, r Request, todo action, seen *found, result *Result) (*found, error) {
	size := r.Volume.size(r.wanted())
	if todo&create != 0 {
		made, err := r.Volume.create(ctx, size)
		if err != nil {
			return nil, err
		}
		seen, result.Created = made, true
	}
	if todo&grow != 0 {
		if err := r.Volume.grow(ctx, size); err != nil {
			return seen, err
		}
		result.Grown = true
	}
	if todo&record != 0 {
		return seen, seen.put(ctx, ceph.Record{ClaimSize: result.ClaimSize})
	}
	return seen, nil
}

// Summary says in one line each what was made and grown. It is empty when
// nothing was.
func Summary(requests []Request, results []Result) []string {
	var lines []string
	add := func(verb string, done func(Result) bool, describe func(Request) string) {
		for _, kind := range []string{Image{}.kind(), Subvolume{}.kind()} {
			var all []string
			for i, result := range results {
				if requests[i].Volume.kind() == kind && done(result) {
					all = append(all, describe(requests[i]))
				}
			}
			if len(all) > 0 {
				lines = append(lines, verb+" "+kind+" "+strings.Join(all, ", "))
			}
		}
	}
	add("created", func(r Result) bool { return r.Created }, func(r Request) string { return r.Volume.String() })
	add("grew", func(r Result) bool { return r.Grown }, func(r Request) string {
		return r.Volume.String() + " to " + quantity(r.Volume.size(r.wanted()))
	})
	return lines
}
