//go:build linux && lab

package apps

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

const adoptDocument = "../../docs/adopt.md"

// adoption is one walk through the document.
type adoption struct {
	*app
	// image is the name that ceph-csi gave the image, and volume that of its volume.
	image, volume string
}

// TestAdopt carries the document's commands out, in their order, on a release whose
// volume ceph-csi made. The pod's stamps show that its data is the same to the end.
func TestAdopt(t *testing.T) {
	t.Parallel()
	a := newAdoption(t, "shop", "24862838-240d-4215-9183-abfc0e9e4002")
	a.installDynamic()
	written := a.writes(0, "east")

	steps := documentSteps(t)
	a.must("%s", steps.look+steps.keep+steps.stop+steps.lock+steps.remove+steps.adopt)
	a.isAdopted(servers.East)
	written = a.writes(written, "east")
	a.must("%s", steps.move)
	a.isAdopted(servers.West)
	written = a.writes(written, "west")

	// ceph-csi derives the image's old name from the handle of before, whatever the policy of
	// a PersistentVolume with that is.
	if !staticpv.HandleMayLeadTo("0001-0009-rook-ceph-0000000000000002-"+strings.TrimPrefix(a.image, "csi-vol-"), a.image) {
		t.Error("the old handle does not lead to the old name, so this test shows nothing")
	}
	if out, err := servers.Ceph.RBD(t.Context(), "rm", lab.Pool+"/"+a.image); err == nil {
		t.Errorf("there was an image by the old name: %s", out)
	}
	a.writes(written, "west")
}

// TestAdoptByTheRenderer is the same walk with a pair that the renderer makes.
// Whenever it is not far enough, the renderer refuses and says what is next.
func TestAdoptByTheRenderer(t *testing.T) {
	t.Parallel()
	a := newAdoption(t, "office", "7c1f3a52-90b1-4f0e-8d53-2f60c8a1e7b9")
	a.installDynamic()
	written := a.writes(0, "east")

	steps := documentSteps(t)
	for _, step := range []*string{&steps.look, &steps.keep, &steps.stop, &steps.lock, &steps.remove, &steps.adopt, &steps.move, &steps.back} {
		*step = strings.NewReplacer("shop", a.namespace, "--post-renderer postrender", "--post-renderer postrender --post-renderer-args=--create=client --post-renderer-args=--cluster-name=east").Replace(*step)
	}
	steps.move = strings.ReplaceAll(steps.move, "--cluster-name=east", "--cluster-name=west")
	tooEarly := steps.look + steps.adopt
	policy := fmt.Sprintf("PersistentVolume %s: spec.persistentVolumeReclaimPolicy is Delete, so the data would be deleted with its claim; "+
		"run `kubectl patch pv %[1]s -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`", a.volume)
	bound := fmt.Sprintf("PersistentVolume %s: spec.claimRef still binds it to claim office/web-files; "+
		"scale the workload down, then run `kubectl delete pvc web-files --namespace office`", a.volume)
	const where = "PersistentVolumeClaim office/web-files: metadata.annotations[cephferry.io/adopt]: this volume cannot be adopted now: "
	before := a.info()
	a.refused(tooEarly, where+policy+"; then "+bound)
	steps.adopt = strings.ReplaceAll(steps.adopt, "annotate", "annotate --overwrite") // that was done
	tooEarly = steps.look + steps.adopt
	a.must("%s", steps.look+steps.keep)
	a.refused(tooEarly, where+bound)
	a.must("%s", steps.look+steps.stop)
	a.refused(tooEarly, where+bound)
	if diff := cmp.Diff(before, a.info()); diff != "" {
		t.Errorf("the image changed (-before +after):\n%s", diff)
	}

	// The way back is open until the volume is adopted.
	a.must("%s", steps.look+steps.lock+steps.remove+steps.back)
	if got, want := a.get(servers.East, "pvc/web-files", "{.spec.volumeName}")+" "+a.get(servers.East, "pv/"+a.volume, "{.status.phase} {.spec.persistentVolumeReclaimPolicy}"), a.volume+" Bound Retain"; got != want {
		a.Errorf("back is %s; want %s", got, want)
	}

	// The first step looks at what is removed now, so the rest is one script.
	a.must("%s", steps.look+steps.remove+steps.adopt)
	a.isAdopted(servers.East)
	written = a.writes(written, "east")
	a.must("%s", steps.move)
	a.isAdopted(servers.West)
	a.writes(written, "west")

	// An upgrade with the same values changes nothing, and a larger size grows it.
	upgrade := "helm --kube-context west --namespace office upgrade web ./chart --values adopt.yaml --post-renderer postrender --post-renderer-args=--create=client --post-renderer-args=--cluster-name=west "
	a.must("%s", upgrade)
	a.must("%s", upgrade+"--set persistence.size=4Gi")
	if got := a.get(servers.West, "pvc/web-files", "{.spec.resources.requests.storage}"); got != "3Gi" {
		t.Errorf("the claim asks for %s; want what the image had", got)
	}
	if got := a.info().Size; got != 4<<30 {
		t.Errorf("the image has %d bytes; want 4Gi", got)
	}
}

