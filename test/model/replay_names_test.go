package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// carriedOver are the configurations with names as keys whose states are carried over to the
// in-memory Ceph. There the code that the programs run gives the image its owner's name, from
// each state of names, lock and blocklist in which its owner may do so, and takes it
// from its owner, from each state in which a person may begin.
var carriedOver = []string{
	"no other name", "names are mended",
	"failover, mapped exclusively", "failover, not exclusive",
	"restored etcd, mapped exclusively, maps end in time",
	"no webhook, failover, mapped exclusively, maps end in time",
}

// renamer is the client of a webhook that may be at the name.
const renamer = "10.0.9.9:0/77"

// carryOver does both, once for all states that are alike.
func carryOver(t *testing.T, found *Result) {
	t.Helper()
	type gives struct {
		keys  keys
		lock  uint8
		nodes [maxNodes]node
		c     int
	}
	type takes struct {
		gives
		record recordID
	}
	m := found.model
	given, taken := map[gives]bool{}, map[takes]bool{}
	outcomes := map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		for _, s := range found.states {
			if s.transitional(m) {
				continue
			}
			like := gives{keys: s.keys, lock: s.lock}
			like.keys.hands, like.keys.stray = [maxClusters]hand{}, hand{} // they are whoever may be at it
			for n := range m.Nodes {
				x := s.nodes[n]
				like.nodes[n] = node{mount: x.mount, watch: x.watch, instance: x.instance, address: x.address, moved: x.moved, former: x.former}
			}
			for c := range m.clusters {
				if like.c = c; m.owns(s.record, c) && !given[like] {
					given[like] = true
					outcome, err := m.gives(t.Context(), s, c)
					if err != nil {
						t.Fatalf("%s gives the name, in %+v: %v", clusterNames[c], like, err)
					}
					outcomes["given: "+outcome]++
				}
			}
			for who, c := range m.Persons {
				like.c = c
				if all := (takes{like, s.record}); m.records.all[s.record].State == ceph.Held && !m.owns(s.record, c) && !taken[all] {
					taken[all] = true
					outcome, err := m.takes(t.Context(), s, who)
					if err != nil {
						t.Fatalf("%s takes the image, in %+v, %+v: %v", personNames[who], like, m.records.all[s.record], err)
					}
					outcomes["taken: "+outcome]++
				}
			}
		}
	})
	t.Logf("%d names given, %d images taken: %v", len(given), len(taken), outcomes)
	if outcomes["given: done"] == 0 || len(m.Persons) > 0 && outcomes["taken: done"] == 0 {
		t.Errorf("nothing was carried out: %v", outcomes)
	}
}

// transitional: an entry is on its way to the OSDs, which in memory takes no time.
func (s state) transitional(m *Model) bool {
	for n := range m.Nodes {
		if s.nodes[n] != s.nodes[n].propagated() {
			return true
		}
	}
	return false
}

// memory is the in-memory Ceph in that state, and a client of it.
func (m *Model) memory(ctx context.Context, s state) (ceph.Cluster, ceph.Image, error) {
	var features []string
	if m.Mapping == Exclusive {
		features = []string{"exclusive-lock"}
	}
	memory := cephtest.New(cephtest.Pool{Name: imageSpec.Pool, Images: []cephtest.Image{{Name: imageSpec.Name, Layout: ceph.Layout{Size: 1 << 20, Features: features}}}})
	storage, err := memory.Dial(ctx, cephtest.Provisioner)
	if err != nil {
		return nil, ceph.Image{}, err
	}
	at := func(name uint8) ceph.ImageSpec {
		return ceph.ImageSpec{Pool: imageSpec.Pool, Name: nameOf(int8(name))}
	}
	memory.RenameImage(imageSpec, at(s.keys.directory).Name)
	for name := range uint8(m.clusters + 1) {
		if name != s.keys.directory && s.keys.has(name) {
			memory.HalfRenameImage(at(s.keys.directory), at(name).Name, false)
		}
	}
	for c := range m.clusters {
		if _, err := storage.ClaimKey(ctx, imageSpec.Pool, "", party(c)); err != nil {
			return nil, ceph.Image{}, err
		}
	}
	for n := range m.Nodes {
		x, watcher := s.nodes[n], ceph.Watcher{Addr: s.watching(n, m), Client: "client." + m.name(n), Cookie: 1}
		if x.mount == mapped && int(s.lock) == n+1 {
			if _, err := memory.OpenImage(at(s.keys.directory), watcher); err != nil {
				return nil, ceph.Image{}, err
			}
			memory.RemoveWatcher(at(s.keys.directory), watcher)
		}
		for addr, entry := range map[string]entry{watcher.Addr: x.instance, machine(m.address(n)): x.address, machine(m.formerAddress(n)): x.former} {
			if entry == hour || entry == years {
				lasting := map[bool]time.Duration{false: time.Hour, true: ceph.MaxFence}[entry == years]
				if err := storage.Blocklist(ctx, []string{addr}, lasting); err != nil {
					return nil, ceph.Image{}, err
				}
			}
		}
		if x.watch == registered {
			memory.AddWatcher(at(s.keys.directory), watcher)
		}
	}
	image, err := storage.Image(ctx, at(s.keys.directory))
	image.ImageSpec = imageSpec
	return storage, image, err
}

