package csiconfig

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
)

// Object is what a [Get] reads, as client.Object of controller-runtime.
type Object interface {
	metav1.Object
	runtime.Object
}

// Get reads a ConfigMap or a Secret into an object of that type, from the API
// server or from a cache. Its errors are those of the API server.
type Get func(ctx context.Context, namespace, name string, into Object) error

// Reader reads ceph-csi's configuration from a Kubernetes cluster.
type Reader struct{ Client dynamic.Interface }

// Entry is [Get.Entry] by the reader's client.
func (r Reader) Entry(ctx context.Context, clusterID string, namespaces ...string) (Entry, error) {
	return Get(r.get).Entry(ctx, clusterID, namespaces...)
}

// Credentials is [Get.Credentials] by the reader's client.
func (r Reader) Credentials(ctx context.Context, ref corev1.SecretReference) (Credentials, error) {
	return Get(r.get).Credentials(ctx, ref)
}

func (r Reader) get(ctx context.Context, namespace, name string, into Object) error {
	resource := "configmaps"
	if _, ok := into.(*corev1.Secret); ok {
		resource = "secrets"
	}
	object, err := r.Client.Resource(corev1.SchemeGroupVersion.WithResource(resource)).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into)
}

// Entry returns the entry with that clusterID, which is in one of [Locations] in one of the
// namespaces. As for ceph-csi, a clusterID that cluster-mapping.json maps to one with an entry
// leads to that. It returns ErrNotFound when there is none.
//
// There may be several, because two installations of ceph-csi may use one clusterID. They have to
// mean the same, and the first is returned; otherwise it is ErrAmbiguous.
func (get Get) Entry(ctx context.Context, clusterID string, namespaces ...string) (Entry, error) {
	found, err := get.Find(ctx, clusterID, namespaces...)
	return found.Entry, err
}

// Found is an Entry, and the ConfigMap that has it.
type Found struct {
	Entry
	Namespace, ConfigMap string
}

func (f Found) String() string {
	text := fmt.Sprintf("ConfigMap %s/%s leads to monitors %s", f.Namespace, f.ConfigMap, strings.Join(f.Monitors, ","))
	return text + fmt.Sprintf(", rados namespace %q and subvolume group %q", f.RadosNamespace, f.SubvolumeGroup)
}

// means reports whether both are the same place on the same Ceph.
func (f Found) means(other Found) bool {
	return SameCeph(f.Monitors, other.Monitors) && f.RadosNamespace == other.RadosNamespace && f.SubvolumeGroup == other.SubvolumeGroup
}

// Find is [Get.Entry] that also returns where it is.
func (get Get) Find(ctx context.Context, clusterID string, namespaces ...string) (Found, error) {
	var looked []string
	var all []Found
	for i, namespace := range namespaces {
		if namespace == "" || slices.Contains(namespaces[:i], namespace) {
			continue
		}
		for _, location := range Locations() {
			entry, found, err := get.entry(ctx, clusterID, namespace, location)
			switch {
			case apierrors.IsNotFound(err):
				looked = append(looked, namespace+"/"+location.Name)
			case errors.Is(err, errEmpty):
				looked = append(looked, fmt.Sprintf("%s/%s (has no data[%s])", namespace, location.Name, location.Key))
			case err != nil:
				return Found{}, err
			case found:
				all = append(all, Found{entry, namespace, location.Name})
			default:
				looked = append(looked, namespace+"/"+location.Name+" (has no such entry)")
			}
		}
	}
	if len(all) == 0 {
		return Found{}, fmt.Errorf("%w for clusterID %q: looked at ConfigMap %s", ErrNotFound, clusterID, strings.Join(looked, ", "))
	}
	for _, other := range all[1:] {
		if !all[0].means(other) {
			return Found{}, fmt.Errorf("%w for clusterID %q: %s, and %s; correct the one that is wrong, or look only in the namespace of the right one (ceph.configNamespaces in the chart, --ceph-config-namespace)",
				ErrAmbiguous, clusterID, all[0], other)
		}
	}
	if field := all[0].Topology; field != "" {
		return Found{}, fmt.Errorf("%w: ConfigMap %s/%s has %s in the entry of clusterID %q; use a clusterID without it", ErrTopology, all[0].Namespace, all[0].ConfigMap, field, all[0].ClusterID)
	}
	return all[0], nil
}

// errEmpty means that a ConfigMap has nothing where the configuration would be.
var errEmpty = errors.New("no data")

// entry returns the entry in one place, if there is one.
func (get Get) entry(ctx context.Context, clusterID, namespace string, location Location) (Entry, bool, error) {
	var configMap corev1.ConfigMap
	if err := get(ctx, namespace, location.Name, &configMap); err != nil {
		return Entry{}, false, fmt.Errorf("read ConfigMap %s/%s: %w", namespace, location.Name, err)
	}
	data := configMap.Data[location.Key]
	if strings.TrimSpace(data) == "" {
		return Entry{}, false, errEmpty
	}
	entries, err := ParseConfig([]byte(data))
	if err != nil {
		return Entry{}, false, fmt.Errorf("ConfigMap %s/%s: data[%s]: %w", namespace, location.Name, location.Key, err)
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.ClusterID == clusterID })
	mapped, err := mappedEntry(entries, []byte(configMap.Data[mappingKey]), clusterID)
	switch {
	case err != nil:
		return Entry{}, false, fmt.Errorf("ConfigMap %s/%s: data[%s]: %w", namespace, location.Name, mappingKey, err)
	case mapped != nil:
		entry := *mapped
		entry.Mapped = i < 0 || !(Found{Entry: entry}).means(Found{Entry: entries[i]})
		return entry, true, nil
	case i < 0:
		return Entry{}, false, nil
	case len(entries[i].Monitors) == 0:
		return Entry{}, false, fmt.Errorf("ConfigMap %s/%s: the entry of clusterID %q has no monitors", namespace, location.Name, clusterID)
	}
	return entries[i], true, nil
}
