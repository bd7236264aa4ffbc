//go:build lab

package scene

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// Storage is a Ceph with connections of its administrator, made at the first use: tests
// look so often that a process for each look would be most of their work.
type Storage struct {
	*lab.Ceph
	admin func() (ceph.Cluster, error)
	conn  func() (*rados.Conn, error)

	mu    sync.Mutex
	close []func() error
}

// Open prepares to look at a Ceph.
func Open(servers *lab.Ceph) *Storage {
	s := &Storage{Ceph: servers}
	s.admin = sync.OnceValues(func() (ceph.Cluster, error) {
		connected, err := goceph.Dial(context.Background(), goceph.Config{ConfFile: s.ConfFile})
		if err == nil {
			s.closes(connected.Close)
		}
		return connected, err
	})
	s.conn = sync.OnceValues(s.connect)
	return s
}

func (s *Storage) closes(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close = append(s.close, f)
}

// Close closes what was connected.
func (s *Storage) Close() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.close {
		err = errors.Join(err, f())
	}
	return err
}

// Admin is the connection that the product would have.
func (s *Storage) Admin(t testing.TB) ceph.Cluster {
	t.Helper()
	connected, err := s.admin()
	if err != nil {
		t.Fatal(err)
	}
	return connected
}

// Watcher is one of an image: "10.0.1.12:0/3311202721", "client.4153".
type Watcher struct{ Address, Client string }

// Host is the address without the instance.
func (w Watcher) Host() string { host, _, _ := strings.Cut(w.Address, ":"); return host }

// Watchers are those of an image.
func (s *Storage) Watchers(t testing.TB, image ceph.ImageSpec) []Watcher {
	t.Helper()
	listed, err := s.Admin(t).Watchers(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	var watchers []Watcher
	for _, w := range listed {
		watchers = append(watchers, Watcher{w.Addr, w.Client})
	}
	return watchers
}

// Free waits until nobody has the image open.
func (s *Storage) Free(t testing.TB, image ceph.ImageSpec) {
	t.Helper()
	Eventually(t, "nobody has "+image.String(), func() error {
		if w := s.Watchers(t, image); len(w) != 0 {
			return fmt.Errorf("it has watchers %v", w)
		}
		return nil
	})
}

// Stamps are what pods wrote into the image.
func (s *Storage) Stamps(t testing.TB, image ceph.ImageSpec) stamp.Log {
	t.Helper()
	log, err := s.readStamps(t.Context(), s.Admin(t), image)
	if err != nil {
		t.Fatalf("read stamps of %s: %v", image, err)
	}
	return log
}

// readStamps finds the image by any of its names. It may get another one before it is opened
// by the one that was found.
func (s *Storage) readStamps(ctx context.Context, admin ceph.ImageReader, image ceph.ImageSpec) (stamp.Log, error) {
	for tries := 1; ; tries++ {
		found, err := admin.Image(ctx, image)
		if err != nil {
			return stamp.Log{}, err
		}
		log, err := s.stamps(ceph.ImageSpec{Pool: image.Pool, Namespace: image.Namespace, Name: found.Named})
		if err == nil || tries == 3 {
			return log, err
		}
	}
}

// Wrote checks that the clusters wrote into the image one after the other, and each
// went on from what the other left.
func (s *Storage) Wrote(t testing.TB, image ceph.ImageSpec, clusters ...string) {
	t.Helper()
	log := s.Stamps(t, image)
	if err := log.Check(); err != nil {
		t.Error(err)
	}
	var got []string
	for _, run := range log.Runs() {
		got = append(got, run.Cluster)
	}
	if got = slices.Compact(got); !slices.Equal(got, clusters) {
		t.Errorf("writers of %s: %v, want %v", image, got, clusters)
	}
}
