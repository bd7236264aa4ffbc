package main

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/csiconfig"
)

// once reads each object of ceph-csi's configuration once, and not for every volume,
// until it forgets.
type once struct {
	api   client.Reader
	mu    sync.Mutex
	known map[string]read
}

// read is what became of reading an object.
type read struct {
	object csiconfig.Object
	err    error
}

// get is a csiconfig.Get.
func (o *once) get(ctx context.Context, namespace, name string, into csiconfig.Object) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := fmt.Sprintf("%T %s/%s", into, namespace, name)
	known, ok := o.known[key]
	if !ok {
		object, ok := into.DeepCopyObject().(client.Object)
		if !ok {
			return fmt.Errorf("read %s: not an API object", key)
		}
		known = read{object, o.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)}
		if ctx.Err() != nil {
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

func (o *once) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known = nil
}
