// Package csiconfig finds what ceph-csi is configured with in a Kubernetes
// cluster, so that nobody has to configure it twice: monitors and rados
// namespace by clusterID from its config.json, with cluster-mapping.json, user and key
// from a CSI secret.
package csiconfig

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
)

// ErrNotFound means that the cluster has no ceph-csi configuration, or none for
// the clusterID, where this package looks.
var ErrNotFound = errors.New("no ceph-csi configuration")

// Entry is one Ceph cluster of config.json.
type Entry struct {
	ClusterID string
	// Monitors are addresses as ceph-csi takes them, such as 10.0.0.1:6789.
	Monitors []string
	// RadosNamespace is where images of this clusterID live in their pool. Empty
	// is the default namespace.
	RadosNamespace string
	// SubvolumeGroup is where CephFS subvolumes of this clusterID live in their
	// file system.
	SubvolumeGroup string
}

// defaultSubvolumeGroup is ceph-csi's, for an entry that names none.
const defaultSubvolumeGroup = "csi"

// Credentials are a cephx user, without the prefix "client.", and its key.
type Credentials struct{ User, Key string }

// Location names a ConfigMap that holds config.json, and its key.
type Location struct{ Name, Key string }

// Locations are the ConfigMaps that ceph-csi's configuration can be in: the one
// of the ceph-csi-operator (Rook 1.18 and later) and of ceph-csi's own charts,
// and the one that Rook wrote before. Rook deletes the older one when it uses
// the operator, so the first that is found holds.
func Locations() []Location {
	return []Location{
		{Name: "ceph-csi-config", Key: "config.json"},
		{Name: "rook-ceph-csi-config", Key: "csi-cluster-config-json"},
	}
}

// storedEntry is an Entry in config.json.
type storedEntry struct {
	ClusterID string   `json:"clusterID"`
	Monitors  []string `json:"monitors"`
	RBD       struct {
		RadosNamespace string `json:"radosNamespace"`
	} `json:"rbd"`
	CephFS struct {
		SubvolumeGroup string `json:"subvolumeGroup"`
	} `json:"cephFS"`
	// RadosNamespace stood at the top before ceph-csi 3.7.
	RadosNamespace string `json:"radosNamespace"`
}

// ParseConfig reads config.json. Fields that this package has no use for are
// passed over.
func ParseConfig(data []byte) ([]Entry, error) {
	var stored []storedEntry
	if err := json.Unmarshal(data, &stored); err != nil {
		return nil, fmt.Errorf("parse ceph-csi's config.json: %w", err)
	}
	var entries []Entry
	for _, e := range stored {
		entries = append(entries, Entry{
			ClusterID:      e.ClusterID,
			Monitors:       e.Monitors,
			RadosNamespace: cmp.Or(e.RBD.RadosNamespace, e.RadosNamespace),
			SubvolumeGroup: cmp.Or(e.CephFS.SubvolumeGroup, defaultSubvolumeGroup),
		})
	}
	return entries, nil
}

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

// Entry returns the entry with that clusterID from the first of [Locations] that
// has one, in the given namespaces in their order. As for ceph-csi, a clusterID that
// cluster-mapping.json maps to one with an entry leads to that. It returns
// ErrNotFound when there is none.
func (get Get) Entry(ctx context.Context, clusterID string, namespaces ...string) (Entry, error) {
	var looked []string
	for i, namespace := range namespaces {
		if namespace == "" || slices.Contains(namespaces[:i], namespace) {
			continue
		}
		for _, location := range Locations() {
			entry, found, err := get.entry(ctx, clusterID, namespace, location)
			switch {
			case apierrors.IsNotFound(err):
				looked = append(looked, namespace+"/"+location.Name)
			case err != nil:
				return Entry{}, err
			case found:
				return entry, nil
			default:
				looked = append(looked, namespace+"/"+location.Name+" (has no such entry)")
			}
		}
	}
	return Entry{}, fmt.Errorf("%w for clusterID %q: looked at ConfigMap %s", ErrNotFound, clusterID, strings.Join(looked, ", "))
}

