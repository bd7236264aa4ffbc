//go:build lab

package provisioner

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// ofCSI is a bound claim whose image and volume are as ceph-csi's provisioner makes them.
func (tm *team) ofCSI(claim, uuid string) (image string) {
	tm.Helper()
	image = "csi-vol-" + uuid
	_, err := storage.RBD(tm.Context(), "create", lab.Pool+"/"+image, "--size", "16M", "--image-feature", "layering")
	tm.must(err)
	tm.apply(east, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: pvc-%[1]s, annotations: {pv.kubernetes.io/provisioned-by: rook-ceph.rbd.csi.ceph.com}}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 16Mi}
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: NS, name: %[2]s}
  storageClassName: ceph-block
  persistentVolumeReclaimPolicy: Delete
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    fsType: ext4
    volumeHandle: 0001-0009-rook-ceph-0000000000000002-%[1]s
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    controllerExpandSecretRef: {name: rook-csi-rbd-provisioner, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, imageFeatures: layering, imageFormat: "2", imageName: csi-vol-%[1]s, journalPool: %[3]s, pool: %[3]s}
---
`, uuid, claim, lab.Pool)+classed(claim, "ceph-block", "ReadWriteOnce"))
	tm.bound(east, claim, "pvc-"+uuid)
	return image
}

// shell runs commands as a person of the platform team, with both clusters as contexts.
func (tm *team) shell(dir, commands string) (string, error) {
	kubeconfig := filepath.Join(dir, "kubeconfig")
	tm.must(stage.WriteContexts(kubeconfig))
	path := strings.Join([]string{filepath.Dir(stage.Programs["kubectl"]), filepath.Dir(stage.Programs["kubectl-cephferry"]), "/usr/bin", "/bin"}, ":")
	r := scene.Command{Program: "/bin/bash", Args: []string{"-euc", commands}, Dir: dir, Env: map[string]string{"PATH": path, "KUBECONFIG": kubeconfig, "HOME": dir}}.Run(tm.Context())
	return r.Stdout + r.Stderr, r.Err
}

// TestRooksApplicationMigration carries out docs/rook-migration.md between clusters with other
// names of Rook's, and then what people do with such a volume.
func TestRooksApplicationMigration(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	const uuid = "5b1d5f5e-3d0a-4d6c-9f6b-1c2d3e4f5a6b"
	image := tm.ofCSI("data", uuid)
	db := strings.NewReplacer("metadata: {name: app,", "metadata: {name: db,", "app: app", "app: db").Replace(deployment)
	tm.apply(east, db)
	tm.Kubectl(east, "rollout", "status", "deployment/db", "--timeout=60s")
	if got := tm.volume(east, "pvc-"+uuid); got.Annotations[annotations.Migratable] != "" {
		t.Fatalf("it is guarded already: %v", got.Annotations)
	}

	dir := t.TempDir()
	tm.must(os.WriteFile(filepath.Join(dir, "app.yaml"), []byte(strings.ReplaceAll(classed("data", west.Rook.BlockClass, "ReadWriteOnce")+db, "NS", tm.Namespace)), 0o600))
	document, err := os.ReadFile("../../docs/rook-migration.md")
	tm.must(err)
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(document), -1)
	if len(blocks) != 3 {
		t.Fatalf("the document has %d blocks of commands, want 3", len(blocks))
	}
	step := func(n int) string {
		t.Helper()
		out, err := tm.shell(dir, strings.ReplaceAll(blocks[n][1], "shop", tm.Namespace))
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return out
	}

	// Copied. Both are guarded, and neither deletes the image.
	if out := step(0); !strings.Contains(out, `spec.csi.driver is "`+west.Rook.Operator+`.rbd.csi.ceph.com" here`) {
		t.Errorf("import says %s", out)
	}
	for _, c := range []*scene.Cluster{east, west} {
		pv := tm.volume(c, "pvc-"+uuid)
		if pv.Annotations[annotations.Migratable] != "true" || pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
			t.Errorf("in %s: %v, %s", c.Name, pv.Annotations, pv.Spec.PersistentVolumeReclaimPolicy)
		}
	}
	// Once more changes nothing.
	step(0)

	// Installed, and held back while east has it.
	if out := step(1); !strings.Contains(out, "is in use by another cluster") {
		t.Errorf("the warning is missing: %s", out)
	}
	tm.Eventually("east owns the image", func() error {
		out, err := tm.shell(dir, "kubectl cephferry status --context west --namespace "+tm.Namespace)
		if err == nil && !strings.Contains(out, "east") {
			err = fmt.Errorf("status says %s", out)
		}
		return err
	})

	// Resize and snapshot, as ceph-csi does them, while it is mapped and guarded.
	for _, args := range [][]string{{"resize", "--size", "24M"}, {"snap", "create", "--snap", "before"}} {
		_, err := storage.RBD(t.Context(), append(args, lab.Pool+"/"+image)...)
		tm.must(err)
	}

	// Moved, and back.
	step(2)
	tm.wroteTo(lab.Pool+"/"+image, east, west)
	tm.Kubectl(west, "scale", "deployment/db", "--replicas=0")
	tm.Eventually("east may scale up", func() error {
		_, err := east.Run(t.Context(), "scale", "deployment/db", "--replicas=1", "--namespace", tm.Namespace)
		return err
	})
	tm.Kubectl(east, "rollout", "status", "deployment/db", "--timeout=60s")
	tm.wroteTo(lab.Pool+"/"+image, east, west, east)
}

// TestWhatImportRefuses, before anything is made.
func TestWhatImportRefuses(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	const uuid = "0c9d8e7f-6a5b-4c3d-8e1f-0a1b2c3d4e5f"
	image := tm.ofCSI("data", uuid)
	dir := t.TempDir()
	export := "kubectl cephferry export " + tm.Namespace + "/data --context east > volume.yaml\n"
	elsewhere := tm.class(west.Rook.BlockClass, map[string]string{"clusterID": "rook-ceph"})
	for what, test := range map[string]struct{ commands, want string }{
		"an image that is not there": {export + "kubectl cephferry import volume.yaml --context west --class " + elsewhere, "there is no image replicapool/blue/" + image + " by StorageClass " + elsewhere},
		"a class of another kind":    {export + "kubectl cephferry import volume.yaml --context west --class " + west.Rook.FilesystemClass, "is in pool replicapool, and StorageClass " + west.Rook.FilesystemClass},
		"what is no volume":          {"kubectl get namespace " + tm.Namespace + " --context east -o yaml > volume.yaml; kubectl cephferry import volume.yaml --context west", `there is a "Namespace"`},
		"nothing":                    {": > volume.yaml; kubectl cephferry import volume.yaml --context west", "it has no PersistentVolume"},
	} {
		t.Run(what, func(t *testing.T) {
			if out, err := tm.shell(dir, test.commands); err == nil || !strings.Contains(out, test.want) {
				t.Errorf("got %v: %s; want %q", err, out, test.want)
			}
			if list := tm.Kubectl(west, "get", "pv", "--output=name"); strings.Contains(list, uuid) {
				t.Errorf("it was made: %s", list)
			}
		})
	}
	tm.apply(east, classed("pair", migratable, "ReadWriteOnce"))
	tm.bound(east, "pair", tm.image("pair"))
	if out, err := tm.shell(dir, "kubectl cephferry export "+tm.Namespace+"/pair --context east"); err == nil || !strings.Contains(out, "a pair that cephferry made needs no copy") {
		t.Errorf("got %v: %s", err, out)
	}
}
