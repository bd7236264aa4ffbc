package cephtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// User says what a connection may do.
type User int

const (
	// Provisioner may do everything that package ceph asks for.
	Provisioner User = iota
	// Operator may do what a failover takes: change the blocklist and write
	// records.
	Operator
	// Observer may look at images and records and change nothing.
	Observer
	// Stranger has a valid key, and no rights in any pool.
	Stranger
	// Impostor has a key that Ceph does not accept.
	Impostor
)

// Pool is a pool and what is in it at the start.
type Pool struct {
	Name string
	// Namespaces are its rados namespaces, besides the default one.
	Namespaces []string
	// Full: the pool's quota is used up.
	Full bool
	// Images exist already.
	Images []Image
}

// Image is an image that exists already.
type Image struct {
	// Namespace is one of the pool's, or empty.
	Namespace, Name string
	Layout          ceph.Layout
	// ClaimSize is the size in the image's record. Zero: there is no record.
	ClaimSize uint64
	// Exclusive, Keyed and Private are those in it.
	Exclusive, Keyed, Private bool
	// Epoch is that in it: how often the image had an owner. None has it now.
	Epoch uint64
}

// Call is one call of a method of [ceph.Cluster], except Close.
type Call struct {
	// Method is the method's name.
	Method string
	// Image is the image that the call is about; for Namespaces only its Pool is
	// set, and nothing for those about the whole blocklist.
	Image ceph.ImageSpec
	// Subvolume is the subvolume that the call is about.
	Subvolume ceph.SubvolumeSpec
}

// Interceptor stands between the clients and Ceph. It carries the call out with
// proceed, or not; what it returns is the call's error. So it can refuse a call,
// delay it, or carry it out and lose the answer.
type Interceptor func(ctx context.Context, call Call, proceed func() error) error

// Ceph is a Ceph cluster in memory. Its methods are what an administrator does
// and what a test asks afterwards; [Ceph.Dial] gives a client.
type Ceph struct {
	mu        sync.Mutex
	intercept Interceptor
	pools     map[string]*pool
	// filesystems are by their names.
	filesystems map[string]*filesystem
	calls       []Call
	opened      int
	open        map[*client]bool
	// blocklist has the ends of the entries, by their addresses.
	blocklist map[string]time.Time
	daemons   []ceph.Daemon
	// fsid is the id of the cluster.
	fsid string
	// last is the last image id and object version that were given out.
	last uint64
}

type pool struct {
	id   int64
	full bool
	// namespaces has the default one as well, under the empty name.
	namespaces map[string]*namespace
}

type namespace struct {
	// images are by the names that lead to them; several lead to one after half a
	// rename.
	images  map[string]*image
	records map[string]object
	// keys have the uids of their clusters, listed ones perhaps another's: see
	// HalfClaimKey.
	keys, listed map[string]string
}

type image struct {
	id string
	// listed is the name in the directory.
	listed   string
	layout   ceph.Layout
	features []string
	locked   bool
	watchers []ceph.Watcher
	// holder holds the lock, see Writer.
	holder  ceph.Watcher
	written []string
}

type object struct {
	data    []byte
	version uint64
}

// New is a cluster with these pools and no file system, see
// [Ceph.AddFilesystem]. It panics when an image could not be made.
func New(pools ...Pool) *Ceph {
	c := &Ceph{
		pools:       map[string]*pool{},
		filesystems: map[string]*filesystem{},
		open:        map[*client]bool{},
		blocklist:   map[string]time.Time{},
		fsid:        newFSID(),
	}
	for i, p := range pools {
		added := &pool{id: int64(i + 1), namespaces: map[string]*namespace{}}
		c.pools[p.Name] = added
		for _, name := range append([]string{""}, p.Namespaces...) {
			added.namespaces[name] = &namespace{map[string]*image{}, map[string]object{}, map[string]string{}, map[string]string{}}
		}
	}
	for _, p := range pools {
		for _, i := range p.Images {
			made, err := c.createImage(ceph.ImageSpec{Pool: p.Name, Namespace: i.Namespace, Name: i.Name}, i.Layout)
			if err != nil {
				panic(err)
			}
			if i.ClaimSize != 0 {
				record := ceph.Record{Token: c.token(), ClaimSize: i.ClaimSize, Exclusive: i.Exclusive, Keyed: i.Keyed, Private: i.Private, Epoch: i.Epoch}
				c.pools[p.Name].namespaces[i.Namespace].records[ceph.RecordObject(made.ID)] = object{record.Encode(), c.next()}
			}
		}
		c.pools[p.Name].full = p.Full
	}
	return c
}

