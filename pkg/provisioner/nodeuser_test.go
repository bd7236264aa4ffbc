package provisioner

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/connect"
)

// byUser leads the secret of the nodes to another Ceph user than that of the provisioner.
type byUser struct {
	*world
	nodes  cephtest.User
	failed error
}

func (b *byUser) ClusterAs(ctx context.Context, clusterID string, secret corev1.SecretReference) (ceph.Cluster, connect.Settings, error) {
	cluster, settings, err := b.world.ClusterAs(ctx, clusterID, secret)
	if secret.Name == "node" && err == nil {
		if b.failed != nil {
			return nil, connect.Settings{}, b.failed
		}
		cluster, err = b.ceph.Dial(ctx, b.nodes)
	}
	return cluster, settings, err
}

// TestNodesThatMayNotBlocklist: no image depends on a user who cannot take its lock over.
func TestNodesThatMayNotBlocklist(t *testing.T) {
	const missing = "StorageClass block: parameters[csi.storage.k8s.io/node-stage-secret-name]: the Ceph user of secret rook-ceph/node, with which nodes map the image, may not blocklist: " +
		"no other node could take over the image's lock from one that has died; give that user the capability mon 'profile rbd' (`ceph auth get client.<user>` shows what it has)"
	const unknown = "whether the Ceph user of secret rook-ceph/node, with which nodes map the image, may blocklist a node that has died is not known: "
	made := []string{"Normal ProvisioningSucceeded: created PersistentVolume shop.data of image replicapool/north/shop.data for class block"}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "node", errors.New("no"))
	for name, test := range map[string]struct {
		storages   byUser
		events     []string
		conditions []string
		volumes    []string
	}{
		"they may": {byUser{nodes: cephtest.Operator}, made, nil, []string{"shop.data"}},
		"they may not": {byUser{nodes: cephtest.Observer}, []string{"Warning ProvisioningFailed: " + missing},
			[]string{"Stalled: " + missing}, nil},
		"the secret is not this program's to read": {byUser{failed: forbidden},
			append(made[:1:1], "Warning NodeUserUnknown: "+unknown+`secrets "node" is forbidden: no; add the secret to the value provisioner.secrets of the chart cephferry (if that is empty, with the secrets of Rook's usual names, which it stands for then), or set ceph.findSecrets`), nil, []string{"shop.data"}},
		"Ceph does not take the key": {byUser{failed: ceph.ErrAuth},
			append(made[:1:1], "Warning NodeUserUnknown: "+unknown+"ceph does not accept the key; compare user and key with `ceph auth get client.<user>`"), nil, []string{"shop.data"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, pvc())
			test.storages.world = w
			w.claims.Storages = &test.storages
			if _, err := w.reconcile("data"); err != nil {
				t.Fatal(err)
			}
			same(t, "events", test.events, w.events)
			same(t, "conditions", test.conditions, w.conditions("data"))
			same(t, "volumes", test.volumes, w.names())
			if made := slices.Contains(w.calls(), "CreateImage"); made != (test.volumes != nil) {
				t.Errorf("an image was made: %t", made)
			}
		})
	}
}

// TestNodeUserIsRemembered: claims do not ask one after the other, and who gets the right is
// asked again.
func TestNodeUserIsRemembered(t *testing.T) {
	w := newWorld(t, nil, pvc())
	now := time.Now()
	w.claims.Now = func() time.Time { return now }
	storages := &byUser{world: w, nodes: cephtest.Observer}
	w.claims.Storages = storages
	asked := func(after time.Duration, times int, volumes ...string) {
		t.Helper()
		now = now.Add(after)
		before := len(w.ceph.Calls())
		if _, err := w.reconcile("data"); err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, call := range w.ceph.Calls()[before:] {
			if call.Method == "MayFence" {
				got++
			}
		}
		if got != times {
			t.Errorf("asked %d times, want %d", got, times)
		}
		same(t, "volumes", volumes, w.names())
	}
	asked(0, 1)
	asked(retryInvalid-time.Second, 0)
	storages.nodes = cephtest.Operator
	asked(time.Second, 1, "shop.data")
}
