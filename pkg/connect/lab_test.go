//go:build lab && cgo

package connect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
)

// TestTwoCephs: each clusterID leads to its own Ceph, with its own user.
func TestTwoCephs(t *testing.T) {
	near, far := labtest.RBD(t), labtest.RBD(t)
	sizes := map[string]string{"near": "1M", "far": "2M"}
	for clusterID, c := range map[string]*lab.Ceph{"near": near, "far": far} {
		if _, err := c.RBD(t.Context(), "create", lab.Pool+"/data", "--size", sizes[clusterID]); err != nil {
			t.Fatal(err)
		}
	}
	config, err := json.Marshal([]map[string]any{
		{"clusterID": "near", "monitors": near.Monitors},
		{"clusterID": "far", "monitors": far.Monitors},
	})
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]lab.User{"near-node": near.Node, "far-node": far.Node}
	get := func(_ context.Context, _, name string, into csiconfig.Object) error {
		switch object := into.(type) {
		case *corev1.ConfigMap:
			object.Data = map[string]string{"config.json": string(config)}
		case *corev1.Secret:
			user := secrets[name]
			object.Data = map[string][]byte{"userID": []byte(user.ID), "userKey": []byte(user.Key)}
		default:
			return fmt.Errorf("unexpected %T", into)
		}
		return nil
	}
	all := connect.New(connect.CSI{
		Get: get, Namespaces: []string{"rook-ceph"},
		Secret:  corev1.SecretReference{Namespace: "rook-ceph", Name: "near-node"},
		Secrets: map[string]corev1.SecretReference{"far": {Namespace: "rook-ceph", Name: "far-node"}},
	}, goceph.Dial)
	t.Cleanup(func() {
		if err := all.Close(); err != nil {
			t.Error(err)
		}
	})
	for clusterID, want := range map[string]uint64{"near": 1 << 20, "far": 2 << 20} {
		cluster, _, err := all.Cluster(t.Context(), clusterID)
		if err != nil {
			t.Fatal(err)
		}
		image, err := cluster.Image(t.Context(), ceph.ImageSpec{Pool: lab.Pool, Name: "data"})
		if err != nil || image.Size != want {
			t.Errorf("%s: image %+v, %v; want %d bytes", clusterID, image, err, want)
		}
		if watchers, err := cluster.Watchers(t.Context(), image.ImageSpec); err != nil || len(watchers) != 0 {
			t.Errorf("%s: watchers %v, %v; want none", clusterID, watchers, err)
		}
	}
}
