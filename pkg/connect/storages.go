package connect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/csiconfig"
)

const (
	// retryAfter is how long the error of a connection attempt answers for
	// further callers, so that they do not all wait for a Ceph that is down.
	retryAfter = time.Second
	// linger is how long a connection that no clusterID leads to any more stays
	// open: longer than anybody works with what Cluster returned.
	linger = time.Minute
	// renewAfter is after what time a connection may be renewed again.
	renewAfter = 10 * time.Second
)

// Settings say how to reach a Ceph cluster, and where in its pools to look.
type Settings struct {
	// Monitors are addresses as ceph-csi takes them, such as 10.0.0.1:6789.
	Monitors []string
	// User is the Ceph user without "client.", Key its key.
	User, Key string
	// RadosNamespace is empty for the default namespace.
	RadosNamespace string
	// SubvolumeGroup is where the subvolumes are in their file system.
	SubvolumeGroup string
	// CephFS is why CephFS volumes cannot be made by these settings; nil if they can.
	CephFS error
}

// Source knows the settings of clusterIDs.
type Source interface {
	// Settings returns the present settings of clusterID, or
	// csiconfig.ErrNotFound when there are none. The zero secret leaves the choice
	// of the user to the source. It is called each time, so it should be quick.
	Settings(ctx context.Context, clusterID string, secret corev1.SecretReference) (Settings, error)
}

// Dial connects to Ceph. It is bounded in time, and ends when ctx does.
type Dial func(ctx context.Context, config goceph.Config) (ceph.Cluster, error)

// Storages are connections by clusterID and secret. There is one per set of monitors, user
// and key, whoever asks for it.
type Storages struct {
	source Source
	dial   Dial
	// open ends when Storages is closed. Attempts to connect live as long, and not
	// as long as the caller who happened to be the first.
	open context.Context
	end  context.CancelFunc
	// closing are the connections that are being closed.
	closing sync.WaitGroup

	mu    sync.Mutex
	byID  map[id]*connection
	byKey map[key]*connection
}

// id is what a caller asks by.
type id struct {
	clusterID string
	secret    corev1.SecretReference
}

// key is what makes two connections one.
type key struct{ monitors, user, key string }

// connection is one connection, or what became of the attempt to make it. Its
// fields belong to Storages.mu.
type connection struct {
	key key
	// ids is how many ids lead here. With none, the connection lingers.
	ids     int
	lingers *time.Timer
	// attempt is the last one.
	attempt *attempt
	// renewed is when the last one was given up, see Renew.
	renewed time.Time
}

// attempt is an attempt to connect. The other fields are set when done is closed.
type attempt struct {
	done    chan struct{}
	cluster ceph.Cluster
	err     error
	ended   time.Time
}

// New is without connections yet.
func New(source Source, dial Dial) *Storages {
	s := &Storages{source: source, dial: dial, byID: map[id]*connection{}, byKey: map[key]*connection{}}
	s.open, s.end = context.WithCancel(context.Background())
	return s
}

// Cluster returns the Ceph cluster of clusterID, connected, and the rados
// namespace of its images. The first who asks makes the connection, and others
// wait for that as long as their ctx allows.
//
// The cluster is shared: closing it does nothing. It is for the work at hand and
// not to be kept, because a minute after the settings of clusterID have changed,
// it is closed.
//
// The errors are those of the Source, ceph.ErrUnreachable, ceph.ErrAuth and
// ceph.ErrSettings, those of ctx, and fs.ErrClosed after Close.
func (s *Storages) Cluster(ctx context.Context, clusterID string) (ceph.Cluster, string, error) {
	cluster, settings, err := s.ClusterAs(ctx, clusterID, corev1.SecretReference{})
	return cluster, settings.RadosNamespace, err
}

// ClusterAs is Cluster as the Ceph user in a CSI secret. It returns all settings.
func (s *Storages) ClusterAs(ctx context.Context, clusterID string, secret corev1.SecretReference) (ceph.Cluster, Settings, error) {
	cluster, settings, err := s.cluster(ctx, id{clusterID, secret})
	if err != nil {
		return nil, Settings{}, fmt.Errorf("find ceph cluster of clusterID %q: %w", clusterID, err)
	}
	return shared{cluster}, settings, nil
}

func (s *Storages) cluster(ctx context.Context, asked id) (ceph.Cluster, Settings, error) {
	settings, err := s.source.Settings(ctx, asked.clusterID, asked.secret)
	if errors.Is(err, csiconfig.ErrNotFound) {
		s.forget(asked)
	}
	if err != nil {
		return nil, Settings{}, err
	}
	a, err := s.lead(asked, settings)
	if err != nil {
		return nil, Settings{}, err
	}
	select {
	case <-a.done:
		return a.cluster, settings, a.err
	case <-ctx.Done():
	}
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return nil, Settings{}, err
	}
	return nil, Settings{}, fmt.Errorf("%w: %w", ceph.ErrUnreachable, ctx.Err())
}

