package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// asked is an API server that notes what it is asked for, and fails where it is told to.
type asked struct {
	mu    sync.Mutex
	calls []string
	fail  string
}

func (a *asked) call(call string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, call)
	if call == a.fail {
		return errors.New("boom")
	}
	return nil
}

func (a *asked) client(objects ...client.Object) client.Reader {
	return fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if err := a.call(fmt.Sprintf("get %T %s", object, key.Name)); err != nil {
				return err
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if err := a.call(fmt.Sprintf("list %T", list)); err != nil {
				return err
			}
			return c.List(ctx, list, options...)
		},
	}).Build()
}

func cacheOf(objects ...client.Object) client.Reader {
	builder := fake.NewClientBuilder().WithObjects(objects...)
	for _, index := range Indexes() {
		builder.WithIndex(index.Object, index.Name, index.Of)
	}
	return builder.Build()
}

// TestNamed: what explains a watcher is read by name, as the API server has it.
func TestNamed(t *testing.T) {
	const getDriver, getNode = "get *v1.CSIDriver " + driver, "get *v1.Node e1"
	data := pv("shop.data", "data", "shop.data")
	attached := attachment(attachmentName("shop.data", driver, "e1"), driver, "shop.data")
	getAttached := "get *v1.VolumeAttachment " + attached.Name
	byHand := attachment("by-hand", driver, "shop.data")
	of := func(name string) client.Object { return attachment(attached.Name, driver, name) }
	holder := ceph.Node{Name: "e1"}
	var crowd []client.Object
	for i := range mostNamed + 1 {
		n := node()
		n.Name = fmt.Sprintf("n%02d", i)
		crowd = append(crowd, n)
	}
	detaching := attached.DeepCopy()
	detaching.Finalizers = []string{"external-attacher"}
	tests := map[string]struct {
		cached, objects []client.Object
		holders         []ceph.Node
		fail            string
		explained       bool
		want            []string
		wantErr         string
	}{
		"nothing is known": {
			objects: []client.Object{node(), attached}, want: []string{getDriver},
		},
		"the cache has a node at the address": {
			cached: []client.Object{node()}, objects: []client.Object{node(), attached}, explained: true,
			want: []string{getDriver, getNode, getAttached},
		},
		"the cache has an attachment, and not its node": {
			cached: []client.Object{byHand}, objects: []client.Object{node(), byHand}, explained: true,
			want: []string{getDriver, getNode, "get *v1.VolumeAttachment by-hand", getAttached},
		},
		"the record names the holder": {
			objects: []client.Object{node(), attached}, holders: []ceph.Node{holder, holder}, explained: true,
			want: []string{getDriver, getNode, getAttached},
		},
		"the attachment is gone": {
			cached: []client.Object{node(), attached}, objects: []client.Object{node()},
			want: []string{getDriver, getNode, getAttached},
		},
		"the attachment is going": {
			cached: []client.Object{node()}, objects: []client.Object{node(), detaching}, explained: true,
			want: []string{getDriver, getNode, getAttached},
		},
		"the attachment is that of another volume by now": {
			cached: []client.Object{node(), attached}, objects: []client.Object{node(), of("shop.other")},
			want: []string{getDriver, getNode, getAttached},
		},
		"the node is gone": {
			cached: []client.Object{node(), attached}, objects: []client.Object{attached},
			want: []string{getDriver, getNode, getAttached},
		},
		"many nodes have the address": {
			cached: crowd, objects: []client.Object{node(), attached}, explained: true,
			want: []string{getDriver, "list *v1.NodeList", "list *v1.VolumeAttachmentList"},
		},
		"a node cannot be read": {
			cached: []client.Object{node()}, fail: getNode, want: []string{getNode, getAttached}, wantErr: "read node e1: boom",
		},
		"an attachment cannot be read": {
			cached: []client.Object{node()}, fail: getAttached, want: []string{getNode, getAttached}, wantErr: "read VolumeAttachment " + attached.Name + ": boom",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			api := &asked{fail: test.fail}
			g := &Gatherer{Cache: cacheOf(test.cached...), API: api.client(test.objects...)}
			watcher := ceph.Watcher{Addr: onE1}
			local, err := g.Named(t.Context(), volumeOf(t, data), []ceph.Watcher{watcher}, test.holders)
			if text := fmt.Sprint(err); test.wantErr != "" && text != test.wantErr || test.wantErr == "" && err != nil {
				t.Errorf("got error %v, want %q", err, test.wantErr)
			}
			if got := local.Unexplained(watcher) == ""; got != test.explained {
				t.Errorf("explained is %v: %+v", got, local)
			}
			slices.Sort(api.calls)
			if diff := cmp.Diff(test.want, api.calls); diff != "" {
				t.Errorf("calls of the API server -want +got:\n%s", diff)
			}
		})
	}
}

// TestIndexes: an object is found by what it says, and others are no mistake.
func TestIndexes(t *testing.T) {
	reporting := node()
	reporting.Status.VolumesInUse = []corev1.UniqueVolumeName{"kubernetes.io/csi/" + driver + "^shop.data"}
	inline := attachment("inline", driver, "")
	inline.Spec.Source.PersistentVolumeName = nil
	objects := []client.Object{pv("shop.data", "data", "shop.data"), attachment("csi-1", driver, "shop.data"), reporting, inline, &storagev1.CSIDriver{}}
	got := map[string][]string{}
	for _, index := range Indexes() {
		for _, object := range objects {
			got[index.Name] = append(got[index.Name], index.Of(object)...)
		}
	}
	want := map[string][]string{
		"spec.claimRef": {"shop/data"}, "spec.claimRef.namespace": {"shop"}, "image": {"shop.data"},
		"spec.source.persistentVolumeName": {"shop.data"}, "status.addresses": {"10.0.1.11"},
		"status.volumesInUse": {"kubernetes.io/csi/" + driver + "^shop.data"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
