//go:build lab

package e2e

import (
	"cmp"
	"fmt"

	"github.com/cephferry/cephferry/test/lab"
)

// rbdClass is a StorageClass like ceph-block; empty fields are as there.
type rbdClass struct {
	name, pool, clusterID string
	// secretNamespace has the provisioner's secret.
	secretNamespace string
}

func (c rbdClass) manifest() string {
	return fmt.Sprintf(`---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: %s
provisioner: rook-ceph.rbd.csi.ceph.com
parameters:
  clusterID: %s
  pool: %s
  imageFeatures: layering
  csi.storage.k8s.io/provisioner-secret-name: rook-csi-rbd-provisioner
  csi.storage.k8s.io/provisioner-secret-namespace: %s
  csi.storage.k8s.io/node-stage-secret-name: rook-csi-rbd-node
  csi.storage.k8s.io/node-stage-secret-namespace: rook-ceph
  csi.storage.k8s.io/fstype: ext4
`, c.name, cmp.Or(c.clusterID, "rook-ceph"), cmp.Or(c.pool, lab.Pool), cmp.Or(c.secretNamespace, "rook-ceph"))
}

// csi is what the team has of ceph-csi's settings in its own namespace.
type csi struct {
	clusterID, monitor, radosNamespace string
	user, key                          string
}

// manifest is the secret, and config.json in one of the forms that it had before
// Rook used the operator.
func (s csi) manifest(namespace string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Secret
metadata:
  name: rook-csi-rbd-provisioner
  namespace: %[1]s
stringData:
  userID: %[2]s
  userKey: %[3]s
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: ceph-csi-config
  namespace: %[1]s
data:
  config.json: '[{"clusterID":%[4]q,"monitors":[%[5]q],"rbd":{"radosNamespace":%[6]q}}]'
`, namespace, s.user, s.key, s.clusterID, s.monitor, s.radosNamespace)
}

// ownClass makes a class with the team's own csi settings, named like the
// namespace. Empty settings are the lab's.
func (team *team) ownClass(c *cluster, pool string, settings csi) string {
	team.Helper()
	settings.clusterID = team.namespace
	settings.monitor = cmp.Or(settings.monitor, "v2:"+storage.Monitors[0])
	settings.user = cmp.Or(settings.user, storage.Provisioner.ID)
	settings.key = cmp.Or(settings.key, storage.Provisioner.Key)
	own := rbdClass{name: team.namespace, pool: pool, clusterID: team.namespace, secretNamespace: team.namespace}
	team.apply(c, settings.manifest(team.namespace)+own.manifest())
	return own.name
}

// ownPool makes a pool named like the team's namespace, for RBD.
func (team *team) ownPool() string {
	team.Helper()
	if _, err := storage.Run(team.Context(), "osd", "pool", "create", team.namespace); err != nil {
		team.Fatal(err)
	}
	team.rbd("pool", "init", team.namespace)
	return team.namespace
}
