package inventory

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Once reads each thing once, and not for every volume, until it forgets. It is for what all
// volumes have in common: lists of few things, and objects by name.
type Once struct {
	API client.Reader

	mu    sync.Mutex
	known map[string]read
}

// read is what became of reading something.
type read struct {
	object runtime.Object
	err    error
}

var _ client.Reader = (*Once)(nil)

// Get implements client.Reader.
func (o *Once) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	return o.read(ctx, fmt.Sprintf("%T %s %+v", into, key, options), into, func(into runtime.Object) error {
		return o.API.Get(ctx, key, into.(client.Object), options...)
	})
}

// List implements client.Reader.
func (o *Once) List(ctx context.Context, into client.ObjectList, options ...client.ListOption) error {
	var all client.ListOptions
	all.ApplyOptions(options)
	return o.read(ctx, fmt.Sprintf("%T in %q, %v %v, %d from %q", into, all.Namespace, all.LabelSelector, all.FieldSelector, all.Limit, all.Continue), into, func(into runtime.Object) error {
		return o.API.List(ctx, into.(client.ObjectList), options...)
	})
}

func (o *Once) read(ctx context.Context, key string, into runtime.Object, ask func(runtime.Object) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, ok := o.known[key]
	if !ok {
		known.object = into.DeepCopyObject()
		if known.err = ask(known.object); ctx.Err() != nil {
			return known.err // the next one has more time
		}
		if o.known == nil {
			o.known = map[string]read{}
		}
		o.known[key] = known
	}
	if known.err != nil {
		return known.err
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(known.object.DeepCopyObject()).Elem())
	return nil
}

// Forget makes it read anew.
func (o *Once) Forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known = nil
}
