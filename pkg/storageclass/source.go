package storageclass

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/json"
)

// Resource is where the API server keeps StorageClasses.
var Resource = schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}

// Errors of [Find].
var (
	ErrNotFound = errors.New("no such StorageClass")
	ErrDefault  = errors.New("no single default StorageClass")
)

// Source lists the StorageClasses there are.
type Source func(ctx context.Context) ([]storagev1.StorageClass, error)

// FromCluster lists the classes of a cluster.
func FromCluster(client dynamic.Interface) Source {
	return func(ctx context.Context) ([]storagev1.StorageClass, error) {
		list, err := client.Resource(Resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list the cluster's StorageClasses: %w; name a file with --storage-class instead", err)
		}
		return convert(list)
	}
}

// FromFiles lists the classes in manifest files, YAML or JSON, also those in a
// List. Other kinds of objects in the files are passed over.
func FromFiles(names ...string) Source {
	return func(context.Context) ([]storagev1.StorageClass, error) {
		var all []storagev1.StorageClass
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read StorageClass: %w", err)
			}
			classes, err := read(bytes.NewReader(data))
			if err != nil {
				return nil, fmt.Errorf("read StorageClass from %q: %w", name, err)
			}
			if len(classes) == 0 {
				return nil, fmt.Errorf("read StorageClass from %q: the file has none", name)
			}
			all = append(all, classes...)
		}
		return all, nil
	}
}

func read(manifests io.Reader) ([]storagev1.StorageClass, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(manifests, 4096)
	var list unstructured.UnstructuredList
	for {
		var object unstructured.Unstructured
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return convert(&list)
		} else if err != nil {
			return nil, err
		}
		if !object.IsList() {
			list.Items = append(list.Items, object)
			continue
		}
		items, err := object.ToList()
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, items.Items...)
	}
}

// convert keeps the StorageClasses of a list.
func convert(list *unstructured.UnstructuredList) ([]storagev1.StorageClass, error) {
	var classes []storagev1.StorageClass
	for _, object := range list.Items {
		if object.GetKind() != "StorageClass" || object.GroupVersionKind().Group != Resource.Group {
			continue
		}
		var class storagev1.StorageClass
		data, err := object.MarshalJSON()
		if err == nil {
			err = json.UnmarshalCaseSensitivePreserveInts(data, &class)
		}
		if err != nil {
			return nil, fmt.Errorf("StorageClass %q: %w", object.GetName(), err)
		}
		classes = append(classes, class)
	}
	return classes, nil
}

// Find returns the class with that name, or for an empty name the default class:
// of several that are marked so the newest, as the API server decides
// (DefaultStorageClass admission). Files carry no creation time, so two defaults
// in files are an error.
func Find(classes []storagev1.StorageClass, name string) (*storagev1.StorageClass, error) {
	if name != "" {
		i := slices.IndexFunc(classes, func(c storagev1.StorageClass) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w as %q; there are: %s", ErrNotFound, name, namesOf(classes))
		}
		return &classes[i], nil
	}
	defaults := slices.DeleteFunc(slices.Clone(classes), func(c storagev1.StorageClass) bool { return !isDefault(c) })
	if len(defaults) == 0 {
		return nil, fmt.Errorf("%w: none of %s is marked as default", ErrDefault, namesOf(classes))
	}
	newest := slices.MaxFunc(defaults, func(a, b storagev1.StorageClass) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name)
	})
	if len(defaults) > 1 && newest.CreationTimestamp.IsZero() {
		return nil, fmt.Errorf("%w: %s are all marked as default; name one in spec.storageClassName", ErrDefault, namesOf(defaults))
	}
	return &newest, nil
}

// isDefault knows both annotations that the API server honours.
func isDefault(class storagev1.StorageClass) bool {
	return class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" ||
		class.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
}

func namesOf(classes []storagev1.StorageClass) string {
	if len(classes) == 0 {
		return "(no classes)"
	}
	var names []string
	for _, class := range classes {
		names = append(names, fmt.Sprintf("%q", class.Name))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
