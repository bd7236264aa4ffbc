package provision

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// TestDecide has every row of decide's table.
func TestDecide(t *testing.T) {
	spec := ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"}
	// exists has these sizes in bytes; claim is the recorded one, 0 for no record.
	exists := func(size, claim uint64) *found {
		if claim == 0 {
			return &found{size: size}
		}
		return &found{size: size, record: &ceph.Record{ClaimSize: claim, Revision: 1}}
	}
	denied := errors.New("not granted")
	type decision struct {
		Action action
		Size   uint64
		Err    string
	}
	const (
		below   = "the request is below the volume's size: image replicapool/shop.data has 8Gi, the claim asks for 4Gi; images never shrink, so ask for at least 8Gi"
		smaller = "the name is taken by a smaller volume: image replicapool/shop.data has 8Gi, the claim asks for 9Gi, and no record says that it was made for this claim; choose another name with the annotation cephferry.io/image, or if the image is meant, ask for 8Gi or adopt it with the annotation cephferry.io/adopt"
	)
	tests := map[string]struct {
		request Request
		seen    *found
		want    decision
		is      error
	}{
		"no image, look": {
			request: Request{Size: 8 * gib, Look: true},
			want:    decision{keep, 0, ""},
		},
		"no image, look and adopt": {
			request: Request{Size: 8 * gib, Look: true, Adopt: true},
			want:    decision{keep, 0, ""},
		},
		"no image, and nobody could mount it": {
			request: Request{Size: 8 * gib, CannotStage: denied},
			want:    decision{keep, 0, "make image replicapool/shop.data: the image could never be mounted: not granted"},
			is:      ErrCannotStage,
		},
		"an image that was there, and nobody could mount if it were new": {
			request: Request{Size: 8 * gib, CannotStage: denied},
			seen:    exists(8*gib, 8*gib),
			want:    decision{keep, 8 * gib, ""},
		},
		"no image by either name": {
			request: Request{Size: 8 * gib, Adopt: true, OldName: "csi-vol-1"},
			want:    decision{keep, 0, "adopt image replicapool/shop.data, which was csi-vol-1: the image does not exist"},
			is:      ceph.ErrImageNotFound,
		},
		"no image, and the old name is another's": {
			request: Request{Size: 8 * gib, Adopt: true, OldName: "csi-vol-1", Denied: denied},
			want:    decision{keep, 0, "not granted"},
			is:      denied,
		},
		"the old name": {
			request: Request{Size: 4 * gib, Adopt: true, OldName: "csi-vol-1"},
			seen:    &found{size: 8 * gib, misnamed: true},
			want:    decision{record | rename, 8 * gib, ""},
		},
		"the old name, recorded": {
			request: Request{Size: 4 * gib, Adopt: true, OldName: "csi-vol-1"},
			seen:    &found{size: 8 * gib, misnamed: true, record: &ceph.Record{ClaimSize: 8 * gib}},
			want:    decision{rename, 8 * gib, ""},
		},
		"the old name, above": {
			request: Request{Size: 9 * gib, Adopt: true, OldName: "csi-vol-1"},
			seen:    &found{size: 8 * gib, misnamed: true},
			want:    decision{grow | record | rename, 9 * gib, ""},
		},
		"the old name, used": {
			request: Request{Size: 8 * gib, Adopt: true, OldName: "csi-vol-1"},
			seen:    &found{size: 8 * gib, misnamed: true, used: "it is open at 10.0.0.1:0/1"},
			want:    decision{keep, 0, "the image cannot get another name now: image csi-vol-1 is to become replicapool/shop.data, and it is open at 10.0.0.1:0/1"},
			is:      ErrInUse,
		},
		"the old name, look": {
			request: Request{Size: 8 * gib, Adopt: true, OldName: "csi-vol-1", Look: true},
			seen:    &found{size: 8 * gib, misnamed: true},
			want:    decision{keep, 0, "the image cannot get another name now: image replicapool/shop.data is called csi-vol-1 yet; --create cluster and --create client rename it"},
			is:      ErrInUse,
		},
		"the new name, look": {
			request: Request{Size: 8 * gib, Adopt: true, OldName: "csi-vol-1", Look: true},
			seen:    exists(8*gib, 8*gib),
			want:    decision{keep, 8 * gib, ""},
		},
		"the new name, adopted before, by who may not use the old one": {
			request: Request{Size: 8 * gib, Adopt: true, OldName: "csi-vol-1", Denied: denied},
			seen:    exists(8*gib, 8*gib),
			want:    decision{keep, 8 * gib, ""},
		},
		"no image, adopt": {
			request: Request{Size: 8 * gib, Adopt: true},
			want:    decision{keep, 0, "adopt image replicapool/shop.data: the image does not exist"},
			is:      ceph.ErrImageNotFound,
		},
		"no image": {
			request: Request{Size: 8 * gib},
			want:    decision{create | record, 8 * gib, ""},
		},
		"no image, a size of no whole MiB": {
			request: Request{Size: 8*gib + 1},
			want:    decision{create | record, 8*gib + 1, ""},
		},
		"an image without a record, look": {
			request: Request{Size: 4 * gib, Look: true},
			seen:    exists(8*gib, 0),
			want:    decision{keep, 0, ""},
		},
		"an image with a record, look": {
			request: Request{Size: 4 * gib, Look: true},
			seen:    exists(8*gib, 2*gib),
			want:    decision{keep, 2 * gib, ""},
		},
		"below an image without a record": {
			request: Request{Size: 4 * gib},
			seen:    exists(8*gib, 0),
			want:    decision{keep, 0, below},
			is:      ErrBelow,
		},
		"below an image with a record": {
			request: Request{Size: 4 * gib},
			seen:    exists(8*gib, 4*gib),
			want:    decision{keep, 0, below},
			is:      ErrBelow,
		},
		"the size of an image without a record": {
			request: Request{Size: 8 * gib},
			seen:    exists(8*gib, 0),
			want:    decision{record, 8 * gib, ""},
		},
		"the size of an image without a record, adopt": {
			request: Request{Size: 8 * gib, Adopt: true},
			seen:    exists(8*gib, 0),
			want:    decision{record, 8 * gib, ""},
		},
		"the size of an image without a record, in no whole MiB": {
			request: Request{Size: 8*gib - 1},
			seen:    exists(8*gib, 0),
			want:    decision{record, 8*gib - 1, ""},
		},
		"above an image without a record": {
			request: Request{Size: 9 * gib},
			seen:    exists(8*gib, 0),
			want:    decision{keep, 0, smaller},
			is:      ErrSmaller,
		},
		"above an image without a record, adopt": {
			request: Request{Size: 9 * gib, Adopt: true},
			seen:    exists(8*gib, 0),
			want:    decision{grow | record, 9 * gib, ""},
		},
		"below an image without a record, adopt": {
			request: Request{Size: 4 * gib, Adopt: true},
			seen:    exists(8*gib, 0),
			want:    decision{record, 8 * gib, ""},
		},
		"just below an image without a record, adopt": {
			request: Request{Size: 8*gib - 1, Adopt: true},
			seen:    exists(8*gib, 0),
			want:    decision{record, 8 * gib, ""},
		},
		"below an image of no whole MiB, adopt": {
			request: Request{Size: 4 * gib, Adopt: true},
			seen:    exists(8*gib+512, 0),
			want:    decision{record, 8*gib + 512, ""},
		},
		"below an image with a record, adopt": {
			request: Request{Size: 4 * gib, Adopt: true},
			seen:    exists(10*gib, 8*gib),
			want:    decision{keep, 8 * gib, ""},
		},
		"below an image without a record, look and adopt": {
			request: Request{Size: 4 * gib, Adopt: true, Look: true},
			seen:    exists(8*gib, 0),
			want:    decision{keep, 8 * gib, ""},
		},
		"above an image without a record, look and adopt": {
			request: Request{Size: 9 * gib, Adopt: true, Look: true},
			seen:    exists(8*gib, 0),
			want:    decision{keep, 9 * gib, ""},
		},
		"the size of an image with a record": {
			request: Request{Size: 8 * gib},
			seen:    exists(8*gib, 2*gib),
			want:    decision{keep, 2 * gib, ""},
		},
		"above an image with a record": {
			request: Request{Size: 8*gib + 1},
			seen:    exists(8*gib, 2*gib),
			want:    decision{grow, 2 * gib, ""},
		},
		"no quota and no record": {
			request: Request{Size: 8 * gib},
			seen:    &found{unlimited: true},
			want:    decision{grow | record, 8 * gib, ""},
		},
		"no quota and no record, adopt": {
			request: Request{Size: 8 * gib, Adopt: true},
			seen:    &found{unlimited: true},
			want:    decision{record, 8 * gib, ""},
		},
		"no quota and no record, look": {
			request: Request{Size: 8 * gib, Look: true},
			seen:    &found{unlimited: true},
			want:    decision{keep, 0, ""},
		},
		"no quota any more": {
			request: Request{Size: 8 * gib},
			seen:    &found{unlimited: true, record: &ceph.Record{ClaimSize: 4 * gib}},
			want:    decision{keep, 4 * gib, ""},
		},
		"no quota any more, adopt": {
			request: Request{Size: 8 * gib, Adopt: true},
			seen:    &found{unlimited: true, record: &ceph.Record{ClaimSize: 4 * gib}},
			want:    decision{keep, 4 * gib, ""},
		},
		"no image, and more than the request": {
			request: Request{Size: 8 * gib, AtLeast: 9 * gib},
			want:    decision{create | record, 8 * gib, ""},
		},
		"more than the request, above an image with a record": {
			request: Request{Size: 2 * gib, AtLeast: 9 * gib},
			seen:    exists(8*gib, 2*gib),
			want:    decision{grow, 2 * gib, ""},
		},
		"more than the request, above an image without a record": {
			request: Request{Size: 8 * gib, AtLeast: 9 * gib},
			seen:    exists(8*gib, 0),
			want:    decision{keep, 0, smaller},
			is:      ErrSmaller,
		},
		"more than the request, the size of an image without a record": {
			request: Request{Size: 2 * gib, AtLeast: 8 * gib},
			seen:    exists(8*gib, 0),
			want:    decision{record, 2 * gib, ""},
		},
		"more than the request, below an image with a record": {
			request: Request{Size: 2 * gib, AtLeast: 4 * gib},
			seen:    exists(8*gib, 2*gib),
			want:    decision{keep, 0, below},
			is:      ErrBelow,
		},
		"below an image that has grown": {
			request: Request{Size: 2 * gib, AtLeast: 4 * gib, MayBeLarger: true},
			seen:    exists(8*gib, 2*gib),
			want:    decision{keep, 2 * gib, ""},
		},
		"below an image that has grown, under a bound claim of another size": {
			request: Request{Size: 4 * gib, MayBeLarger: true, Exists: true},
			seen:    exists(8*gib, 2*gib),
			want:    decision{keep, 2 * gib, ""},
		},
		"below an image without a record, under a bound claim": {
			request: Request{Size: 4 * gib, MayBeLarger: true, Exists: true},
			seen:    exists(8*gib, 0),
			want:    decision{keep, 0, below},
			is:      ErrBelow,
		},
		"below an image that was made for another size": {
			request: Request{Size: 4 * gib, MayBeLarger: true},
			seen:    exists(8*gib, 2*gib),
			want:    decision{keep, 0, below},
			is:      ErrBelow,
		},
		"below an image without a record that may be larger": {
			request: Request{Size: 4 * gib, MayBeLarger: true},
			seen:    exists(8*gib, 0),
			want:    decision{keep, 0, below},
			is:      ErrBelow,
		},
		"an image that may be larger and is not": {
			request: Request{Size: 9 * gib, MayBeLarger: true},
			seen:    exists(8*gib, 9*gib),
			want:    decision{grow, 9 * gib, ""},
		},
		"no image under a bound claim": {
			request: Request{Size: 8 * gib, Exists: true},
			want:    decision{keep, 0, "grow image replicapool/shop.data: the image does not exist"},
			is:      ceph.ErrImageNotFound,
		},
		"above an image with a record, adopt": {
			request: Request{Size: 9 * gib, Adopt: true},
			seen:    exists(8*gib, 8*gib),
			want:    decision{grow, 8 * gib, ""},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.request.Volume = Image{ImageSpec: spec}
			var got decision
			var err error
			got.Action, got.Size, err = decide(test.request, test.seen)
			if err != nil {
				got.Err = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("errors.Is(%v, %v) is false", err, test.is)
			}
		})
	}
}

func TestSize(t *testing.T) {
	tests := map[string]struct{ claim, want uint64 }{
		"one byte":             {1, mib},
		"a whole MiB":          {mib, mib},
		"one byte above a MiB": {mib + 1, 2 * mib},
		"100500k":              {100_500_000, 96 * mib},
		"the largest request":  {1 << 60, 1 << 60},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := (Image{}).size(test.claim); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}
