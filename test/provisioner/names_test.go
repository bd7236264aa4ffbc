//go:build lab

package provisioner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/stamp"
	"github.com/cephferry/cephferry/test/scene"
)

// otherNames are west's: none of Rook's names there is one of east's.
var otherNames = lab.Rook{
	Operator: "storage-operator", Namespace: "storage", ClusterID: "6f1d2a0b9c8e4f75", Secrets: "ceph-user",
	BlockClass: "fast", FilesystemClass: "files", Users: "west",
	// Further clusterIDs, which lead elsewhere in the same Ceph. One of them is
	// called like east's own.
	Places: map[string]lab.Place{
		"rook-ceph":   {RadosNamespace: "blue", SubvolumeGroup: "csi"},
		"other-group": {SubvolumeGroup: "blue"},
	},
}

// valuesForOtherNames is what the chart has to be told of them (docs/names.md).
const valuesForOtherNames = ",ceph.configNamespaces={storage-operator}" +
	",ceph.secret.namespace=storage,ceph.secret.name=ceph-user-rbd-node" +
	",guard.excludedNamespaces={storage-operator,storage}" +
	",provisioner.secrets[0].namespace=storage,provisioner.secrets[0].name=ceph-user-rbd-provisioner" +
	",provisioner.secrets[1].namespace=storage,provisioner.secrets[1].name=ceph-user-cephfs-provisioner" +
	",provisioner.secrets[2].namespace=storage,provisioner.secrets[2].name=" + farSecret

// farSecret is of a Ceph that east does not know.
const farSecret = "far-provisioner"

// release is one of Helm, of a chart of testdata, in one cluster.
type release struct {
	*team
	in          *scene.Cluster
	name, chart string
	// create is the renderer's --create.
	create string
	// annotated is the value of the annotation cephferry.io/image, and then the image
	// has to be there; empty leaves it out.
	annotated string
}

func (r release) workload() string {
	return map[string]string{"web": "deployment/", "db": "statefulset/"}[r.chart] + r.name
}

// claim is the name of the release's only claim.
func (r release) claim() string {
	return map[string]string{"web": r.name + "-files", "db": "data-" + r.name + "-0"}[r.chart]
}

func (r release) install(replicas int) {
	r.Helper()
	if out, err := r.rendered("install", replicas); err != nil {
		r.Fatalf("%v: %s", err, out)
	}
}

// rendered installs or upgrades the release with the renderer.
func (r release) rendered(command string, replicas int, more ...string) (string, error) {
	set := fmt.Sprintf("replicas=%d,persistence.size=16Mi,persistence.storageClass=%s", replicas, r.in.Rook.BlockClass)
	annotations := `persistence.annotations.cephferry\.io/migratable=true`
	if r.annotated != "" {
		annotations += `,persistence.annotations.cephferry\.io/adopt=true,persistence.annotations.cephferry\.io/image=` + r.annotated
	}
	if r.chart == "db" && replicas == 0 {
		annotations += `,persistence.annotations.cephferry\.io/replicas=1`
	}
	return r.helm(r.in, programs.helm, append([]string{command, r.name, "../../testdata/charts/" + r.chart, "--set", set, "--set-string", annotations,
		"--post-renderer", programs.postrender, "--post-renderer-args=--create=" + r.create}, more...)...)
}

// start scales the workload up, as soon as that is allowed, and waits for its pod.
func (r release) start() {
	r.Helper()
	r.Eventually(r.workload()+" may start in "+r.in.Name, func() error {
		_, err := r.in.Run(r.Context(), "--namespace", r.Namespace, "scale", r.workload(), "--replicas=1")
		return err
	})
	r.runs()
}

func (r release) runs() {
	r.Helper()
	r.Kubectl(r.in, "rollout", "status", r.workload(), "--timeout=60s")
}

func (r release) stop(image string) {
	r.Helper()
	r.Kubectl(r.in, "scale", r.workload(), "--replicas=0")
	r.noPods(r.in)
	r.free(image)
}

// refused checks that the guard refuses to start the workload: by this cluster's
// names of what it would use, and the other one's of what has it. The claim of a
// StatefulSet that never had a pod is refused instead: nothing is known of a volume
// before.
func (r release) refused(image string, holder release) {
	r.Helper()
	said := func(text string) bool {
		return strings.Contains(text, "volume "+r.Namespace+"/"+r.claim()+" (image "+lab.Pool+"/"+image+") is in use by another cluster") &&
			strings.Contains(text, "claim "+holder.Namespace+"/"+holder.claim()+" down in "+holder.in.Name) &&
			slices.ContainsFunc(holder.in.Nodes, func(n *lab.Node) bool { return strings.Contains(text, "node "+n.Name+" ("+n.Address+",") })
	}
	_, err := r.in.Run(r.Context(), "--namespace", r.Namespace, "scale", r.workload(), "--replicas=1")
	if err != nil {
		if !said(err.Error()) {
			r.Errorf("scaling up in %s is refused with: %v", r.in.Name, err)
		}
		return
	}
	r.Eventually("a refusal at claim "+r.claim(), func() error {
		events := r.events(r.in, r.claim())
		if !slices.ContainsFunc(events, said) {
			return fmt.Errorf("there are %q", events)
		}
		return nil
	})
}

