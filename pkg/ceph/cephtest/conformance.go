package cephtest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// The pools of the suite, see Pools.
const (
	mainPool = "conformance"
	dataPool = "conformance-data"
	fullPool = "conformance-full"
)

// Pools are the pools that the suite needs and what is in them.
func Pools() []Pool {
	return []Pool{
		{Name: mainPool, Namespaces: []string{"north", "south", "survey", registerSpace, keyedSpace, keySpace}},
		{Name: dataPool},
		{Name: fullPool, Full: true, Images: []Image{
			{Name: "before", Layout: ceph.Layout{Size: mib, Features: []string{"layering"}}},
		}},
	}
}

// Harness is a Ceph cluster with the pools of [Pools], and the hands of its
// administrator. Its methods end the test when they cannot do what they are for.
type Harness interface {
	// Dial connects as a user whose rights, where it has any, are about the
	// pools of Pools. The suite closes the connection.
	Dial(t *testing.T, user User) (ceph.Cluster, error)
	// RemoveImage does what `rbd rm` does.
	RemoveImage(t *testing.T, spec ceph.ImageSpec)
	// MapImage maps the image as krbd does with its option exclusive, on a machine of
	// its own, until unmap.
	MapImage(t *testing.T, spec ceph.ImageSpec) (holder ceph.Watcher, unmap func())
	// ImageLayout returns the image's real layout, its features sorted.
	ImageLayout(t *testing.T, spec ceph.ImageSpec) ceph.Layout
	// RenameImage does what `rbd rename` does.
	RenameImage(t *testing.T, spec ceph.ImageSpec, name string)
	// HalfRenameImage does what `rbd rename` does and dies before the old name is
	// removed; unless listed, before the directory has the new one.
	HalfRenameImage(t *testing.T, image ceph.Image, name string, listed bool)
	// Watch opens the image read-write, as a pod's node does, until stop. The
	// watcher is what somebody else than the tested package says about it.
	Watch(t *testing.T, spec ceph.ImageSpec) (watcher ceph.Watcher, stop func())
	// Open opens the image read-write as Watch does, on a machine of its own, until
	// the test ends. With the feature exclusive-lock it takes the image's lock, and
	// keeps it; it takes it away from a holder that is no watcher any more, and
	// fails when the holder is one.
	Open(t *testing.T, spec ceph.ImageSpec) (Writing, error)
	// OpenWith opens the image read-write with a connection of the suite, until stop.
	OpenWith(t *testing.T, cluster ceph.Cluster, spec ceph.ImageSpec) (stop func())
	// HalfClaimKey lists the key for that cluster, as ClaimKey does first.
	HalfClaimKey(t *testing.T, pool, namespace, key, uid string)
	// Watchers returns how many clients watch the image's header.
	Watchers(t *testing.T, spec ceph.ImageSpec) int
	// WriteRecord overwrites the stored bytes of the image's record.
	WriteRecord(t *testing.T, image ceph.Image, data []byte)
	// Cut makes Ceph stop answering, until heal.
	Cut(t *testing.T) (heal func())
	// Bound is within what time a method must return while Ceph is cut.
	Bound() time.Duration
}

// Writing is an image that is open read-write on some machine, see [Harness].
type Writing interface {
	Watcher() ceph.Watcher
	// Write writes something into the image, and returns ceph.ErrBlocklisted when
	// Ceph says that.
	Write() error
}

// Conformance tests every promise that package ceph makes about the images of a
// [ceph.Cluster] on the cluster behind harness.
func Conformance(t *testing.T, harness Harness) {
	s := suite{harness}
	t.Run("images", s.images)
	t.Run("layouts", s.layouts)
	t.Run("namespaces", s.namespaces)
	t.Run("watchers", s.watchers)
	t.Run("growth", s.growth)
	t.Run("renames", s.renames)
	t.Run("half-done renames", s.halfRenames)
	t.Run("keys", s.keys)
	t.Run("keyed images", s.keyedImages)
	t.Run("lock holders", s.lockHolders)
	t.Run("self", s.self)
	t.Run("located", s.located)
	t.Run("fences", s.fences)
	t.Run("records", s.records)
	t.Run("notes", s.notes)
	t.Run("registrations", s.registrations)
	t.Run("survey", s.survey)
	t.Run("rights", s.rights)
	t.Run("full pool", s.fullPool)
	t.Run("pool not found", s.poolNotFound)
	t.Run("context", s.context)
	t.Run("close", s.close)
	t.Run("cut", s.cut)
}

