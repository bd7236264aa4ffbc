package slim_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/cephferry/cephferry/pkg/slim"
)

// nodes is an API server that cannot stream what it has, and gives it page by page.
type nodes struct {
	count int

	mu    sync.Mutex
	lists []metav1.ListOptions
}

func (n *nodes) List(options metav1.ListOptions) (runtime.Object, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lists = append(n.lists, options)
	from := 0
	if options.Continue != "" {
		var err error
		if from, err = strconv.Atoi(options.Continue); err != nil {
			return nil, err
		}
	}
	list := &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: "42"}}
	to := min(n.count, from+int(options.Limit))
	for i := from; i < to; i++ {
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", i)}}
		node.Status.Images = []corev1.ContainerImage{{Names: []string{"app:1"}}}
		list.Items = append(list.Items, node)
	}
	if to < n.count {
		list.Continue = fmt.Sprint(to)
	}
	return list, nil
}

func (n *nodes) Watch(options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil {
		return nil, errors.New("sendInitialEvents is forbidden")
	}
	if options.ResourceVersion != "42" {
		return nil, fmt.Errorf("the watch begins at %q", options.ResourceVersion)
	}
	return watch.NewFake(), nil
}

// TestInformers: all pages are in the cache, small, and the watch goes on from the first.
func TestInformers(t *testing.T) {
	for _, count := range []int{0, 1, 1000, 2001} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			server := &nodes{count: count}
			informer := slim.Informers(slim.Objects())(server, &corev1.Node{}, 0, toolscache.Indexers{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			go informer.RunWithContext(ctx)
			if !toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
				t.Fatal("it never has all nodes")
			}
			if got := len(informer.GetStore().ListKeys()); got != count {
				t.Errorf("%d nodes, want %d", got, count)
			}
			for _, object := range informer.GetStore().List() {
				if node := object.(*corev1.Node); len(node.Status.Images) > 0 {
					t.Fatalf("node %s is kept with its images", node.Name)
				}
			}
			server.mu.Lock()
			defer server.mu.Unlock()
			if want := max(1, (count+999)/1000); len(server.lists) != want {
				t.Errorf("%d lists, want %d", len(server.lists), want)
			}
			for _, options := range server.lists {
				if options.Limit != 1000 || options.ResourceVersion != "" {
					t.Errorf("listed with %+v", options)
				}
			}
		})
	}
}
