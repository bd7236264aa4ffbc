package connect

import (
	"cmp"
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/csiconfig"
)

// CSI is the [Source] that reads what ceph-csi is configured with in this
// Kubernetes cluster. It remembers nothing, so a change counts as soon as Get
// shows it.
type CSI struct {
	Get csiconfig.Get
	// Namespaces are where to look for ceph-csi's configuration, in this order.
	Namespaces []string
	// Secret has user and key. Secrets has other ones for the clusterIDs of
	// further Ceph clusters, which do not know that user. Where neither names one, it is
	// found by Lists.
	Secret  corev1.SecretReference
	Secrets map[string]corev1.SecretReference
	Lists   Lists
}

var _ Source = CSI{}

// Settings returns the settings of clusterID, or csiconfig.ErrNotFound. A secret
// that the caller names goes before those of s.
func (s CSI) Settings(ctx context.Context, clusterID string, secret corev1.SecretReference) (Settings, error) {
	found, err := s.Get.Find(ctx, clusterID, s.Namespaces...)
	if err != nil {
		return Settings{}, err
	}
	var credentials csiconfig.Credentials
	if ref := cmp.Or(secret, s.Secrets[clusterID], s.Secrets[found.ClusterID], s.Secret); ref.Name != "" {
		credentials, err = s.Get.Credentials(ctx, ref)
	} else {
		credentials, err = s.find(ctx, clusterID, found)
	}
	if err != nil {
		return Settings{}, err
	}
	return Settings{
		Monitors:       found.Monitors,
		User:           credentials.User,
		Key:            credentials.Key,
		RadosNamespace: found.RadosNamespace,
		SubvolumeGroup: found.SubvolumeGroup,
		CephFS:         found.ForCephFS(clusterID),
	}, nil
}
