//go:build lab

package chart

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

const (
	rbd     = "rook-ceph.rbd.csi.ceph.com"
	static  = `volumeAttributes: {staticVolume: "true"}`
	image   = `volumeAttributes: {staticVolume: "true", clusterID: rook-ceph, pool: replicapool}`
	dynamic = "volumeAttributes: {imageName: csi-vol-1}"
	bound   = "claimRef: {namespace: default, name: data}"
	nfs     = "{apiVersion: v1, kind: PersistentVolume, metadata: {name: nfs}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], " +
		"storageClassName: none, nfs: {server: localhost, path: /}, claimRef: {namespace: default, name: data}}}"
)

// volume is a PersistentVolume of that driver. Its class is its own name, so that
// no other claim takes it.
func volume(name, driver, attributes, claimRef string, annotations ...string) string {
	if claimRef != "" {
		claimRef += ", "
	}
	return fmt.Sprintf("{apiVersion: v1, kind: PersistentVolume, metadata: {name: %s, annotations: {%s}}, spec: {%sstorageClassName: %s, "+
		"persistentVolumeReclaimPolicy: Retain, capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], csi: {driver: %s, volumeHandle: %s, %s}}}",
		name, strings.Join(annotations, ", "), claimRef, name, driver, name, attributes)
}

// claimOf is a claim for a volume.
func claimOf(volume, name string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: %s}, spec: {storageClassName: %s, volumeName: %s, "+
		"accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", name, volume, volume)
}

func nameOf(manifest string) string {
	return regexp.MustCompile(`metadata: {name: ([a-z0-9-]+)`).FindStringSubmatch(manifest)[1]
}

const (
	migratable    = `cephferry.io/migratable: "true"`
	notMigratable = `cephferry.io/migratable: "false"`
	asked         = "volume: CREATE persistentvolumes"
)

// testVolumeReviews: only news about a guarded volume is reviewed.
func testVolumeReviews(t *testing.T, w *world, recorder *recorder) {
	for name, c := range map[string]struct {
		volume string
		want   []string
	}{
		"a static volume for a claim":          {volume("c1", rbd, static, bound), []string{asked}},
		"one of ceph-csi without Rook":         {volume("c2", "rbd.csi.ceph.com", static, bound), []string{asked}},
		"a static volume without a claim":      {volume("c3", rbd, static, ""), nil},
		"a dynamic volume":                     {volume("c4", rbd, dynamic, bound), nil},
		"a volume without attributes":          {volume("c5", rbd, "fsType: ext4", bound), nil},
		"a migratable volume":                  {volume("c6", rbd, dynamic, bound, migratable), []string{asked}},
		"a migratable one without attributes":  {volume("c7", rbd, "fsType: ext4", bound, migratable), []string{asked}},
		"a volume that is not migratable":      {volume("c8", rbd, dynamic, bound, notMigratable), nil},
		"a static one that is not migratable":  {volume("c9", rbd, static, bound, notMigratable), []string{asked}},
		"an attribute that says it is not":     {volume("c10", rbd, `volumeAttributes: {staticVolume: "false"}`, bound), nil},
		"a static volume in other letters":     {volume("c15", rbd, `volumeAttributes: {staticVolume: "True"}`, bound), []string{asked}},
		"CephFS":                               {volume("c11", "rook-ceph.cephfs.csi.ceph.com", static, bound), nil},
		"a driver whose name ends alike":       {volume("c12", "notrbd.csi.ceph.com", static, bound), nil},
		"a volume without CSI":                 {nfs, nil},
		"a volume of storage itself":           {volume("c13", rbd, static, "claimRef: {namespace: rook-ceph, name: data}"), nil},
		"a volume for a claim of the webhooks": {volume("c14", rbd, static, "claimRef: {namespace: "+own+", name: data}"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w.apply(t, "", c.volume)
			reviewed(t, c.want, recorder.take("migratable", nameOf(c.volume)))
		})
	}

	t.Run("dry run", func(t *testing.T) {
		w.apply(t, "", volume("dry", rbd, static, bound), "--dry-run=server")
		reviewed(t, []string{asked + ", dry run"}, recorder.take("migratable", "dry"))
	})

	t.Run("the binder finds a claim for it", func(t *testing.T) {
		w.apply(t, "", volume("found", rbd, static, ""))
		reviewed(t, nil, recorder.take("migratable", "found"))
		w.apply(t, "default", claimOf("found", "found"))
		w.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s", "--namespace", "default", "pvc/found")
		reviewed(t, []string{"volume: UPDATE persistentvolumes by persistent-volume-binder"}, recorder.take("migratable", "found"))
	})

	t.Run("the life of a pair", func(t *testing.T) {
		pv := volume("pair", rbd, static, "claimRef: {namespace: default, name: pair}")
		step := func(what string, want []string, do func()) {
			t.Helper()
			do()
			got := recorder.take("migratable", "pair")
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Errorf("%s: reviews %q, want %q", what, got, want)
			}
		}
		step("made", []string{asked}, func() { w.apply(t, "", pv) })
		step("bound: the binder adds the uid", []string{"volume: UPDATE persistentvolumes by persistent-volume-binder"}, func() {
			w.apply(t, "default", claimOf("pair", "pair"))
			w.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s", "--namespace", "default", "pvc/pair")
		})
		step("labelled", nil, func() { w.kubectl(t, "label", "pv/pair", "a=b") })
		step("applied again", nil, func() { w.apply(t, "", pv) })
		step("its claim goes", nil, func() {
			w.kubectl(t, "delete", "--namespace", "default", "pvc/pair")
			w.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Released", "--timeout=60s", "pv/pair")
		})
		step("free again", nil, func() {
			w.kubectl(t, "patch", "pv/pair", "--type=json", `--patch=[{"op":"remove","path":"/spec/claimRef"}]`)
		})
		step("for a claim elsewhere", []string{"volume: UPDATE persistentvolumes"}, func() {
			w.kubectl(t, "patch", "pv/pair", `--patch={"spec":{"claimRef":{"namespace":"elsewhere","name":"pair"}}}`)
		})
		step("moved to another namespace", []string{"volume: UPDATE persistentvolumes"}, func() {
			w.kubectl(t, "patch", "pv/pair", `--patch={"spec":{"claimRef":{"namespace":"third"}}}`)
		})
		step("for another claim there", []string{"volume: UPDATE persistentvolumes"}, func() {
			w.kubectl(t, "patch", "pv/pair", `--patch={"spec":{"claimRef":{"name":"other"}}}`)
		})
		step("for one claim only", []string{"volume: UPDATE persistentvolumes"}, func() {
			w.kubectl(t, "patch", "pv/pair", `--patch={"spec":{"claimRef":{"uid":"5e0c"}}}`)
		})
		step("deleted", nil, func() { w.kubectl(t, "delete", "pv/pair") })
	})

	t.Run("a bound volume becomes migratable", func(t *testing.T) {
		w.apply(t, "", volume("becomes", rbd, dynamic, bound))
		reviewed(t, nil, recorder.take("migratable", "becomes"))
		w.kubectl(t, "annotate", "pv/becomes", "cephferry.io/migratable=true")
		reviewed(t, []string{"volume: UPDATE persistentvolumes"}, recorder.take("migratable", "becomes"))
		w.kubectl(t, "annotate", "pv/becomes", "cephferry.io/migratable-", "b=c")
		reviewed(t, nil, recorder.take("migratable", "becomes"))
	})
}
