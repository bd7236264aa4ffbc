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

	"github.com/cephferry/cephferry/test/lab"
)

const adoptDocument = "../../docs/adopt.md"

// dynamic is the image of the volume that the document adopts, and its volume.
const (
	uuid    = "24862838-240d-4215-9183-abfc0e9e4002"
	dynamic = "csi-vol-" + uuid
	volume  = "pvc-2f6c1a52-3c1e-4a39-b9f0-0c7d2f3b8e11"
)

// TestAdopt carries the document's commands out, in their order, on a release whose
// volume ceph-csi made. Whenever the document is not far enough, adopting is refused
// and says what is next. The pod's stamps show that its data is the same to the end.
func TestAdopt(t *testing.T) {
	t.Parallel()
	a := newApp(t, "shop")
	steps := commands(t, adoptDocument)
	if len(steps) != 7 {
		t.Fatalf("the document has %d blocks of commands, want 7; say here what the new one needs", len(steps))
	}
	look, keep, stop, lock, remove, adopt, move := steps[0], steps[1], steps[2], steps[3], steps[4], steps[5], steps[6]

	a.installDynamic()
	written := a.writes(0, "east")

	tooEarly := look + adopt
	policy := fmt.Sprintf("PersistentVolume %s: spec.persistentVolumeReclaimPolicy is Delete, so the data would be deleted with its claim; "+
		"run `kubectl patch pv %[1]s -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`", volume)
	bound := fmt.Sprintf("PersistentVolume %s: spec.claimRef still binds it to claim shop/web-files; "+
		"scale the workload down, then run `kubectl delete pvc web-files --namespace shop`", volume)
	const where = "PersistentVolumeClaim shop/web-files: metadata.annotations[cephferry.io/adopt]: this volume cannot be adopted now: "
	before := a.image()
	a.refused(tooEarly, where+policy+"; then "+bound)
	a.must("%s", look+keep)
	a.refused(tooEarly, where+bound)
	a.must("%s", look+stop)
	a.refused(tooEarly, where+bound)
	if diff := cmp.Diff(before, a.image()); diff != "" {
		t.Errorf("the image changed (-before +after):\n%s", diff)
	}

	// From here on, what the first step looks at is removed: the rest is one script.
	a.must("%s", look+lock+remove+adopt)
	if got, want := a.get(servers.East, "pvc/web-files", "{.spec.volumeName} {.spec.resources.requests.storage} {.status.phase}"), dynamic+" 3Gi Bound"; got != want {
		t.Errorf("the claim has %s; want %s", got, want)
	}
	const fields = "{.spec.capacity.storage} {.spec.csi.volumeHandle} {.spec.csi.volumeAttributes.imageFeatures} {.spec.persistentVolumeReclaimPolicy}"
	pair := "3Gi " + dynamic + " exclusive-lock,layering Retain"
	if got := a.get(servers.East, "pv/"+dynamic, fields); got != pair {
		t.Errorf("the volume has %s; want %s", got, pair)
	}
	written = a.writes(written, "east")

	a.must("%s", move)
	if got := a.get(servers.West, "pv/"+dynamic, fields); got != pair {
		t.Errorf("the volume in west has %s; want %s", got, pair)
	}
	a.writes(written, "west")

	// An upgrade with the same values changes nothing, and a larger size grows it.
	upgrade := "helm --kube-context west --namespace shop upgrade web ./chart --values adopt.yaml --post-renderer postrender --post-renderer-args=--create=client "
	a.must("%s", upgrade)
	a.must("%s", upgrade+"--set persistence.size=4Gi")
	if got := a.get(servers.West, "pvc/web-files", "{.spec.resources.requests.storage}"); got != "3Gi" {
		t.Errorf("the claim asks for %s; want what it had", got)
	}
	if got := a.image().Size; got != 4<<30 {
		t.Errorf("the image has %d bytes; want 4Gi", got)
	}
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
func (a *app) installDynamic() {
	a.Helper()
	if _, err := servers.Ceph.RBD(a.Context(), "create", lab.Pool+"/"+dynamic, "--size", "3G", "--image-feature", "layering"); err != nil {
		a.Fatal(err)
	}
	a.must("helm --kube-context east --namespace shop install web ./chart --create-namespace")
	if err := servers.East.Apply(a.Context(), fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata:
  name: %s
  annotations: {pv.kubernetes.io/provisioned-by: rook-ceph.rbd.csi.ceph.com}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 3Gi}
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: shop, name: web-files}
  storageClassName: ceph-block
  persistentVolumeReclaimPolicy: Delete
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    fsType: ext4
    volumeHandle: 0001-0009-rook-ceph-0000000000000002-%s
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    controllerExpandSecretRef: {name: rook-csi-rbd-provisioner, namespace: rook-ceph}
    volumeAttributes:
      clusterID: rook-ceph
      imageFeatures: layering
      imageFormat: "2"
      imageName: %s
      journalPool: %[4]s
      pool: %[4]s
      storage.kubernetes.io/csiProvisionerIdentity: 1763000000000-1234-rook-ceph.rbd.csi.ceph.com
`, volume, uuid, dynamic, lab.Pool)); err != nil {
		a.Fatal(err)
	}
	a.ready(servers.East, "web")
}

// writes waits until a pod in that cluster has gone on where the last stamp was, and
// returns the number of its newest stamp.
func (a *app) writes(after uint64, cluster string) (last uint64) {
	a.Helper()
	a.eventually("a pod in "+cluster+" writes", func() bool {
		log, err := servers.Ceph.ReadStamps(a.Context(), lab.Pool+"/"+dynamic)
		if err != nil {
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

// image is what Ceph knows of the image.
func (a *app) image() (info struct {
	ID       string
	Size     int64
	Features []string
}) {
	a.Helper()
	out, err := servers.Ceph.RBD(a.Context(), "info", lab.Pool+"/"+dynamic, "--format", "json")
	if err == nil {
		err = json.Unmarshal([]byte(strings.TrimSpace(string(out))), &info)
	}
	if err != nil {
		a.Fatal(err)
	}
	return info
}