type suite struct{ Harness }

// connect is a connection that ends with the test.
func (s suite) connect(t *testing.T, user User) ceph.Cluster {
	t.Helper()
	cluster, err := s.Dial(t, user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// create makes an image that the test needs.
func (s suite) create(t *testing.T, cluster ceph.Cluster, spec ceph.ImageSpec, size uint64) ceph.Image {
	t.Helper()
	image, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: size, Features: []string{"exclusive-lock", "layering"}})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// in names an image in the main pool's default namespace.
func in(name string) ceph.ImageSpec { return ceph.ImageSpec{Pool: mainPool, Name: name} }

const mib = 1 << 20

// method is a method of ceph.Cluster with arguments that need the rights and the
// pool, but no particular image.
type method struct {
	name string
	// needed is the user with the fewest rights who may.
	needed User
	call   func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error
}

// methods calls every method about an image.
func methods() []method {
	return []method{
		{"Image", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Image(ctx, image.ImageSpec)
			return err
		}},
		{"CreateImage", Provisioner, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			image.Name += "-new"
			_, err := cluster.CreateImage(ctx, image.ImageSpec, ceph.Layout{Size: mib})
			return err
		}},
		{"GrowImage", Provisioner, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			return cluster.GrowImage(ctx, image.ImageSpec, image.Size+mib)
		}},
		{"ImageNames", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.ImageNames(ctx, image)
			return err
		}},
		{"RenameImage", Provisioner, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.RenameImage(ctx, image, image.Name+"-renamed")
			return err
		}},
		{"Watchers", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Watchers(ctx, image.ImageSpec)
			return err
		}},
		{"Look", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Look(ctx, image.ImageSpec)
			return err
		}},
		{"Namespaces", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Namespaces(ctx, image.Pool)
			return err
		}},
		{"Record", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Record(ctx, image)
			return err
		}},
		{"PutRecord", Operator, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.PutRecord(ctx, image, ceph.Record{ClaimSize: image.Size})
			return err
		}},
		{"Registrations", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Registrations(ctx, image.Pool, image.Namespace)
			return err
		}},
		{"Registration", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Registration(ctx, image.Pool, image.Namespace, image.Name)
			if errors.Is(err, ceph.ErrRegistrationNotFound) {
				return nil
			}
			return err
		}},
		{"Note", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Note(ctx, image)
			return err
		}},
		{"PutNote", Operator, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			return cluster.PutNote(ctx, image, ceph.Note{Owner: "u-east"})
		}},
		{"PutRegistration", Operator, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.PutRegistration(ctx, image.Pool, image.Namespace, ceph.Registration{Party: ceph.Party{UID: image.Name}})
			return err
		}},
		{"Keys", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.Keys(ctx, image.Pool, image.Namespace)
			return err
		}},
		// A cluster that has a key already only reads.
		{"ClaimKey", Operator, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			name := rand.Text()
			_, err := cluster.ClaimKey(ctx, image.Pool, image.Namespace, ceph.Party{UID: name, Name: name})
			return err
		}},
		{"LockHolder", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			_, err := cluster.LockHolder(ctx, image.ImageSpec)
			return err
		}},
		{"Barrier", Observer, func(ctx context.Context, cluster ceph.Cluster, image ceph.Image) error {
			return cluster.Barrier(ctx, image.ImageSpec)
		}},
	}
}

