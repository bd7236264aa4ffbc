package cephtest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// years is how long the suite fences whom it does not let in again.
	years = 5 * 365 * 24 * time.Hour
	// slack is for the clocks of the suite and of the monitors.
	slack = 30 * time.Minute
)

func (s suite) fences(t *testing.T) {
	provisioner := s.connect(t, Provisioner)
	operator := s.connect(t, Operator)
	observer := s.connect(t, Observer)

	open := func(t *testing.T, spec ceph.ImageSpec) Writing {
		t.Helper()
		writing, err := s.Open(t, spec)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, writing.Write(), nil)
		return writing
	}
	fence := func(t *testing.T, spec ceph.ImageSpec, lasting time.Duration, addrs ...string) {
		t.Helper()
		wantError(t, operator.Blocklist(t.Context(), addrs, lasting), nil)
		wantError(t, operator.Barrier(t.Context(), spec), nil)
	}
	plain := func(t *testing.T, name string) ceph.ImageSpec {
		t.Helper()
		_, err := provisioner.CreateImage(t.Context(), in(name), ceph.Layout{Size: mib, Features: []string{"layering"}})
		wantError(t, err, nil)
		return in(name)
	}
	// remains is how long the address is on the blocklist yet, zero if it is not.
	remains := func(t *testing.T, addr string) time.Duration {
		t.Helper()
		entries, err := observer.Blocklisted(t.Context())
		wantError(t, err, nil)
		for _, entry := range entries {
			if entry.Addr == addr {
				return time.Until(entry.Until)
			}
		}
		return 0
	}
	wantRemains := func(t *testing.T, addr string, want time.Duration) {
		t.Helper()
		if got := remains(t, addr); (got - want).Abs() > slack {
			t.Errorf("%s is on the blocklist for %v; want %v", addr, got, want)
		}
	}

	t.Run("cut off at once whom they name, and nobody else", func(t *testing.T) {
		spec := plain(t, "fenced")
		first, second := open(t, spec), open(t, spec)
		fence(t, spec, years, first.Watcher().Addr)
		watchers, err := observer.Watchers(t.Context(), spec)
		wantError(t, err, nil)
		wantSame(t, watchers, []ceph.Watcher{second.Watcher()})
		wantError(t, first.Write(), ceph.ErrBlocklisted)
		wantError(t, second.Write(), nil)
		wantRemains(t, first.Watcher().Addr, years)
	})

	t.Run("that end let a client write that nobody sees", func(t *testing.T) {
		spec := plain(t, "unfenced")
		writing := open(t, spec)
		addr := writing.Watcher().Addr
		fence(t, spec, time.Hour, addr)
		wantError(t, writing.Write(), ceph.ErrBlocklisted)

		wantError(t, operator.Unblocklist(t.Context(), []string{addr}), nil)
		wantError(t, operator.Barrier(t.Context(), spec), nil)
		wantSame(t, remains(t, addr), 0)
		s.until(t, "it writes again", func() bool { return writing.Write() == nil })
		watchers, err := observer.Watchers(t.Context(), spec)
		wantError(t, err, nil)
		wantSame(t, watchers, nil)
	})

	t.Run("of several, and repeated", func(t *testing.T) {
		addrs := []string{"192.0.2.1:0/7", "192.0.2.2:0/0", "[2001:db8::1]:0/7"}
		spec := plain(t, "several")
		for _, lasting := range []time.Duration{years, time.Hour, years} {
			fence(t, spec, lasting, addrs...)
			for _, addr := range addrs {
				wantRemains(t, addr, years)
			}
		}
		entries, err := observer.Blocklisted(t.Context())
		wantError(t, err, nil)
		if !slices.IsSortedFunc(entries, func(a, b ceph.BlocklistEntry) int { return strings.Compare(a.Addr, b.Addr) }) {
			t.Errorf("not sorted: %v", entries)
		}
		for range 2 {
			wantError(t, operator.Unblocklist(t.Context(), addrs[:2]), nil)
		}
		wantSame(t, remains(t, addrs[0]), 0)
		wantSame(t, remains(t, addrs[1]), 0)
		wantRemains(t, addrs[2], years)
	})

	t.Run("are prolonged only while another one covers the client", func(t *testing.T) {
		addr, machine := "192.0.2.3:0/7", "192.0.2.3:0/0"
		spec := plain(t, "prolonged")
		fence(t, spec, time.Hour, addr)
		wantError(t, operator.Blocklist(t.Context(), []string{addr}, years), ceph.ErrFenceShort)
		wantRemains(t, addr, time.Hour)
		fence(t, spec, time.Hour, machine)
		fence(t, spec, years, addr)
		wantRemains(t, addr, years)
		wantRemains(t, machine, time.Hour)
	})

	t.Run("of addresses that say more than one machine", func(t *testing.T) {
		good := "192.0.2.9:0/7"
		for _, bad := range []string{"192.0.2.9", "192.0.2.0/24", "192.0.2.9:6800/7", "client.7", ""} {
			wantError(t, operator.Blocklist(t.Context(), []string{good, bad}, years), ceph.ErrFenceAddress)
			wantError(t, operator.Unblocklist(t.Context(), []string{good, bad}), ceph.ErrFenceAddress)
		}
		for _, lasting := range []time.Duration{0, ceph.MaxFence + 1} {
			if err := operator.Blocklist(t.Context(), []string{good}, lasting); err == nil {
				t.Errorf("a fence for %v is accepted", lasting)
			}
		}
		wantSame(t, remains(t, good), 0)
		wantError(t, operator.Blocklist(t.Context(), []string{good}, ceph.MaxFence), nil)
		wantRemains(t, good, ceph.MaxFence)
	})

	t.Run("are there for an hour when somebody takes over a lock", func(t *testing.T) {
		spec := in("taken-over")
		s.create(t, provisioner, spec, mib)
		first := open(t, spec)
		if _, err := s.Open(t, spec); err == nil {
			t.Fatal("a second client has the lock")
		}
		fence(t, spec, years, first.Watcher().Addr)
		wantError(t, operator.Unblocklist(t.Context(), []string{first.Watcher().Addr}), nil)
		open(t, spec)
		wantRemains(t, first.Watcher().Addr, takeoverFence)
	})

	t.Run("stay as they are when somebody takes over a lock", func(t *testing.T) {
		spec := in("fenced-and-taken-over")
		s.create(t, provisioner, spec, mib)
		first := open(t, spec)
		fence(t, spec, years, first.Watcher().Addr)
		second := open(t, spec)
		wantRemains(t, first.Watcher().Addr, years)
		wantError(t, first.Write(), ceph.ErrBlocklisted)
		wantError(t, second.Write(), nil)
	})

	t.Run("need rights", func(t *testing.T) {
		spec := in("rights-of-fences")
		s.create(t, provisioner, spec, mib)
		addr := open(t, spec).Watcher().Addr
		before, err := observer.Blocklisted(t.Context())
		wantError(t, err, nil)
		wantError(t, operator.MayFence(t.Context()), nil)
		wantError(t, provisioner.MayFence(t.Context()), nil)
		wantError(t, observer.MayFence(t.Context()), ceph.ErrPermission)
		after, err := observer.Blocklisted(t.Context())
		wantError(t, err, nil)
		wantSame(t, after, before)
		wantError(t, observer.Blocklist(t.Context(), []string{addr}, years), ceph.ErrPermission)
		fence(t, spec, years, addr)
		wantError(t, observer.Unblocklist(t.Context(), []string{addr}), ceph.ErrPermission)
		wantRemains(t, addr, years)
	})

	t.Run("end with the context and the connection", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		addrs := []string{"192.0.2.8:0/7"}
		wantError(t, operator.Blocklist(ctx, addrs, years), context.Canceled)
		wantError(t, operator.Unblocklist(ctx, addrs), context.Canceled)
		wantError(t, operator.MayFence(ctx), context.Canceled)
		_, err := operator.Blocklisted(ctx)
		wantError(t, err, context.Canceled)
		wantSame(t, remains(t, addrs[0]), 0)
	})
}

// until waits until something that needs a moment has happened.
func (s suite) until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * s.Bound()); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", 10*s.Bound(), what)
		}
	}
}
