package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// location is what ceph-csi's configuration and the volume's secret say about it.
type location struct {
	settings CephSettings
	config   csiEntry
}

// locate finds out how to reach the volume's Ceph, as ceph-csi does.
func (n *node) locate(ctx context.Context, pv *corev1.PersistentVolume) (location, error) {
	ref := pv.Spec.CSI.NodeStageSecretRef
	if ref == nil {
		return location{}, errors.New("stage secrets cannot be nil or empty")
	}
	secret, err := n.Client.CoreV1().Secrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return location{}, fmt.Errorf("read secret: %w", err)
	}
	entry, err := n.csiConfig(ctx, pv.Spec.CSI.VolumeAttributes["clusterID"])
	if err != nil {
		return location{}, err
	}
	return location{
		settings: CephSettings{
			MonHost: strings.Join(entry.Monitors, ","),
			User:    string(secret.Data["userID"]),
			Key:     string(secret.Data["userKey"]),
		},
		config: entry,
	}, nil
}

type csiEntry struct {
	ClusterID string   `json:"clusterID"`
	Monitors  []string `json:"monitors"`
	RBD       struct {
		RadosNamespace string `json:"radosNamespace"`
	} `json:"rbd"`
}

// csiConfig reads ceph-csi's config.json, which is mounted into its pods.
func (n *node) csiConfig(ctx context.Context, clusterID string) (csiEntry, error) {
	for name, key := range map[string]string{"ceph-csi-config": "config.json", "rook-ceph-csi-config": "csi-cluster-config-json"} {
		config, err := n.Client.CoreV1().ConfigMaps(string(n.Operator)).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return csiEntry{}, fmt.Errorf("read config: %w", err)
		}
		var entries []csiEntry
		if err := json.Unmarshal([]byte(config.Data[key]), &entries); err != nil {
			return csiEntry{}, fmt.Errorf("read config: %w", err)
		}
		for _, entry := range entries {
			if entry.ClusterID == clusterID {
				return entry, nil
			}
		}
	}
	return csiEntry{}, fmt.Errorf("missing configuration for cluster ID %q", clusterID)
}