func (s suite) poolNotFound(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	for _, m := range methods() {
		t.Run(m.name, func(t *testing.T) {
			image := ceph.Image{ImageSpec: ceph.ImageSpec{Pool: "no-such-pool", Name: "image"}, ID: "1"}
			wantError(t, m.call(t.Context(), cluster, image), ceph.ErrPoolNotFound)
		})
	}
}

func (s suite) rights(t *testing.T) {
	t.Run("a wrong key", func(t *testing.T) {
		cluster, err := s.Dial(t, Impostor)
		if err == nil {
			cluster.Close()
		}
		wantError(t, err, ceph.ErrAuth)
	})
	provisioner := s.connect(t, Provisioner)
	image := s.create(t, provisioner, in("rights"), mib)
	record, err := provisioner.PutRecord(t.Context(), image, ceph.Record{ClaimSize: mib})
	if err != nil {
		t.Fatal(err)
	}
	operator, observer, stranger := s.connect(t, Operator), s.connect(t, Observer), s.connect(t, Stranger)
	for _, m := range methods() {
		t.Run("an operator and "+m.name, func(t *testing.T) {
			// One may, and is told that there is a record already.
			err := m.call(t.Context(), operator, image)
			if denied := errors.Is(err, ceph.ErrPermission); denied != (m.needed < Operator) {
				t.Errorf("got error %v", err)
			}
		})
		t.Run("an observer and "+m.name, func(t *testing.T) {
			var want error
			if m.needed < Observer {
				want = ceph.ErrPermission
			}
			wantError(t, m.call(t.Context(), observer, image), want)
		})
		t.Run("a stranger and "+m.name, func(t *testing.T) {
			wantError(t, m.call(t.Context(), stranger, image), ceph.ErrPermission)
		})
	}
	after, err := provisioner.Record(t.Context(), image)
	wantSame(t, after, record)
	wantError(t, err, nil)
	unchanged, err := provisioner.Image(t.Context(), image.ImageSpec)
	wantSame(t, unchanged, image)
	wantError(t, err, nil)
}

func (s suite) fullPool(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	full := ceph.ImageSpec{Pool: fullPool, Name: "image"}
	layout := ceph.Layout{Size: mib, Features: []string{"layering"}}

	_, err := cluster.CreateImage(t.Context(), full, layout)
	wantError(t, err, ceph.ErrPoolFull)

	_, err = cluster.Image(t.Context(), full)
	wantError(t, err, ceph.ErrImageNotFound)

	before := ceph.ImageSpec{Pool: fullPool, Name: "before"}
	_, err = cluster.CreateImage(t.Context(), before, layout)
	wantError(t, err, ceph.ErrImageExists)
	wantError(t, cluster.GrowImage(t.Context(), before, 9*mib), nil)
	image, err := cluster.Image(t.Context(), before)
	wantError(t, err, nil)
	_, err = cluster.RenameImage(t.Context(), image, "after")
	wantError(t, err, ceph.ErrPoolFull)
	names, err := cluster.ImageNames(t.Context(), image, "after")
	wantError(t, err, nil)
	wantSame(t, names, []string{"before"})

	_, err = cluster.PutRecord(t.Context(), ceph.Image{ImageSpec: full, ID: "1"}, ceph.Record{ClaimSize: mib})
	wantError(t, err, ceph.ErrPoolFull)

	wantError(t, cluster.PutNote(t.Context(), ceph.Image{ImageSpec: full, ID: "1"}, ceph.Note{Owner: "u"}), ceph.ErrPoolFull)

	_, err = cluster.Record(t.Context(), ceph.Image{ImageSpec: full, ID: "1"})
	wantError(t, err, ceph.ErrRecordNotFound)

	_, err = cluster.ClaimKey(t.Context(), fullPool, "", ceph.Party{UID: "u", Name: "key"})
	wantError(t, err, ceph.ErrPoolFull)

	_, err = cluster.PutRegistration(t.Context(), fullPool, "", ceph.Registration{Party: ceph.Party{UID: "u"}})
	wantError(t, err, ceph.ErrPoolFull)
}