// newFSID is another one for each cluster, in the form of a uuid.
func newFSID() string {
	digits := fmt.Sprintf("%x", rand.Text())
	return strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]}, "-")
}

// Dial connects, or returns ceph.ErrAuth for an Impostor.
func (c *Ceph) Dial(ctx context.Context, user User) (ceph.Cluster, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connect to ceph: %w", err)
	}
	if user == Impostor {
		return nil, fmt.Errorf("connect to ceph: %w", ceph.ErrAuth)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	added := &client{ceph: c, user: user, self: fmt.Sprintf("203.0.113.7:0/%d", c.opened)}
	c.open[added] = true
	return added, nil
}

// Intercept puts an interceptor before every later call. Nil takes it away.
func (c *Ceph) Intercept(intercept Interceptor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.intercept = intercept
}

// Unreachable is an [Interceptor]: Ceph does not answer.
func Unreachable(context.Context, Call, func() error) error {
	return ceph.ErrUnreachable
}

// SetFull says whether the pool's quota is used up.
func (c *Ceph) SetFull(pool string, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[pool].full = full
}

// RemoveImage does what `rbd rm` does. The record stays.
func (c *Ceph) RemoveImage(spec ceph.ImageSpec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name, led := c.lookup(spec); led != nil {
		delete(c.pools[spec.Pool].namespaces[spec.Namespace].images, name)
	}
}

// LockImage maps the image as krbd does with its option exclusive, until unlock.
func (c *Ceph) LockImage(spec ceph.ImageSpec) (unlock func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, locked := c.lookup(spec)
	locked.locked = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		locked.locked = false
	}
}

// RenameImage does what `rbd rename` does: the image keeps its ID, its record and
// its watchers.
func (c *Ceph) RenameImage(spec ceph.ImageSpec, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	images := c.pools[spec.Pool].namespaces[spec.Namespace].images
	old, renamed := c.lookup(spec)
	delete(images, old)
	images[name], renamed.listed = renamed, name
}

// HalfRenameImage is a rename that died half-way: both names lead to the image, and
// the directory has the old one, or if listed, the new one.
func (c *Ceph) HalfRenameImage(spec ceph.ImageSpec, name string, listed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	images := c.pools[spec.Pool].namespaces[spec.Namespace].images
	_, renamed := c.lookup(spec)
	images[name] = renamed
	if listed {
		renamed.listed = name
	}
}

// AddWatcher opens the image read-write somewhere, see [ceph.Watcher]. A client on
// the blocklist cannot.
func (c *Ceph) AddWatcher(spec ceph.ImageSpec, watcher ceph.Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fenced(watcher.Addr) {
		_, watched := c.lookup(spec)
		watched.watchers = append(watched.watchers, watcher)
	}
}

// RemoveWatcher ends what AddWatcher began. Without such a watcher it does
// nothing.
func (c *Ceph) RemoveWatcher(spec ceph.ImageSpec, watcher ceph.Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, watched := c.lookup(spec)
	if i := slices.Index(watched.watchers, watcher); i >= 0 {
		watched.watchers = slices.Delete(watched.watchers, i, i+1)
	}
}

// ImageLayout is the layout of an image, with librbd's defaults filled in.
func (c *Ceph) ImageLayout(spec ceph.ImageSpec) ceph.Layout {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, found := c.lookup(spec)
	layout := found.layout
	layout.Features = slices.Clone(found.features)
	return layout
}

// WriteRecord overwrites the stored bytes of an image's record.
func (c *Ceph) WriteRecord(image ceph.Image, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[image.Pool].namespaces[image.Namespace].records[ceph.RecordObject(image.ID)] = object{data, c.next()}
}

// Calls are the calls so far, in the order of their beginning.
func (c *Ceph) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// Opened is how many connections were made so far.
func (c *Ceph) Opened() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// AssertClosed fails the test when a connection is still open.
func (c *Ceph) AssertClosed(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.open); n != 0 {
		t.Errorf("%d of %d connections to ceph were not closed", n, c.opened)
	}
}

func (c *Ceph) next() uint64 {
	c.last++
	return c.last
}

func (c *Ceph) token() string { return fmt.Sprintf("token-%d", c.next()) }
