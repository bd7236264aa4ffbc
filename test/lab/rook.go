//go:build linux

package lab

import (
	"cmp"
	"context"
)

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

// Rook says how the objects of a Rook cluster in external mode are named. What is
// left empty has Rook's own name, which is also that of its examples.
type Rook struct {
	Config CSIConfig
	// Operator is the operator's namespace (rook-ceph). The names of the drivers
	// begin with it, and ceph-csi's configuration is there.
	Operator string
	// Namespace is the CephCluster's (rook-ceph), where the CSI secrets are.
	Namespace string
	// ClusterID is that of ceph-csi's configuration (rook-ceph).
	ClusterID string
	// Secrets is what the names of the CSI secrets begin with (rook-csi), as in
	// rook-csi-rbd-node.
	Secrets string
	// BlockClass and FilesystemClass are the StorageClasses (ceph-block and
	// ceph-filesystem). BlockClass is the default one.
	BlockClass, FilesystemClass string
	// Users is what the names of the cluster's own Ceph users end in. Without it,
	// the users are those of [Ceph].
	Users string
	// Places are further clusterIDs, of other places in the same Ceph.
	Places map[string]Place
}

// Place is where the volumes of a clusterID are.
type Place struct{ RadosNamespace, SubvolumeGroup string }

const rookNamespace = "rook-ceph"

func (r Rook) named() Rook {
	r.Operator = cmp.Or(r.Operator, rookNamespace)
	r.Namespace = cmp.Or(r.Namespace, rookNamespace)
	r.ClusterID = cmp.Or(r.ClusterID, rookNamespace)
	r.Secrets = cmp.Or(r.Secrets, "rook-csi")
	r.BlockClass = cmp.Or(r.BlockClass, "ceph-block")
	r.FilesystemClass = cmp.Or(r.FilesystemClass, "ceph-filesystem")
	return r
}

// AddRook makes the objects that a Rook cluster in external mode has for RBD and
// CephFS: the StorageClasses, the CSI secrets and ceph-csi's configuration. See the
// folder manifests.
func (c *Cluster) AddRook(ctx context.Context, ceph *Ceph, rook Rook) error {
	c.Rook = rook.named()
	values := map[string]any{
		"Rook": c.Rook, "Pool": Pool, "Monitors": ceph.V1, "Filesystem": Filesystem, "DataPool": DataPool,
	}
	for name, user := range map[string]User{
		"Provisioner": ceph.Provisioner, "Node": ceph.Node,
		"CephFSProvisioner": ceph.CephFSProvisioner, "CephFSNode": ceph.CephFSNode,
	} {
		if c.Rook.Users != "" {
			var err error
			if user, err = ceph.copyUser(ctx, user, user.ID+"-"+c.Rook.Users); err != nil {
				return err
			}
		}
		values[name] = user
	}
	manifests := ""
	for _, name := range []string{"rook.yaml", string(c.Rook.Config) + ".yaml"} {
		content, err := render("manifests/"+name, values)
		if err != nil {
			return err
		}
		manifests += "---\n" + content
	}
	return c.Apply(ctx, manifests)
}
