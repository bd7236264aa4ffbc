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
	// further Ceph clusters, which do not know that user.
	Secret  corev1.SecretReference
	Secrets map[string]corev1.SecretReference
}

var _ Source = CSI{}

// Settings returns the settings of clusterID, or csiconfig.ErrNotFound. A secret
// that the caller names goes before those of s.
func (s CSI) Settings(ctx context.Context, clusterID string, secret corev1.SecretReference) (Settings, error) {
	entry, err := s.Get.Entry(ctx, clusterID, s.Namespaces...)
	if err != nil {
		return Settings{}, err
	}
	credentials, err := s.Get.Credentials(ctx, cmp.Or(secret, s.Secrets[clusterID], s.Secret))
	if err != nil {
		return Settings{}, err
	}
	return Settings{
		Monitors:       entry.Monitors,
		User:           credentials.User,
		Key:            credentials.Key,
		RadosNamespace: entry.RadosNamespace,
		SubvolumeGroup: entry.SubvolumeGroup,
	}, nil
}