func newAdoption(t *testing.T, namespace, uuid string) adoption {
	return adoption{newApp(t, namespace), "csi-vol-" + uuid, "pvc-" + uuid}
}

// isAdopted checks the pair: its size and features are the image's.
func (a adoption) isAdopted(cluster *lab.Cluster) {
	a.Helper()
	name := a.namespace + ".web-files"
	if got, want := a.get(cluster, "pvc/web-files", "{.spec.volumeName} {.status.capacity.storage} {.status.phase}"), name+" 3Gi Bound"; got != want {
		a.Errorf("the claim in %s has %s; want %s", cluster.Name, got, want)
	}
	got := a.get(cluster, "pv/"+name, "{.spec.capacity.storage} {.spec.csi.volumeHandle} {.spec.csi.volumeAttributes.imageFeatures} {.spec.persistentVolumeReclaimPolicy}")
	if want := "3Gi " + name + "~" + cluster.Name + " exclusive-lock,layering Retain"; got != want {
		a.Errorf("the volume in %s has %s; want %s", cluster.Name, got, want)
	}
}

// steps are the document's blocks of commands.
type steps struct{ look, keep, stop, lock, remove, adopt, move, back string }

func documentSteps(t *testing.T) steps {
	t.Helper()
	blocks := commands(t, adoptDocument)
	if len(blocks) != 8 {
		t.Fatalf("the document has %d blocks of commands, want 8; say here what the new one is for", len(blocks))
	}
	return steps{blocks[0], blocks[1], blocks[2], blocks[3], blocks[4], blocks[5], blocks[6], blocks[7]}
}

// commands are the blocks of commands in a document.
func commands(t *testing.T, document string) []string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, found := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// installDynamic installs the chart without the renderer, and does what ceph-csi's
// provisioner does for its claim: the image, with the features of Rook's class, and
// the volume. The chart asks for less than the image has; people resize.
func (a adoption) installDynamic() {
	a.Helper()
	if _, err := servers.Ceph.RBD(a.Context(), "create", lab.Pool+"/"+a.image, "--size", "3G", "--image-feature", "layering"); err != nil {
		a.Fatal(err)
	}
	a.must("helm --kube-context east --namespace %s install web ./chart --create-namespace", a.namespace)
	if err := servers.East.Apply(a.Context(), fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata:
  name: %[1]s
  annotations: {pv.kubernetes.io/provisioned-by: rook-ceph.rbd.csi.ceph.com}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 3Gi}
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: %[2]s, name: web-files}
  storageClassName: ceph-block
  persistentVolumeReclaimPolicy: Delete
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    fsType: ext4
    volumeHandle: 0001-0009-rook-ceph-0000000000000002-%[3]s
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    controllerExpandSecretRef: {name: rook-csi-rbd-provisioner, namespace: rook-ceph}
    volumeAttributes:
      clusterID: rook-ceph
      imageFeatures: layering
      imageFormat: "2"
      imageName: %[4]s
      journalPool: %[5]s
      pool: %[5]s
      storage.kubernetes.io/csiProvisionerIdentity: 1763000000000-1234-rook-ceph.rbd.csi.ceph.com
`, a.volume, a.namespace, strings.TrimPrefix(a.image, "csi-vol-"), a.image, lab.Pool)); err != nil {
		a.Fatal(err)
	}
	a.ready(servers.East, "web")
}

// writes waits until a pod in that cluster has gone on where the last stamp was, and
// returns the number of its newest stamp.
func (a adoption) writes(after uint64, cluster string) (last uint64) {
	a.Helper()
	scene.Until(a.T, "a pod in "+cluster+" writes", func() bool {
		name := a.carries()
		log, err := servers.Ceph.ReadStamps(a.Context(), lab.Pool+"/"+name)
		if err != nil && a.carries() != name {
			return false
		} else if err != nil {
			a.Fatal(err)
		}
		if err := log.Check(); err != nil {
			a.Fatal(err)
		}
		runs := log.Runs()
		if len(runs) == 0 {
			return false
		}
		newest := runs[len(runs)-1]
		last = newest.Last
		return newest.Cluster == cluster && last > after
	})
	return last
}

// carries is the name of the image now: that which ceph-csi gave it, or the claim's, with the
// key of the cluster that owns it.
func (a adoption) carries() string {
	a.Helper()
	out, err := servers.Ceph.RBD(a.Context(), "ls", lab.Pool)
	if err != nil {
		a.Fatal(err)
	}
	var found []string
	for _, name := range strings.Fields(string(out)) {
		if base, _ := ceph.SplitName(name); base == a.namespace+".web-files" || name == a.image {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		a.Fatalf("the image has the names %q; want one", found)
	}
	return found[0]
}

// info is what Ceph knows of the image.
func (a adoption) info() (info struct {
	ID       string
	Size     int64
	Features []string
}) {
	a.Helper()
	out, err := servers.Ceph.RBD(a.Context(), "info", lab.Pool+"/"+a.carries(), "--format", "json")
	if err == nil {
		err = json.Unmarshal([]byte(strings.TrimSpace(string(out))), &info)
	}
	if err != nil {
		a.Fatal(err)
	}
	return info
}
