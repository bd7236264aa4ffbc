// Package csiconfig finds what ceph-csi is configured with in a Kubernetes
// cluster, so that nobody has to configure it twice: monitors and rados
// namespace by clusterID, from its config.json and cluster-mapping.json; and user and key,
// from a CSI secret.
package csiconfig

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ErrNotFound means that the cluster has no ceph-csi configuration, or none for
// the clusterID, where this package looks.
var ErrNotFound = errors.New("no ceph-csi configuration")

// ErrAmbiguous means that ceph-csi's configuration says two things of one clusterID. Which of
// them a node goes by cannot be known.
var ErrAmbiguous = errors.New("ceph-csi's configuration is ambiguous")

// ErrTopology means that volumes of a clusterID are for some nodes only.
var ErrTopology = errors.New("a migratable volume is on one Ceph, for every node")

// ErrMapped means that a mapping of a clusterID does not count for CephFS (ceph-csi,
// internal/cephfs/store: GetClusterInformation).
var ErrMapped = errors.New("ceph-csi maps the clusterIDs of RBD volumes, not those of CephFS")

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
	// KernelMountOptions are what the kernel mounts CephFS with besides a volume's own.
	KernelMountOptions string
	// Secrets are those that the entry names.
	Secrets Secrets
	// Topology is the field by which the entry offers the cluster for some nodes only; empty if
	// it does not.
	Topology string
	// Mapped says that cluster-mapping.json led here from a clusterID that has no entry of its
	// own, or another one. ceph-csi follows it for RBD only.
	Mapped bool
}

// ForCephFS returns ErrMapped for an entry that ceph-csi does not find for CephFS volumes.
func (e Entry) ForCephFS(clusterID string) error {
	if !e.Mapped {
		return nil
	}
	return fmt.Errorf("%w: cluster-mapping.json leads clusterID %q to %q; use a StorageClass of clusterID %q", ErrMapped, clusterID, e.ClusterID, e.ClusterID)
}

// Secrets are the CSI secrets of a clusterID. One that has no name is not known.
type Secrets struct{ Node, Provisioner, CephFSProvisioner corev1.SecretReference }

// defaultSubvolumeGroup is ceph-csi's, for an entry that names none.
const defaultSubvolumeGroup = "csi"

// Credentials are a cephx user, without the prefix "client.", and its key.
type Credentials struct{ User, Key string }

// Location names a ConfigMap that holds config.json, and its key.
type Location struct{ Name, Key string }

// Locations are the ConfigMaps that ceph-csi's configuration can be in: the one
// of the ceph-csi-operator (Rook 1.18 and later) and of ceph-csi's own charts,
// and the one that Rook wrote before. When Rook uses the operator, the older one is gone or
// an empty list.
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
		RadosNamespace    string                 `json:"radosNamespace"`
		ControllerPublish corev1.SecretReference `json:"controllerPublishSecretRef"`
		NodePublish       corev1.SecretReference `json:"nodePublishSecretRef"`
	} `json:"rbd"`
	CephFS struct {
		SubvolumeGroup     string                 `json:"subvolumeGroup"`
		KernelMountOptions string                 `json:"kernelMountOptions"`
		ControllerPublish  corev1.SecretReference `json:"controllerPublishSecretRef"`
	} `json:"cephFS"`
	// Topology is proposed for ceph-csi (pull request 5986).
	Topology any `json:"topologyDomainLabels"`
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
		entry := Entry{
			ClusterID:          e.ClusterID,
			Monitors:           e.Monitors,
			RadosNamespace:     cmp.Or(e.RBD.RadosNamespace, e.RadosNamespace),
			SubvolumeGroup:     cmp.Or(e.CephFS.SubvolumeGroup, defaultSubvolumeGroup),
			KernelMountOptions: e.CephFS.KernelMountOptions,
			Secrets:            Secrets{Node: e.RBD.NodePublish, Provisioner: e.RBD.ControllerPublish, CephFSProvisioner: e.CephFS.ControllerPublish},
		}
		if e.Topology != nil {
			entry.Topology = "topologyDomainLabels"
		}
		entries = append(entries, entry)
	}
	return entries, nil
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
