//go:build lab

package chart

import (
	"fmt"
	"testing"
)

// testGrowthReviews: only claims of ours whose request rises are reviewed, in every namespace.
// named is a class that the chart names.
func testGrowthReviews(t *testing.T, w *world, recorder *recorder, named string) {
	const (
		provisioner = "volume.kubernetes.io/storage-provisioner: cephferry.io/provisioner"
		older       = "volume.beta.kubernetes.io/storage-provisioner: cephferry.io/provisioner"
		others      = "volume.kubernetes.io/storage-provisioner: example.com/none"
		review      = "growth: UPDATE persistentvolumeclaims"
	)
	for _, class := range []string{"expands", named} {
		w.apply(t, "", "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: "+class+"}, provisioner: example.com/none, allowVolumeExpansion: true}")
	}
	raise := func(size string) string { return `{"spec":{"resources":{"requests":{"storage":"` + size + `"}}}}` }
	for name, c := range map[string]struct {
		namespace, class, annotation string
		// patches are applied one after the other, with the flags.
		patches []string
		flags   []string
		want    []string
	}{
		"raised": {"growth-1", "expands", provisioner, []string{raise("2Gi")}, nil, []string{review}},
		"raised, with the annotation of an older controller": {"growth-2", "expands", older, []string{raise("1025Mi")}, nil, []string{review}},
		"raised, of a class of the chart":                    {"growth-3", named, "a: b", []string{raise("2Gi")}, nil, []string{review}},
		"raised, and the annotation taken away":              {"growth-4", "expands", provisioner, []string{`{"metadata":{"annotations":null},"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`}, nil, []string{review}},
		"raised in a namespace that is not guarded":          {"kube-system", "expands", provisioner, []string{raise("2Gi")}, nil, []string{review}},
		"raised, dry run":                                    {"growth-5", "expands", provisioner, []string{raise("2Gi")}, []string{"--dry-run=server"}, []string{review + ", dry run"}},
		"raised and lowered":                                 {"growth-6", "expands", provisioner, []string{raise("3Gi"), raise("2Gi")}, nil, []string{review}},
		"raised, of somebody else's":                         {"growth-7", "expands", others, []string{raise("2Gi")}, nil, nil},
		"raised, of nobody's":                                {"growth-8", "expands", "a: b", []string{raise("2Gi")}, nil, nil},
		"the same size":                                      {"growth-9", "expands", provisioner, []string{raise("1024Mi")}, nil, nil},
		"an annotation":                                      {"growth-10", "expands", provisioner, []string{`{"metadata":{"annotations":{"c":"d"}}}`}, nil, nil},
		"the status, which may say what it likes":            {"growth-11", "expands", provisioner, []string{`{"status":{"capacity":{"storage":"2Gi"}}}`}, []string{"--subresource=status"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w.namespace(t, c.namespace, false)
			w.apply(t, c.namespace, fmt.Sprintf("{apiVersion: v1, kind: PersistentVolume, metadata: {name: %[1]s}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], "+
				"storageClassName: %[2]s, nfs: {server: localhost, path: /}, claimRef: {namespace: %[1]s, name: data}}}\n---\n"+
				"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, annotations: {%[3]s}}, spec: {storageClassName: %[2]s, volumeName: %[1]s, "+
				"accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", c.namespace, c.class, c.annotation))
			w.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s", "--namespace", c.namespace, "pvc/data")
			recorder.take("migratable", c.namespace)
			for _, patch := range c.patches {
				w.kubectl(t, append([]string{"patch", "pvc/data", "--namespace", c.namespace, "--patch", patch}, c.flags...)...)
			}
			reviewed(t, c.want, recorder.take("migratable", c.namespace))
		})
	}
}