// leading are the names that lead to the image.
func leading(ctx context.Context, m *Model, storage ceph.Cluster) (keys, error) {
	var k keys
	for name := range uint8(m.clusters + 1) {
		_, err := storage.Image(ctx, ceph.ImageSpec{Pool: imageSpec.Pool, Name: nameOf(int8(name))})
		switch {
		case err == nil:
			k.names |= 1 << name
		case !errors.Is(err, ceph.ErrImageNotFound):
			return k, err
		}
	}
	return k, nil
}

// gives has imagename.Take give the image its owner's name, and compares what comes of it
// with [keys.work], [keys.step] and who has the lock in the model.
func (m *Model) gives(ctx context.Context, s state, c int) (string, error) {
	storage, image, err := m.memory(ctx, s)
	if err != nil {
		return "", err
	}
	image.Key = clusterNames[c]
	others := []string{renamer}
	if s.keys.only(s.keys.directory) {
		others = nil
	}
	_, holder, err := imagename.Take(ctx, storage, image, party(c), others, "10.0.9.9:0/1")
	var locked *ceph.LockedError
	if err != nil && !errors.As(err, &locked) {
		return "", err
	}
	want, free := s, true
	for next, any := want.keys.work(key(c), true); any && free; next, any = want.keys.work(key(c), true) {
		for free && next.phase != idle {
			if want, free = m.lockForRename(want, next); free {
				if want.keys, next, free = want.keys.step(next); !free {
					return "", fmt.Errorf("the model's rename fails")
				}
			}
		}
	}
	got, err := leading(ctx, m, storage)
	switch {
	case err != nil:
		return "", err
	case got.names != want.keys.names:
		return "", fmt.Errorf("the names that lead to it are %b; want %b", got.names, want.keys.names)
	case (locked == nil) != free:
		return "", fmt.Errorf("the lock was in the way: %v; want %v", locked, !free)
	case len(others) > 0 && !fenced(ctx, storage, renamer, ceph.MaxFence):
		return "", errors.New("a rename was mended, and who may be at it is not fenced")
	case !free:
		return "the lock is in the way", nil
	}
	stranger := holder != nil && !slices.Contains(m.own(c), holder.Addr)
	if m.lockedBy(want, c) >= 0 && !stranger {
		return "", errors.New("a stranger has the lock, and nobody says so")
	}
	if stranger {
		return "a stranger has the lock", nil
	}
	return "done", nil
}

// own are the clients of the cluster that may have the image mapped.
func (m *Model) own(c int) []string {
	var all []string
	for n, owner := range m.Nodes {
		if owner == c {
			all = append(all, m.instance(n, false, false), m.instance(n, false, true))
		}
	}
	return all
}

// fenced: an entry covers the client for at least so long.
func fenced(ctx context.Context, storage ceph.Fencer, client string, lasting time.Duration) bool {
	entries, err := storage.Blocklisted(ctx)
	return err == nil && slices.ContainsFunc(entries, func(e ceph.BlocklistEntry) bool {
		return e.Covers(client) && time.Until(e.Until) > lasting-time.Minute
	})
}

// takes has failover.Take carry out the plan. Either the record is as it was, or the image has
// no name but the new owner's, and none of the others can ever write to it.
func (m *Model) takes(ctx context.Context, s state, who int) (string, error) {
	c := m.Persons[who]
	storage, image, err := m.memory(ctx, s)
	if err != nil {
		return "", err
	}
	record := m.records.all[s.record]
	record.Revision, record.Keyed, record.Private, record.Exclusive = 0, true, true, m.Mapping == Exclusive
	if !s.keys.only(s.keys.directory) {
		record.Renamers = []string{renamer}
	}
	if record, err = storage.PutRecord(ctx, image, record); err != nil {
		return "", err
	}
	watchers, err := storage.Watchers(ctx, ceph.ImageSpec{Pool: imageSpec.Pool, Name: nameOf(int8(s.keys.directory))})
	if err != nil {
		return "", err
	}
	plan, ok := m.propose(record, watchers, who)
	if !ok {
		return "refused", nil
	}
	if plan.Wish.Self, err = storage.Self(ctx); err != nil {
		return "", err
	}
	if err := failover.Take(ctx, storage, plan, nil, func(failover.Step) {}); err != nil {
		now, readErr := ownership.Read(ctx, storage, image)
		if readErr != nil || now.State == ceph.Held && ownership.Owns(now, party(c)) {
			return "", fmt.Errorf("the record says %+v after %w", now, err)
		}
		return "broken off", readErr
	}
	got, err := leading(ctx, m, storage)
	if err != nil || got.names != 1<<key(c) {
		return "", fmt.Errorf("the names that lead to it are %b, %w", got.names, err)
	}
	for n, owner := range m.Nodes {
		client := s.watching(n, m)
		if owner != c && s.nodes[n].canWrite() && !fenced(ctx, storage, client, ceph.MaxFence) {
			return "", fmt.Errorf("%s can write", m.name(n))
		}
	}
	if len(record.Renamers) > 0 && !fenced(ctx, storage, renamer, ceph.MaxFence) {
		return "", errors.New("who may be renaming it is not fenced")
	}
	return "done", nil
}
