//go:build lab

package provisioner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/test/scene"
)

// walk is a release of one chart on its way from one door to another, by the commands of
// docs/doors.md.
type walk struct {
	*team
	// dir has what the commands need: ./chart, values.yaml, and the Helm in bin.
	dir string
	// renderer are Helm's arguments for the renderer.
	renderer string
	// edit makes the document's commands those of the chart, in pairs of old and new.
	edit []string
	step steps
}

// steps are the document's blocks of commands.
type steps struct{ stop, class, client, look, remove, adopt, move string }

// newWalk prepares release db of a chart with that Helm.
func newWalk(t *testing.T, chart, helm string, edit ...string) walk {
	t.Helper()
	w := walk{team: newTeam(t), dir: t.TempDir(), renderer: "--post-renderer postrender", edit: edit}
	blocks := w.blocks("doors.md", 7)
	w.step = steps{blocks[0], blocks[1], blocks[2], blocks[3], blocks[4], blocks[5], blocks[6]}
	charts, err := filepath.Abs("../../testdata/charts")
	w.must(err)
	w.must(os.Symlink(filepath.Join(charts, chart), filepath.Join(w.dir, "chart")))
	w.must(os.WriteFile(filepath.Join(w.dir, "values.yaml"), []byte(fmt.Sprintf("{replicas: %d, persistence: {size: 16Mi}}", map[string]int{"db": 2, "web": 1}[chart])), 0o600))
	w.must(os.Mkdir(filepath.Join(w.dir, "bin"), 0o700))
	script := "#!/bin/sh\nexec " + helm + " \"$@\"\n"
	if helm == programs.helm4 {
		w.renderer = "--post-renderer cephferry"
		script = "#!/bin/sh\nHELM_PLUGINS=" + filepath.Join(filepath.Dir(programs.postrender), "helm4") + " exec " + helm + " \"$@\"\n"
	}
	w.must(os.WriteFile(filepath.Join(w.dir, "bin", "helm"), []byte(script), 0o700))
	return w
}

// runs runs commands that have to succeed.
func (w walk) runs(commands string) {
	w.Helper()
	if out, err := w.shell(w.dir, strings.NewReplacer(w.edit...).Replace(commands)); err != nil {
		w.Fatalf("%v: %s\n%s", err, out, commands)
	}
}

// refused runs commands that have to fail and say this.
func (w walk) refused(want, commands string) {
	w.Helper()
	out, err := w.shell(w.dir, strings.NewReplacer(w.edit...).Replace(commands))
	if err == nil || !strings.Contains(out, want) {
		w.Errorf("got %v: %s\nwant in it: %s", err, out, want)
	}
}

// TestFromTheRendererToAClass: docs/doors.md, with the same chart. Too early, nothing changes;
// afterwards neither claim nor volume nor upgrade needs an annotation or the renderer, and
// the data is what the stamps say.
func TestFromTheRendererToAClass(t *testing.T) {
	t.Parallel()
	ofWeb := []string{"statefulset/db pvc/data-db-0 pvc/data-db-1", "pvc/db-files", "statefulset/db", "deployment/db", "pvc/data-db-0 pvc/data-db-1", "pvc/db-files", ".data-db-0", ".db-files", ".data-db-1", ".none"}
	for what, test := range map[string]struct {
		chart, helm, create string
		// door is the one that the label names before the walk.
		door    string
		edit    []string
		claims  []string
		refused string
	}{
		"a StatefulSet": {
			chart: "db", helm: programs.helm, create: "cluster", door: "claim", claims: []string{"data-db-0", "data-db-1"},
			refused: "updates to statefulset spec for fields other than",
		},
		"a StatefulSet whose pairs the renderer made": {
			chart: "db", helm: programs.helm, create: "client --post-renderer-args=--cluster-name=east", door: "renderer", claims: []string{"data-db-0", "data-db-1"},
			refused: "updates to statefulset spec for fields other than",
		},
		"a StatefulSet, with Helm 4": {
			chart: "db", helm: programs.helm4, create: "cluster", door: "claim", claims: []string{"data-db-0", "data-db-1"},
			refused: "updates to statefulset spec for fields other than",
		},
		"a claim beside a Deployment, whose pair the renderer made": {
			chart: "web", helm: programs.helm, create: "client --post-renderer-args=--cluster-name=east", door: "renderer", edit: ofWeb, claims: []string{"db-files"},
			refused: "spec is immutable after creation",
		},
		"a claim beside a Deployment, with Helm 4": {
			chart: "web", helm: programs.helm4, create: "cluster", door: "claim", edit: ofWeb, claims: []string{"db-files"},
			refused: "spec is immutable after creation",
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, test.chart, test.helm, test.edit...)
			install := "helm --kube-context east --namespace " + w.Namespace + ` install db ./chart --values values.yaml --set persistence.storageClass=ceph-block \
				--set-string 'persistence.annotations.cephferry\.io/migratable=true' ` + w.renderer + " --post-renderer-args=--create=" + test.create
			rollout := "\nkubectl --context east --namespace " + w.Namespace + " rollout status statefulset/db --timeout=60s"
			w.runs(install + rollout)
			handles := map[string]string{}
			for _, claim := range test.claims {
				pv := w.volume(east, w.image(claim))
				if handles[claim] = pv.Spec.CSI.VolumeHandle; pv.Labels[staticpv.DoorLabel] != test.door {
					t.Errorf("the volume has the labels %v, and came by door %s", pv.Labels, test.door)
				}
				w.wrote(w.image(claim), east)
			}

			w.refused(test.refused, w.step.class)
			for _, claim := range test.claims {
				w.Grows(claim)
			}

			before := w.last(test.claims)
			if test.door == "renderer" {
				w.runs(w.step.client)
			} else {
				w.runs(w.step.stop + w.step.class)
			}
			for _, claim := range test.claims {
				w.bound(east, claim, w.image(claim))
				if got := w.get(east, claim); *got.Spec.StorageClassName != migratable || len(ours(got.Annotations)) > 0 {
					t.Errorf("claim %s has class %s and %v", claim, *got.Spec.StorageClassName, ours(got.Annotations))
				}
				pv := w.volume(east, w.image(claim))
				if pv.Spec.StorageClassName != migratable || pv.DeletionTimestamp != nil || pv.Spec.CSI.VolumeHandle != handles[claim] || pv.Labels[staticpv.DoorLabel] != "class" {
					t.Errorf("the volume is %+v, %+v; its handle was %s", pv.ObjectMeta, pv.Spec, handles[claim])
				}
			}
			w.goesOn(before, east)
			// The next upgrade is like any other's.
			w.runs(w.step.class)
		})
	}
}

