package main

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/csiconfig"
)

const (
	// fresh is for how long an object that was read counts: a change of the
	// configuration is in force after that.
	fresh = 5 * time.Second
	// ageing is after what time an object that somebody asks for is read again, while he
	// gets what is known. So nobody waits for it where many ask.
	ageing = 4 * time.Second
)

// recent reads objects and lists, and remembers them as long as they are fresh. Errors are
// not remembered, except that an object is not there.
type recent struct {
	api client.Reader

	mu      sync.Mutex
	answers map[string]answer
	// renewing are the keys of answers that are read again.
	renewing map[string]bool
}

type answer struct {
	object runtime.Object
	err    error
	at     time.Time
}

func newRecent(api client.Reader) *recent {
	return &recent{api: api, answers: map[string]answer{}, renewing: map[string]bool{}}
}

// get is a [csiconfig.Get].
func (r *recent) get(ctx context.Context, namespace, name string, into csiconfig.Object) error {
	_, err := r.getAt(ctx, namespace, name, into)
	return err
}

// getAt also returns when the object was read.
func (r *recent) getAt(ctx context.Context, namespace, name string, into csiconfig.Object) (time.Time, error) {
	return r.at(ctx, fmt.Sprintf("%T %s/%s", into, namespace, name), into, func(ctx context.Context, object runtime.Object) error {
		return r.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object.(client.Object))
	})
}

// listAt is getAt of a list.
func (r *recent) listAt(ctx context.Context, namespace string, into connect.ObjectList) (time.Time, error) {
	return r.at(ctx, fmt.Sprintf("%T in %q", into, namespace), into, func(ctx context.Context, list runtime.Object) error {
		return r.api.List(ctx, list.(client.ObjectList), client.InNamespace(namespace))
	})
}

// at returns what is known by the key, or asks for it.
func (r *recent) at(ctx context.Context, key string, into runtime.Object, ask func(context.Context, runtime.Object) error) (time.Time, error) {
	object := into.DeepCopyObject()
	read := func(ctx context.Context) (answer, error) { return r.read(ctx, key, object, ask) }
	r.mu.Lock()
	known := r.answers[key]
	age := time.Since(known.at)
	renew := age > ageing && age <= fresh && !r.renewing[key]
	if renew {
		r.renewing[key] = true
	}
	r.mu.Unlock()
	switch {
	case age > fresh:
		var err error
		if known, err = read(ctx); err != nil {
			return time.Time{}, err
		}
	case renew:
		go func() {
			// It is not the request of who happened to ask.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fresh)
			defer cancel()
			_, _ = read(ctx) // who asks when it is no longer fresh gets the error
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.renewing, key)
		}()
	}
	if known.err != nil {
		return known.at, known.err
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(known.object.DeepCopyObject()).Elem())
	return known.at, nil
}

// read counts from when it has begun: what changes meanwhile may not be in the answer.
func (r *recent) read(ctx context.Context, key string, object runtime.Object, ask func(context.Context, runtime.Object) error) (answer, error) {
	begin := time.Now()
	err := ask(ctx, object)
	if client.IgnoreNotFound(err) != nil {
		return answer{}, err
	}
	read := answer{object, err, begin}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers[key].at.Before(begin) {
		r.answers[key] = read
	}
	return read, nil
}

// remembered is a [connect.Source] that does not read again what it has read from objects
// that are not ageing yet. Errors are not remembered.
type remembered struct {
	recent *recent
	source connect.CSI

	mu    sync.Mutex
	known map[question]settled
}

type question struct {
	clusterID string
	secret    corev1.SecretReference
}

type settled struct {
	settings connect.Settings
	// oldest is when the oldest of the objects was read.
	oldest time.Time
}

// newRemembered is for a source without Get and Lists.
func newRemembered(recent *recent, source connect.CSI) *remembered {
	return &remembered{recent: recent, source: source, known: map[question]settled{}}
}

// Settings implements connect.Source.
func (r *remembered) Settings(ctx context.Context, clusterID string, secret corev1.SecretReference) (connect.Settings, error) {
	asked := question{clusterID, secret}
	r.mu.Lock()
	known := r.known[asked]
	r.mu.Unlock()
	if time.Since(known.oldest) <= ageing {
		return known.settings, nil
	}
	found := settled{oldest: time.Now()}
	note := func(at time.Time, err error) error {
		if at.Before(found.oldest) {
			found.oldest = at
		}
		return err
	}
	source := r.source
	source.Get = func(ctx context.Context, namespace, name string, into csiconfig.Object) error {
		return note(r.recent.getAt(ctx, namespace, name, into))
	}
	source.Lists = connect.List(func(ctx context.Context, namespace string, into connect.ObjectList) error {
		return note(r.recent.listAt(ctx, namespace, into))
	}).Lists()
	var err error
	if found.settings, err = source.Settings(ctx, clusterID, secret); err != nil {
		return connect.Settings{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.known, func(_ question, s settled) bool { return time.Since(s.oldest) > fresh })
	r.known[asked] = found
	return found.settings, nil
}
