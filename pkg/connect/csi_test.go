package connect

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/cephferry/cephferry/pkg/csiconfig"
)

// objects are what an API server has, by namespace/name.
type objects map[string]any

func (o objects) get(_ context.Context, namespace, name string, into csiconfig.Object) error {
	if name == "hidden" {
		return apierrors.NewForbidden(corev1.Resource("secrets"), name, errors.New("no"))
	}
	stored := o[namespace+"/"+name]
	switch into := into.(type) {
	case *corev1.ConfigMap:
		if data, ok := stored.(map[string]string); ok {
			into.Data = data
			return nil
		}
	case *corev1.Secret:
		if data, ok := stored.(map[string][]byte); ok {
			into.Data = data
			return nil
		}
	}
	return apierrors.NewNotFound(corev1.Resource("object"), name)
}

func user(id string) map[string][]byte {
	return map[string][]byte{"userID": []byte(id), "userKey": []byte("key-of-" + id)}
}

func TestCSI(t *testing.T) {
	stored := objects{
		"storage/ceph-csi-config": map[string]string{
			"config.json": `[{"clusterID":"rook","monitors":["m1","m2"],"rbd":{"radosNamespace":"north"},"cephFS":{"subvolumeGroup":"apps"}}]`},
		"rook-ceph/rook-ceph-csi-config": map[string]string{
			"csi-cluster-config-json": `[{"clusterID":"old","monitors":["m3"]},{"clusterID":"far","monitors":["m4"]}]`},
		"rook-ceph/node": user("node"),
		"far/node":       user("client.far"),
	}
	source := CSI{
		Get:        stored.get,
		Namespaces: []string{"storage", "rook-ceph"},
		Secret:     corev1.SecretReference{Namespace: "rook-ceph", Name: "node"},
		Secrets:    map[string]corev1.SecretReference{"far": {Namespace: "far", Name: "node"}},
	}
	want := map[string]Settings{
		"rook": {Monitors: []string{"m1", "m2"}, User: "node", Key: "key-of-node", RadosNamespace: "north", SubvolumeGroup: "apps"},
		"old":  {Monitors: []string{"m3"}, User: "node", Key: "key-of-node", SubvolumeGroup: "csi"},
		"far":  {Monitors: []string{"m4"}, User: "far", Key: "key-of-client.far", SubvolumeGroup: "csi"},
	}
	check := func(t *testing.T) {
		t.Helper()
		for id, want := range want {
			got, err := source.Settings(t.Context(), id, corev1.SecretReference{})
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s -want +got:\n%s", id, diff)
			}
		}
	}
	check(t)

	t.Run("the caller's secret goes first", func(t *testing.T) {
		got, err := source.Settings(t.Context(), "far", corev1.SecretReference{Namespace: "rook-ceph", Name: "node"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Settings{Monitors: []string{"m4"}, User: "node", Key: "key-of-node", SubvolumeGroup: "csi"}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("a change counts at once", func(t *testing.T) {
		stored["storage/ceph-csi-config"] = map[string]string{"config.json": `[{"clusterID":"rook","monitors":["m5"]}]`}
		stored["rook-ceph/node"] = user("rotated")
		want["rook"] = Settings{Monitors: []string{"m5"}, User: "rotated", Key: "key-of-rotated", SubvolumeGroup: "csi"}
		want["old"] = Settings{Monitors: []string{"m3"}, User: "rotated", Key: "key-of-rotated", SubvolumeGroup: "csi"}
		check(t)
	})
	t.Run("a clusterID that is mapped", func(t *testing.T) {
		stored["storage/ceph-csi-config"] = map[string]string{"config.json": `[{"clusterID":"rook","monitors":["m5"]}]`, "cluster-mapping.json": `[{"clusterIDMapping":{"east":"rook"}}]`}
		for id, want := range map[string]error{"rook": nil, "east": csiconfig.ErrMapped} {
			got, err := source.Settings(t.Context(), id, corev1.SecretReference{})
			if err != nil || got.Monitors[0] != "m5" || !errors.Is(got.CephFS, want) {
				t.Errorf("%s: got %+v, %v; want %v for CephFS", id, got, err, want)
			}
		}
	})
	t.Run("no configuration", func(t *testing.T) {
		if _, err := source.Settings(t.Context(), "none", corev1.SecretReference{}); !errors.Is(err, csiconfig.ErrNotFound) {
			t.Errorf("got %v; want %v", err, csiconfig.ErrNotFound)
		}
	})
	t.Run("no secret", func(t *testing.T) {
		delete(stored, "rook-ceph/node")
		_, err := source.Settings(t.Context(), "rook", corev1.SecretReference{})
		if !apierrors.IsNotFound(err) || errors.Is(err, csiconfig.ErrNotFound) {
			t.Errorf("got %v; want that the Secret is missing", err)
		}
	})
}