// TestFromADynamicVolumeToAClass: docs/doors.md, with the same chart, whose volume is one of
// ceph-csi's that both clusters describe.
func TestFromADynamicVolumeToAClass(t *testing.T) {
	t.Parallel()
	w := newWalk(t, "db", programs.helm)
	const uuid, claim = "c7a1b2d3-0e4f-4a5b-8c6d-7e8f9a0b1c2d", "data-db-0"
	w.must(os.WriteFile(filepath.Join(w.dir, "values.yaml"), []byte("{replicas: 1, persistence: {size: 16Mi}}"), 0o600))
	image, volume := w.MadeByCSI(east, claim, uuid)
	w.runs(strings.ReplaceAll(`helm --kube-context east --namespace NS install db ./chart --values values.yaml --set persistence.storageClass=ceph-block
		kubectl --context east --namespace NS rollout status statefulset/db --timeout=60s
		kubectl cephferry export NS/data-db-0 --context east > volume.yaml
		kubectl cephferry import volume.yaml --context west
		helm --kube-context west --namespace NS install db ./chart --values values.yaml --set persistence.storageClass=`+west.Rook.BlockClass+`,replicas=0`, "NS", w.Namespace))
	w.wroteTo(w.Image(claim), east)
	before := w.last([]string{claim})

	// The first steps set variables that the others use.
	w.runs(w.step.look + w.step.remove + w.step.adopt)
	delete(w.Images, claim) // it has another name now
	w.bound(east, claim, w.image(claim))
	if pv := w.volume(east, w.image(claim)); pv.Spec.StorageClassName != migratable || pv.Spec.CSI.VolumeHandle != w.image(claim)+"~east" {
		t.Errorf("the volume is %+v", pv.Spec)
	}
	w.goesOn(before, east)
	if out, err := storage.RBD(t.Context(), "info", "replicapool/"+image); err == nil {
		t.Errorf("there is an image by the old name: %s", out)
	}
	for _, c := range []*scene.Cluster{east, west} {
		w.gone(c, volume)
	}

	before = w.last([]string{claim})
	w.runs(w.step.move)
	w.goesOn(before, east, west)
	if pv := w.volume(west, w.image(claim)); pv.Spec.StorageClassName != migratable || pv.Spec.CSI.VolumeHandle != w.image(claim)+"~west" {
		t.Errorf("the volume is %+v", pv.Spec)
	}
	if got := ours(w.get(west, claim).Annotations); len(got) > 0 {
		t.Errorf("the claim in west has %v", got)
	}
	w.runs(fmt.Sprintf("kubectl --context west --namespace %s scale statefulset/db --replicas=0", w.Namespace))
	w.noPods(west)
}
