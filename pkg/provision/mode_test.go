package provision

import (
	"errors"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// TestDecideMode has every row of decideMode's table.
func TestDecideMode(t *testing.T) {
	yes, no := true, false
	locking := []string{"exclusive-lock", "layering"}
	image := &found{features: locking}
	recorded := func(exclusive bool) *found {
		return &found{features: locking, record: &ceph.Record{Exclusive: exclusive}}
	}
	const (
		change = "; a client with the option takes the device away from a live one without, " +
			"so the mode stays as it was when the image was made: change the annotation cephferry.io/exclusive, the access modes or the class"
		shared    = "the image is mapped in another mode: image replicapool/shop.data is mapped without krbd's option exclusive, and this claim would map it with" + change
		exclusive = "the image is mapped in another mode: image replicapool/shop.data is mapped with krbd's option exclusive, and this claim would map it without" + change
		noLock    = "the image cannot be mapped exclusively: image replicapool/shop.data lacks the exclusive-lock feature; while nobody uses it, run `rbd feature enable replicapool/shop.data exclusive-lock`"
	)
	for name, test := range map[string]struct {
		request Request
		seen    *found
		want    bool
		err     string
		is      error
	}{
		"no image":                                {},
		"no image, new ones are":                  {request: Request{NewExclusive: true}, want: true},
		"no image, asked for":                     {request: Request{Exclusive: &yes}, want: true},
		"no image, asked not to":                  {request: Request{Exclusive: &no, NewExclusive: true}},
		"made meanwhile":                          {request: Request{NewExclusive: true}, seen: &found{features: locking, fresh: true}, want: true},
		"made meanwhile, and recorded":            {request: Request{NewExclusive: true}, seen: &found{features: locking, fresh: true, record: &ceph.Record{}}},
		"no record":                               {request: Request{NewExclusive: true}, seen: image},
		"no record, asked for":                    {request: Request{Exclusive: &yes}, seen: image, want: true},
		"no record, asked not to":                 {request: Request{Exclusive: &no}, seen: image},
		"no record, adopted":                      {request: Request{Adopt: true, NewExclusive: true}, seen: image},
		"recorded":                                {seen: recorded(true), want: true},
		"recorded, asked for":                     {request: Request{Exclusive: &yes}, seen: recorded(true), want: true},
		"recorded, asked not to":                  {request: Request{Exclusive: &no}, seen: recorded(true), err: exclusive, is: ErrMode},
		"recorded as not so, new ones are":        {request: Request{NewExclusive: true}, seen: recorded(false)},
		"recorded as not so, asked not to":        {request: Request{Exclusive: &no}, seen: recorded(false)},
		"recorded as not so, asked for":           {request: Request{Exclusive: &yes}, seen: recorded(false), err: shared, is: ErrMode},
		"no record, asked for without the lock":   {request: Request{Exclusive: &yes, Adopt: true}, seen: &found{features: []string{"layering"}}, err: noLock, is: ErrNoLock},
		"recorded, and the lock was taken away":   {seen: &found{record: &ceph.Record{Exclusive: true}}, err: noLock, is: ErrNoLock},
		"recorded as not so, and without a lock":  {request: Request{NewExclusive: true}, seen: &found{record: &ceph.Record{}}},
		"made meanwhile by hand, without a lock":  {request: Request{NewExclusive: true}, seen: &found{fresh: true}, err: noLock, is: ErrNoLock},
		"no record, without a lock, asked not to": {request: Request{Exclusive: &no}, seen: &found{}},
	} {
		t.Run(name, func(t *testing.T) {
			test.request.Volume = Image{ImageSpec: ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"}}
			got, err := decideMode(test.request, test.seen)
			var text string
			if err != nil {
				text = err.Error()
			}
			if got != test.want || text != test.err {
				t.Errorf("got  %t, %q\nwant %t, %q", got, text, test.want, test.err)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("errors.Is(%v, %v) is false", err, test.is)
			}
		})
	}
}