func (s suite) context(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	image := s.create(t, cluster, in("context"), mib)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, m := range methods() {
		t.Run(m.name+" with a context that ended", func(t *testing.T) {
			wantError(t, m.call(ctx, cluster, image), context.Canceled)
		})
	}
}

func (s suite) cut(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	image := s.create(t, cluster, in("cut"), mib)
	heal := s.Cut(t)
	type outcome struct {
		method method
		err    error
		took   time.Duration
	}
	outcomes := make(chan outcome)
	for _, m := range methods() {
		go func() {
			start := time.Now()
			err := m.call(t.Context(), cluster, image)
			outcomes <- outcome{m, err, time.Since(start)}
		}()
	}
	for range methods() {
		o := <-outcomes
		if !errors.Is(o.err, ceph.ErrUnreachable) {
			t.Errorf("%s: %v; want %v", o.method.name, o.err, ceph.ErrUnreachable)
		}
		if o.took > s.Bound() {
			t.Errorf("%s took %v; want at most %v", o.method.name, o.took, s.Bound())
		}
	}
	heal()

	// A write whose answer was lost may have been carried out, so only what a
	// person would do next is certain: the same again.
	s.eventually(t, "the image can have its name", func() error {
		_, err := cluster.RenameImage(t.Context(), image, image.Name, image.Name+"-renamed")
		return err
	})
	s.eventually(t, "the image can be read", func() error {
		_, err := cluster.Image(t.Context(), image.ImageSpec)
		return err
	})
	s.eventually(t, "its watchers can be listed", func() error {
		_, err := cluster.Watchers(t.Context(), image.ImageSpec)
		return err
	})
	s.eventually(t, "the image that could not be made is there", func() error {
		spec := image.ImageSpec
		spec.Name += "-new"
		_, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: mib})
		if !errors.Is(err, ceph.ErrImageExists) {
			return err
		}
		_, err = cluster.Image(t.Context(), spec)
		return err
	})
	s.eventually(t, "the image can grow", func() error {
		return cluster.GrowImage(t.Context(), image.ImageSpec, 3*mib)
	})
	s.eventually(t, "the cluster can be registered", func() error {
		registration, err := cluster.Registration(t.Context(), mainPool, "", image.Name)
		if err != nil && !errors.Is(err, ceph.ErrRegistrationNotFound) {
			return err
		}
		registration.UID = image.Name
		_, err = cluster.PutRegistration(t.Context(), mainPool, "", registration)
		return err
	})
	s.eventually(t, "the cluster has its key", func() error {
		key, err := cluster.ClaimKey(t.Context(), mainPool, "", ceph.Party{UID: "uid-" + image.Name, Name: "key-" + image.Name})
		if err == nil && key != "key-"+image.Name {
			t.Errorf("its key is %q", key)
		}
		return err
	})
	s.eventually(t, "the record can be written", func() error {
		record, err := cluster.Record(t.Context(), image)
		if err != nil && !errors.Is(err, ceph.ErrRecordNotFound) {
			return err
		}
		record.ClaimSize = 5 * mib
		_, err = cluster.PutRecord(t.Context(), image, record)
		return err
	})
	if t.Failed() {
		return
	}
	record, err := cluster.Record(t.Context(), image)
	wantError(t, err, nil)
	wantSame(t, record.ClaimSize, uint64(5*mib))
	grown, err := cluster.Image(t.Context(), image.ImageSpec)
	wantError(t, err, nil)
	wantSame(t, grown.Size, uint64(3*mib))
}

// eventually repeats what a person repeats after an outage, as long as the error
// is one that goes away by itself.
func (s suite) eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	eventually(t, 10*s.Bound(), what, try)
}

func eventually(t *testing.T, limit time.Duration, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		transient := errors.Is(err, ceph.ErrUnreachable) || errors.Is(err, ceph.ErrRecordChanged) || errors.Is(err, ceph.ErrRegistrationChanged)
		if !transient || time.Now().After(deadline) {
			t.Errorf("%s: %v", what, err)
			return
		}
	}
}
