//go:build linux

package lab

import "context"

// CSIConfig is the form in which a cluster has ceph-csi's configuration. Both
// mean the same: the older one names the subvolume group that ceph-csi takes
// without a name.
type CSIConfig string

const (
	// OperatorConfig is ConfigMap ceph-csi-config, key config.json, which the
	// ceph-csi operator writes (Rook 1.18 and later).
	OperatorConfig CSIConfig = "ceph-csi-config"
	// RookConfig is ConfigMap rook-ceph-csi-config, key csi-cluster-config-json,
	// which Rook itself wrote before.
	RookConfig CSIConfig = "rook-ceph-csi-config"
)

// AddRook makes the objects that a Rook cluster in external mode has for RBD and
// CephFS: the StorageClasses ceph-block and ceph-filesystem, the CSI secrets and
// ceph-csi's configuration. See the folder manifests.
func (c *Cluster) AddRook(ctx context.Context, ceph *Ceph, config CSIConfig) error {
	manifests := ""
	for _, name := range []string{"rook.yaml", string(config) + ".yaml"} {
		content, err := render("manifests/"+name, map[string]any{
			"Pool": Pool, "Monitors": ceph.Monitors, "Filesystem": Filesystem, "DataPool": DataPool,
			"Provisioner": ceph.Provisioner, "Node": ceph.Node,
			"CephFSProvisioner": ceph.CephFSProvisioner, "CephFSNode": ceph.CephFSNode,
		})
		if err != nil {
			return err
		}
		manifests += "---\n" + content
	}
	return c.Apply(ctx, manifests)
}