// entry returns the entry in one place, if there is one.
func (get Get) entry(ctx context.Context, clusterID, namespace string, location Location) (Entry, bool, error) {
	var configMap corev1.ConfigMap
	if err := get(ctx, namespace, location.Name, &configMap); err != nil {
		return Entry{}, false, fmt.Errorf("read ConfigMap %s/%s: %w", namespace, location.Name, err)
	}
	data, ok := configMap.Data[location.Key]
	if !ok {
		return Entry{}, false, fmt.Errorf("ConfigMap %s/%s: data[%s] is missing", namespace, location.Name, location.Key)
	}
	entries, err := ParseConfig([]byte(data))
	if err != nil {
		return Entry{}, false, fmt.Errorf("ConfigMap %s/%s: data[%s]: %w", namespace, location.Name, location.Key, err)
	}
	mapped, err := parseMapping([]byte(configMap.Data[mappingKey]), clusterID)
	if err != nil {
		return Entry{}, false, fmt.Errorf("ConfigMap %s/%s: data[%s]: %w", namespace, location.Name, mappingKey, err)
	}
	for _, id := range mapped {
		if i := slices.IndexFunc(entries, func(e Entry) bool { return e.ClusterID == id }); i >= 0 && len(entries[i].Monitors) > 0 {
			return entries[i], true, nil
		}
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.ClusterID == clusterID })
	switch {
	case i < 0:
		return Entry{}, false, nil
	case len(entries[i].Monitors) == 0:
		return Entry{}, false, fmt.Errorf("ConfigMap %s/%s: the entry of clusterID %q has no monitors", namespace, location.Name, clusterID)
	}
	return entries[i], true, nil
}

// mappingKey is cluster-mapping.json, which stands beside config.json and may be
// missing. ceph-csi-operator writes it from its ClientProfileMappings.
const mappingKey = "cluster-mapping.json"

// storedMapping is an entry of cluster-mapping.json. Pool IDs are mapped there, too.
type storedMapping struct {
	ClusterIDMapping map[string]string `json:"clusterIDMapping"`
}

// parseMapping returns the clusterIDs that clusterID is mapped to, in either direction:
// both sides of a disaster recovery get the same file. They go before clusterID's own
// entry (ceph-csi, internal/util: FetchMappedClusterIDAndMons).
func parseMapping(data []byte, clusterID string) ([]string, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var stored []storedMapping
	if err := json.Unmarshal(data, &stored); err != nil {
		return nil, fmt.Errorf("parse ceph-csi's cluster-mapping.json: %w", err)
	}
	var all []string
	for _, mapping := range stored {
		for _, from := range slices.Sorted(maps.Keys(mapping.ClusterIDMapping)) {
			switch to := mapping.ClusterIDMapping[from]; clusterID {
			case from:
				all = append(all, to)
			case to:
				all = append(all, from)
			}
		}
	}
	return all, nil
}

// Credentials reads a CSI secret. Rook writes userID without "client.", people
// write it with. A CephFS secret may have adminID and adminKey instead: Rook wrote
// those before 1.18.
func (get Get) Credentials(ctx context.Context, ref corev1.SecretReference) (Credentials, error) {
	var secret corev1.Secret
	if err := get(ctx, ref.Namespace, ref.Name, &secret); err != nil {
		return Credentials{}, fmt.Errorf("read Secret %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	value := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	user, key := "userID", "userKey"
	if value(user) == "" && value(key) == "" && value("adminID") != "" {
		user, key = "adminID", "adminKey"
	}
	for _, name := range []string{user, key} {
		if value(name) == "" {
			return Credentials{}, fmt.Errorf("read Secret %s/%s: data[%s] is missing", ref.Namespace, ref.Name, name)
		}
	}
	return Credentials{User: strings.TrimPrefix(value(user), "client."), Key: value(key)}, nil
}
