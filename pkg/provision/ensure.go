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
	// Claim is its namespace and name, for people.
	Claim  string
	Volume Volume
	// Size is the claim's storage request in bytes.
	Size uint64
	// AtLeast is the size in bytes of the volume when that is more than Size.
	AtLeast uint64
	// MayBeLarger means that the volume may have grown since, for a claim of the
	// recorded size; or of any size, if Exists.
	MayBeLarger bool
	// Exists means that a claim is bound to the volume: it is never made anew.
	Exists bool
	// Adopt means that the volume must exist, and that the claim takes the size
	// that it has unless it asks for more.
	Adopt bool
	// OldName is what an adopted image is called until it gets the name of Volume, and
	// empty if it has that.
	OldName string
	// Denied is why the claim may not have the image with the old name, see Deny.
	Denied error
	// Look means to change nothing and to return what there is.
	Look bool
	// CannotStage is why no node could use a volume that is made now, see
	// [staticpv.Plan.CannotStage].
	CannotStage error
	// Exclusive is how clients are to map an image: with krbd's option exclusive or
	// without. Nil leaves it to the image's record.
	Exclusive *bool
	// NewExclusive is the mode of an image that is made now, if Exclusive is nil.
	NewExclusive bool
	// NewPrivate says that mappings of an image that is made now are clients of their own.
	NewPrivate bool
	// Keyed is whether the claim asks for a keyed image. Nil leaves it to the image's
	// record; an image that is made now is keyed if there is a key, or should be.
	Keyed *bool
	// Key is that of the cluster that asks. Where it is empty, NoKey is why a cluster
	// that makes keyed images has none; nil if it makes others.
	Key   string
	NoKey error
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
	// Exclusive says that clients map the image with krbd's option exclusive.
	Exclusive bool
	// Private says that each mapping of the image is a client of its own.
	Private bool
	// Key is the request's if the image is keyed, otherwise empty.
	Key string
	// NoOldName: there is no image of the name that the adopted one is to lose. It was adopted
	// before, or the name is a slip.
	NoOldName bool
	// SCC is the record's, nil for a volume that was made now.
	SCC *ceph.SCC
	// Created, Grown and Renamed say what was done. Deferred: the image is mapped exclusively,
	// and its record says to grow it when it is free.
	Created, Grown, Renamed, Deferred bool
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
			_, results[i].Err = results[i].decide(r, seen[i])
		}
		if results[i].Err == nil && results[i].Key != "" {
			results[i].Err = checkKeys(ctx, r, seen[i])
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

// decide notes what the pair keeps, and returns what to do.
func (result *Result) decide(r Request, seen *found) (todo action, err error) {
	if todo, result.ClaimSize, err = decide(r, seen); err != nil {
		return keep, err
	}
	if result.Exclusive, err = decideMode(r, seen); err != nil {
		return keep, err
	}
	result.Private = decidePrivate(r, seen)
	result.Key, err = decideKey(r, seen)
	return todo, err
}

// carryOut decides and acts, and starts over when another process was faster.
func carryOut(ctx context.Context, r Request, seen *found) Result {
	var result Result
	fresh := false
	for attempt := 1; ; attempt++ {
		var todo action
		if todo, result.Err = result.decide(r, seen); result.Err != nil {
			return result
		}
		fresh = fresh || todo&create != 0
		seen, result.Err = act(ctx, r, todo, seen, &result)
		if seen != nil {
			result.Features, result.Path = seen.features, seen.path
			result.NoOldName = seen.adopted && !result.Renamed
			if seen.record != nil {
				result.SCC = seen.record.SCC
			}
		}
		if attempt == attempts || !overtaken(result.Err) {
			return result
		}
		if seen, result.Err = r.Volume.look(ctx); result.Err != nil {
			return result
		}
		if seen != nil {
			seen.fresh = fresh
		}
	}
}

// overtaken reports whether err means that the volume is not as it was seen.
func overtaken(err error) bool {
	return errors.Is(err, ceph.ErrRecordChanged) || errors.Is(err, ceph.ErrImageRenamed) ||
		errors.Is(err, ceph.ErrImageExists) || errors.Is(err, ceph.ErrImageShrinks) ||
		errors.Is(err, ceph.ErrSubvolumeExists) || errors.Is(err, ceph.ErrSubvolumeShrinks)
}

// act does what is to do, and returns the volume as it was seen or made.
func act(ctx context.Context, r Request, todo action, seen *found, result *Result) (*found, error) {
	if todo == keep {
		return seen, nil
	}
	size := r.Volume.size(r.wanted())
	if todo&create != 0 {
		made, err := r.Volume.create(ctx, size)
		if err != nil {
			return nil, err
		}
		seen, result.Created = made, true
	}
	kept := ceph.Record{ClaimSize: result.ClaimSize, Exclusive: result.Exclusive, Private: result.Private, Keyed: result.Key != ""}
	if seen.record != nil {
		keyed, private := kept.Keyed, kept.Private
		kept = *seen.record
		kept.Keyed, kept.Private = keyed, private // differ where it is renamed
	}
	if todo&rename != 0 {
		renamed, err := seen.adopt(ctx, kept)
		if err != nil {
			return seen, err
		}
		seen, result.Renamed, todo = renamed, true, todo&^record
		kept = *seen.record
	}
	if todo&grow != 0 {
		err := r.Volume.grow(ctx, size)
		switch {
		case err == nil:
			result.Grown = true
		case result.Exclusive && errors.Is(err, ceph.ErrImageLocked):
			result.Deferred = true
		default:
			return seen, err
		}
		kept.GrowTo = wish(kept.GrowTo, size, result.Grown)
	}
	if todo&record != 0 || seen.record != nil && kept.GrowTo != seen.record.GrowTo {
		return seen, seen.put(ctx, kept)
	}
	return seen, nil
}

// wish is what the record of an image that was to get that size says to grow it to;
// 0 is nothing. A wish is never lowered.
func wish(before, size uint64, grown bool) uint64 {
	switch {
	case !grown:
		return max(before, size)
	case before <= size:
		return 0
	default:
		return before
	}
}

// Summary says in one line each what was made and grown, or will be. It is empty
// when nothing was.
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
	add("renamed", func(r Result) bool { return r.Renamed }, func(r Request) string { return r.OldName + " to " + r.Volume.String() })
	add("grew", func(r Result) bool { return r.Grown }, func(r Request) string {
		return r.Volume.String() + " to " + quantity(r.Volume.size(r.wanted()))
	})
	for i, result := range results {
		if result.NoOldName {
			lines = append(lines, "image "+requests[i].Volume.String()+" is taken as it is: there is no image "+requests[i].OldName+", so it was adopted before, or that name is wrong")
		}
		if result.Deferred {
			lines = append(lines, "image "+requests[i].Volume.String()+" is in use, and grows to "+quantity(requests[i].Volume.size(requests[i].wanted()))+" when its workload starts the next time")
		}
	}
	return lines
}