// lead makes the id lead to the connection of these settings, and returns the
// attempt that made it, or a new one when the last one failed some time ago.
func (s *Storages) lead(asked id, settings Settings) (*attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open.Err() != nil {
		return nil, fs.ErrClosed
	}
	k := settings.key()
	to := s.byKey[k]
	if to == nil {
		to = &connection{key: k}
		s.byKey[k] = to
	}
	if s.byID[asked] != to {
		to.ids++
		if to.lingers != nil {
			to.lingers.Stop()
		}
		s.leave(asked)
		s.byID[asked] = to
	}
	if to.attempt == nil || to.attempt.expired() {
		to.attempt = s.connect(settings)
	}
	return to.attempt, nil
}

func (s Settings) key() key {
	// The order of the monitors means nothing.
	monitors := slices.Compact(slices.Sorted(slices.Values(s.Monitors)))
	return key{strings.Join(monitors, ","), s.User, s.Key}
}

// connect begins an attempt.
func (s *Storages) connect(settings Settings) *attempt {
	a := &attempt{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.cluster, a.err = s.dial(s.open, goceph.Config{Monitors: settings.Monitors, User: settings.User, Key: settings.Key})
		if a.err != nil && s.open.Err() != nil {
			a.err = fs.ErrClosed
		}
		a.ended = time.Now()
	}()
	return a
}

// expired says whether the attempt failed long enough ago for another.
func (a *attempt) expired() bool {
	select {
	case <-a.done:
		return a.err != nil && time.Since(a.ended) >= retryAfter
	default:
		return false
	}
}

// forget is for an id that is in the configuration no more.
func (s *Storages) forget(gone id) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(gone)
}

// leave makes the id lead nowhere. The caller holds mu.
func (s *Storages) leave(gone id) {
	from := s.byID[gone]
	if from == nil {
		return
	}
	delete(s.byID, gone)
	if from.ids--; from.ids == 0 {
		from.lingers = time.AfterFunc(linger, func() { s.retire(from) })
	}
}

// retire closes a connection that no id leads to.
func (s *Storages) retire(from *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.ids != 0 || s.byKey[from.key] != from {
		return
	}
	delete(s.byKey, from.key)
	if from.attempt == nil {
		return
	}
	s.closing.Go(func() {
		// What is wrong with it concerns nobody any more.
		_ = from.attempt.close()
	})
}

// close closes what the attempt made, when it has ended.
func (a *attempt) close() error {
	<-a.done
	if a.err != nil {
		return nil
	}
	return a.cluster.Close()
}

// Renew is for who was told ceph.ErrBlocklisted by what [Storages.Cluster] returned: the
// connection answers nothing any more, and the next caller gets another one. What was
// begun with it goes on for a minute. That happens once in a while only: where the whole
// machine is on the blocklist, each new connection is of as little use.
func (s *Storages) Renew(cluster ceph.Cluster) {
	of, ok := cluster.(shared)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byKey {
		if c.attempt == nil || !c.attempt.made(of.Cluster) || time.Since(c.renewed) < renewAfter {
			continue
		}
		old := c.attempt
		c.attempt, c.renewed = nil, time.Now()
		s.closing.Go(func() {
			select {
			case <-time.After(linger):
			case <-s.open.Done():
			}
			_ = old.close()
		})
	}
}

// made reports whether the attempt led to that connection.
func (a *attempt) made(cluster ceph.Cluster) bool {
	select {
	case <-a.done:
		return a.err == nil && a.cluster == cluster
	default:
		return false
	}
}

// Close closes all connections, and waits for that, bounded as their Close. A
// second Close does nothing.
func (s *Storages) Close() error {
	s.mu.Lock()
	s.end()
	connections := s.byKey
	s.byKey, s.byID = map[key]*connection{}, map[id]*connection{}
	s.mu.Unlock()

	var mu sync.Mutex
	var errs []error
	for _, connection := range connections {
		if connection.lingers != nil {
			connection.lingers.Stop()
		}
		if connection.attempt == nil {
			continue // it was renewed, and nobody has asked since
		}
		s.closing.Go(func() {
			err := connection.attempt.close()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	s.closing.Wait()
	return errors.Join(errs...)
}

// shared is a connection that is not the caller's to close.
type shared struct{ ceph.Cluster }

func (shared) Close() error { return nil }