// TestNamesThatMayDiffer is the table of docs/names.md, What may differ: an app moves
// to a cluster where its Rook has other names, and it has itself, and back.
func TestNamesThatMayDiffer(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		chart, create     string
		release, inWest   string
		anotherNamespace  bool
		image, annotation string // in west
	}{
		"only Rook's, of a claim":                {chart: "web", create: "cluster", release: "app", inWest: "app", image: "app-files"},
		"only Rook's, of a StatefulSet":          {chart: "db", create: "cluster", release: "app", inWest: "app", image: "data-app-0"},
		"the release, of a claim":                {chart: "web", create: "cluster", release: "app", inWest: "shop", image: "app-files", annotation: "app-files"},
		"the release, of a StatefulSet":          {chart: "db", create: "cluster", release: "app", inWest: "shop", image: "data-app-0", annotation: "data-app"},
		"the namespace, of a claim":              {chart: "web", create: "cluster", release: "app", inWest: "app", anotherNamespace: true, image: "app-files", annotation: "app-files"},
		"both, of a StatefulSet":                 {chart: "db", create: "cluster", release: "app", inWest: "shop", anotherNamespace: true, image: "data-app-0", annotation: "data-app"},
		"both, by the renderer":                  {chart: "web", create: "client", release: "app", inWest: "shop", anotherNamespace: true, image: "app-files", annotation: "app-files"},
		"both, of a StatefulSet by the renderer": {chart: "db", create: "client", release: "app", inWest: "shop", anotherNamespace: true, image: "data-app-0", annotation: "data-app"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			home := release{team: newTeam(t), in: east, name: test.release, chart: test.chart, create: test.create}
			away := release{team: home.team, in: west, name: test.inWest, chart: test.chart, create: test.create}
			image := home.image(test.image)
			if test.annotation != "" {
				away.annotated = home.image(test.annotation)
			}
			if test.anotherNamespace {
				away.team = newTeam(t)
				if test.create == "cluster" {
					away.grant(west, home.Namespace+".*")
				}
			}
			home.install(1)
			home.runs()
			away.install(0)
			away.refused(image, home)
			home.stop(image)
			away.start()
			home.refused(image, away)
			away.stop(image)
			home.start()
			home.wrote(image, east, west, east)

			if diff := cmp.Diff(rookOf(t, east, home.volume(east, image)), names{
				Driver: "rook-ceph.rbd.csi.ceph.com", ClusterID: "rook-ceph", Secret: "rook-ceph/rook-csi-rbd-node",
			}); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(rookOf(t, west, away.volume(west, image)), names{
				Driver: "storage-operator.rbd.csi.ceph.com", ClusterID: "6f1d2a0b9c8e4f75", Secret: "storage/ceph-user-rbd-node",
			}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// names are what a volume has of Rook's.
type names struct{ Driver, ClusterID, Secret string }

func rookOf(t *testing.T, c *scene.Cluster, pv *corev1.PersistentVolume) names {
	t.Helper()
	csi := pv.Spec.CSI
	handle := pv.Name
	if pv.Annotations["cephferry.io/created-by"] == "cluster" {
		handle += "~" + c.Name
	}
	if csi.VolumeHandle != handle || csi.VolumeAttributes["pool"] != lab.Pool {
		t.Errorf("volume %s has handle %s and pool %s", pv.Name, csi.VolumeHandle, csi.VolumeAttributes["pool"])
	}
	return names{csi.Driver, csi.VolumeAttributes["clusterID"], csi.NodeStageSecretRef.Namespace + "/" + csi.NodeStageSecretRef.Name}
}

// TestNamesThatMayDifferOnCephFS: both clusters have the files at once.
func TestNamesThatMayDifferOnCephFS(t *testing.T) {
	t.Parallel()
	home, away := newTeam(t), newTeam(t)
	home.must(storage.WaitFilesystem(t.Context()))
	subvolume := home.image("files")
	away.grant(west, subvolume)
	home.apply(east, shared("files", "cephferry.io/class: ceph-filesystem")+pod("app", "files"))
	away.apply(west, shared("documents", "cephferry.io/class: files", "cephferry.io/image: "+subvolume)+pod("reader", "documents"))
	home.Ready(east, "app")
	away.Ready(west, "reader")
	for _, reader := range []*scene.Cluster{east, west} {
		for _, writer := range []*scene.Cluster{east, west} {
			home.sees(reader, writer, subvolume)
		}
	}
	from, to := home.volume(east, subvolume).Spec.CSI, away.volume(west, subvolume).Spec.CSI
	if root := from.VolumeAttributes["rootPath"]; root == "" || root != to.VolumeAttributes["rootPath"] {
		t.Errorf("rootPath %q in east, %q in west", root, to.VolumeAttributes["rootPath"])
	}
	if from.Driver == to.Driver || from.VolumeAttributes["clusterID"] == to.VolumeAttributes["clusterID"] || *from.NodeStageSecretRef == *to.NodeStageSecretRef {
		t.Errorf("the volumes have names in common: %v, %v", from, to)
	}
}

// shared is a claim that several nodes use at once.
func shared(name string, more ...string) string {
	return strings.Replace(claim(name, "16Mi", more...), "ReadWriteOnce", "ReadWriteMany", 1)
}

// grant lets the namespace use these images.
func (tm *team) grant(c *scene.Cluster, images string) {
	tm.Helper()
	tm.Kubectl(c, "annotate", "--overwrite", "namespace", tm.Namespace, "cephferry.io/images="+images)
}

// sees waits until a node of reader has read what one of writer wrote.
func (tm *team) sees(reader, writer *scene.Cluster, subvolume string) {
	tm.Helper()
	tm.Eventually(reader.Name+" reads what "+writer.Name+" writes", func() error {
		for _, node := range reader.Nodes {
			stamps, err := node.Sees(subvolume)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(stamps, func(s stamp.Stamp) bool { return s.Cluster == writer.Name }) {
				return nil
			}
		}
		return errors.New("no stamp of it")
	})
}
