//go:build lab

package provisioner

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// shell runs commands as a person of the platform team, with both clusters as contexts.
func (tm *team) shell(dir, commands string) (string, error) {
	kubeconfig := filepath.Join(dir, "kubeconfig")
	tm.must(stage.WriteContexts(kubeconfig))
	path := strings.Join([]string{filepath.Join(dir, "bin"), filepath.Dir(stage.Programs["kubectl"]), filepath.Dir(stage.Programs["kubectl-cephferry"]), "/usr/bin", "/bin"}, ":")
	r := scene.Command{Program: "/bin/bash", Args: []string{"-euc", commands}, Dir: dir, Limit: 3 * time.Minute, Env: map[string]string{"PATH": path, "KUBECONFIG": kubeconfig, "HOME": dir}}.Run(tm.Context())
	return r.Stdout + r.Stderr, r.Err
}

// blocks are a document's blocks of commands, of which it has to have that many, for the
// namespace of the team.
func (tm *team) blocks(document string, want int) (blocks []string) {
	tm.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", document))
	tm.must(err)
	for _, found := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, regexp.MustCompile(`\bshop\b`).ReplaceAllString(found[1], tm.Namespace))
	}
	if len(blocks) != want {
		tm.Fatalf("%s has %d blocks of commands, want %d; say here what the new one is for", document, len(blocks), want)
	}
	return blocks
}

// TestRooksApplicationMigration carries out docs/rook-migration.md between clusters with other
// names of Rook's, and then what people do with such a volume.
func TestRooksApplicationMigration(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	const uuid = "5b1d5f5e-3d0a-4d6c-9f6b-1c2d3e4f5a6b"
	image, volume := tm.MadeByCSI(east, "data", uuid)
	db := strings.NewReplacer("metadata: {name: app,", "metadata: {name: db,", "app: app", "app: db").Replace(deployment)
	tm.apply(east, db)
	tm.Kubectl(east, "rollout", "status", "deployment/db", "--timeout=60s")
	if got := tm.volume(east, volume); got.Annotations[annotations.Migratable] != "" {
		t.Fatalf("it is guarded already: %v", got.Annotations)
	}

	dir := t.TempDir()
	tm.must(os.WriteFile(filepath.Join(dir, "app.yaml"), []byte(strings.ReplaceAll(classed("data", west.Rook.BlockClass, "ReadWriteOnce")+db, "NS", tm.Namespace)), 0o600))
	blocks := tm.blocks("rook-migration.md", 3)
	step := func(n int) string {
		t.Helper()
		out, err := tm.shell(dir, blocks[n])
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
		pv := tm.volume(c, volume)
		if pv.Annotations[annotations.Migratable] != "true" || pv.Labels["cephferry.io/door"] != "volume" || pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
			t.Errorf("in %s: %v, %v, %s", c.Name, pv.Annotations, pv.Labels, pv.Spec.PersistentVolumeReclaimPolicy)
		}
	}
	// Once more changes nothing.
	step(0)

	// Installed, and held back while east has it.
	if out := step(1); !strings.Contains(out, "is in use by another cluster") {
		t.Errorf("the warning is missing: %s", out)
	}
	tm.Eventually("east owns the image", func() error {
		out, err := tm.shell(dir, "kubectl cephferry status --direct --context west --namespace "+tm.Namespace)
		if err == nil && !strings.Contains(out, "east") {
			err = fmt.Errorf("status says %s", out)
		}
		return err
	})

	// Resize and snapshot, as ceph-csi does them, while it is mapped, guarded and waited for.
	tm.resizes(east, "data", volume, "24Mi")
	if size := tm.size(image); size != 24 {
		t.Errorf("the image has %d MiB", size)
	}
	tm.Grows("data")
	snapshot := tm.snapshots("data", "csi-snap-"+uuid)
	tm.Grows("data")
	tm.Ceph.Wrote(t, spec(snapshot), east.Name)
	if then, now := tm.Ceph.Stamps(t, spec(snapshot)).Last(), tm.Stamps("data").Last(); then.Sequence == 0 || then.Sequence >= now.Sequence {
		t.Errorf("the snapshot ends with stamp %s, and the volume with %s", then, now)
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

// resizes does what a person, external-resizer and ceph-csi do about a larger request, each
// in turn. The filesystem is the node plugin's.
func (tm *team) resizes(c *scene.Cluster, claim, volume, size string) {
	tm.Helper()
	tm.Kubectl(c, "patch", "pvc/"+claim, fmt.Sprintf(`--patch={"spec":{"resources":{"requests":{"storage":%q}}}}`, size))
	_, err := storage.RBD(tm.Context(), "resize", "--size", strings.TrimSuffix(size, "i"), tm.Image(claim))
	tm.must(err)
	tm.Kubectl(c, "patch", "pv/"+volume, fmt.Sprintf(`--patch={"spec":{"capacity":{"storage":%q}}}`, size))
	tm.Kubectl(c, "patch", "pvc/"+claim, "--subresource=status", fmt.Sprintf(`--patch={"status":{"capacity":{"storage":%q}}}`, size))
	if got := tm.Kubectl(c, "get", "pvc/"+claim, "--output=jsonpath={.spec.resources.requests.storage} {.status.capacity.storage} {.status.phase}"); got != size+" "+size+" Bound" {
		tm.Errorf("the claim has %s", got)
	}
}

// snapshots makes a snapshot of a claim's image as ceph-csi does: an image that is cloned from
// a snapshot, which then goes. It returns that image.
func (tm *team) snapshots(claim, name string) (image string) {
	tm.Helper()
	image = lab.Pool + "/" + name
	for _, args := range [][]string{
		{"snap", "create", tm.Image(claim) + "@" + name},
		{"clone", "--rbd-default-clone-format=2", "--image-feature", "layering", tm.Image(claim) + "@" + name, image},
		{"snap", "rm", "--no-progress", tm.Image(claim) + "@" + name},
		{"snap", "create", image + "@" + name},
	} {
		_, err := storage.RBD(tm.Context(), args...)
		tm.must(err)
	}
	if out, err := storage.RBD(tm.Context(), "snap", "ls", image); err != nil || !strings.Contains(string(out), name) {
		tm.Errorf("the snapshots are %s, %v", out, err)
	}
	return image
}

// TestWhatImportRefuses, before anything is made.
func TestWhatImportRefuses(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	const uuid = "0c9d8e7f-6a5b-4c3d-8e1f-0a1b2c3d4e5f"
	image, _ := tm.MadeByCSI(east, "data", uuid)
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
