package slim

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// page is how many objects are listed at a time.
const page = 1000

// Informers makes informers that list page by page, and make the objects of a page small
// before the next one comes. Informers ask for everything at once, where an API server cannot
// send it as a stream: then a start takes more memory than all that comes later.
func Informers(objects map[client.Object]cache.ByObject) func(toolscache.ListerWatcher, runtime.Object, time.Duration, toolscache.Indexers) toolscache.SharedIndexInformer {
	transforms := map[reflect.Type]toolscache.TransformFunc{}
	for object, by := range objects {
		transforms[reflect.TypeOf(object)] = by.Transform
	}
	return func(all toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		from, transform := toolscache.ToListerWatcherWithContext(all), transforms[reflect.TypeOf(object)]
		return toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
				return pages(ctx, options, from.ListWithContext, transform)
			},
			WatchFuncWithContext: from.WatchWithContext,
		}, object, resync, indexers)
	}
}

// pages lists all objects, as they are when the first page is listed.
func pages(ctx context.Context, options metav1.ListOptions, list func(context.Context, metav1.ListOptions) (runtime.Object, error), transform toolscache.TransformFunc) (runtime.Object, error) {
	// An API server has pages only of what is stored now, not of what it has in memory.
	options.ResourceVersion, options.ResourceVersionMatch, options.Limit, options.Continue = "", "", page, ""
	all := &internalversion.List{}
	for {
		one, err := list(ctx, options)
		if err != nil {
			return nil, err
		}
		about, err := meta.ListAccessor(one)
		if err != nil {
			return nil, fmt.Errorf("read a list: %w", err)
		}
		// Each object for itself: otherwise one keeps its page in memory.
		objects, err := meta.ExtractListWithAlloc(one)
		if err != nil {
			return nil, fmt.Errorf("read a list: %w", err)
		}
		for _, object := range objects {
			if transform != nil {
				small, err := transform(object)
				if err != nil {
					return nil, err
				}
				object = small.(runtime.Object)
			}
			all.Items = append(all.Items, object)
		}
		if all.ResourceVersion == "" {
			all.ResourceVersion = about.GetResourceVersion()
		}
		if options.Continue = about.GetContinue(); options.Continue == "" {
			return all, nil
		}
	}
}
