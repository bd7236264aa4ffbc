package model

import (
	"context"
	"errors"
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// other is the second volume of a pod, which is acquired after the first.
var other = ceph.ImageSpec{Pool: imageSpec.Pool, Name: "shop.logs"}

var errOther = errors.New("the other volume is refused")

// taking is the admission of a pod with two volumes, which has the first, and looks
// at the second.
type taking struct {
	// decided is closed once refusal is what becomes of the second volume.
	decided chan struct{}
	refusal error
	done    chan error
}

// take acquires the first volume, and goes on until the second is looked at.
func (r *replay) take(c, p int, first *ownership.Target) error {
	image, err := r.storage.Image(r.ctx, other)
	if err != nil {
		return err
	}
	stored, err := ownership.Read(r.ctx, r.storage, image)
	if err != nil {
		return err
	}
	now := &taking{decided: make(chan struct{}), done: make(chan error, 1)}
	looking := make(chan struct{}, 1)
	second := ownership.Target{
		Records: r.storage, Request: request(c), Image: image,
		Seen: ceph.Record{Revision: stored.Revision + 1}, // somebody has changed it
		Look: func(ctx context.Context) (ceph.Image, ceph.Record, error) {
			select {
			case looking <- struct{}{}:
			default:
			}
			select {
			case <-now.decided:
			case <-ctx.Done():
				return ceph.Image{}, ceph.Record{}, ctx.Err()
			}
			stored, err := ownership.Read(ctx, r.storage, image)
			return image, ceph.Record{Revision: stored.Revision}, errors.Join(now.refusal, err)
		},
	}
	go func() {
		_, _, err := ownership.AcquireAll(r.ctx, []ownership.Target{second, *first})
		now.done <- err
	}()
	select {
	case <-looking:
		r.takings[c][p] = now
		return nil
	case err := <-now.done:
		return fmt.Errorf("the admission ended before the second volume was looked at: %w", err)
	}
}

// taken ends the admission: the second volume is granted, or refused.
func (r *replay) taken(c, p int, refusal error) error {
	now := r.takings[c][p]
	if now == nil {
		return nil
	}
	r.takings[c][p] = nil
	now.refusal = refusal
	close(now.decided)
	if err := <-now.done; !errors.Is(err, refusal) {
		return fmt.Errorf("the admission of two volumes ended with %w, want %w", err, refusal)
	}
	return nil
}

// taker is a person's command, which waits after each of its steps.
type taker struct {
	cancel context.CancelFunc
	goOn   chan struct{}
	at     chan failover.Step
	done   chan error
}

func (r *replay) start(who int) (*taker, error) {
	stored, err := ownership.Read(r.ctx, r.storage, r.image)
	if err != nil {
		return nil, err
	}
	watchers, err := r.storage.Watchers(r.ctx, imageSpec)
	if err != nil {
		return nil, err
	}
	plan, ok := r.propose(stored, watchers, who)
	if !ok {
		return nil, errors.New("there is no plan for a failover")
	}
	ctx, cancel := context.WithCancel(r.ctx)
	now := &taker{cancel, make(chan struct{}), make(chan failover.Step), make(chan error, 1)}
	go func() {
		now.done <- failover.Take(ctx, r.storage, plan, nil, func(step failover.Step) {
			select {
			case now.at <- step:
			case <-ctx.Done():
				return
			}
			select {
			case <-now.goOn:
			case <-ctx.Done():
			}
		})
	}()
	return now, now.until(failover.Begun)
}

// until waits for the command to wait after a step.
func (t *taker) until(want failover.Step) error {
	for {
		select {
		case step := <-t.at:
			if step == want {
				return nil
			}
			t.goOn <- struct{}{}
		case err := <-t.done:
			return fmt.Errorf("the failover ended before %q: %w", want, err)
		}
	}
}

// end lets the command run to its end.
func (t *taker) end() error {
	t.goOn <- struct{}{}
	for {
		select {
		case <-t.at:
			t.goOn <- struct{}{}
		case err := <-t.done:
			return err
		}
	}
}

// kill ends the command where it is.
func (t *taker) kill() {
	t.cancel()
	<-t.done
}

// person is a step of a person.
func (r *replay) person(by Step, next state) (err error) {
	who := int(by.A)
	now := r.takers[who]
	switch by.Kind {
	case beginFence:
		r.takers[who], err = r.start(who)
		return err
	case verifyFence:
		now.goOn <- struct{}{}
		return now.until(failover.NobodyLeft)
	case finishFence:
		r.takers[who] = nil
		return now.end()
	}
	if now != nil {
		r.takers[who] = nil
		now.kill()
	}
	if by.Kind == dropFence {
		_, err = failover.Drop(r.ctx, r.storage, imageSpec, r.taker(who))
	}
	return err
}

// overtaken are the commands of people whom somebody was ahead of: they take nothing,
// unless their cluster has the image already.
func (r *replay) overtaken(by Step, next state) error {
	for who := range r.Persons {
		now := r.takers[who]
		if now == nil || next.persons[who].phase != nobody {
			continue
		}
		r.takers[who] = nil
		if r.now.persons[who].phase == begun {
			now.kill()
			continue
		}
		if err := now.end(); err == nil && !r.owns(next.record, r.Persons[who]) {
			return fmt.Errorf("%s took the image by a takeover that is not the one now", personNames[who])
		}
	}
	return nil
}
