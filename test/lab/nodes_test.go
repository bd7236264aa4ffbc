//go:build linux && lab

package lab_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

func TestLab(t *testing.T) {
	t.Parallel()
	start := time.Now()
	started := labtest.LabWithNodes(t, lab.Nodes{PerCluster: 4})
	t.Logf("ready after %v", time.Since(start))
	w := world{started}
	addresses := map[string]bool{}
	for _, cluster := range []*lab.Cluster{w.East, w.West} {
		for _, node := range cluster.Nodes {
			addresses[node.Address] = true
		}
	}
	if len(addresses) != 8 {
		t.Errorf("addresses = %v, want 8 different ones", addresses)
	}

	// Side by side, each with nodes of its own.
	for name, f := range map[string]func(*testing.T){
		"what Rook has there":  func(t *testing.T) { t.Parallel(); w.external(t) },
		"a pod comes and goes": func(t *testing.T) { t.Parallel(); w.comesAndGoes(t, w.West, "west-2") },
		"a pod that ends":      func(t *testing.T) { t.Parallel(); w.ends(t, w.West, "west-2") },
		"a hand-over":          func(t *testing.T) { t.Parallel(); w.handOver(t, "east-3", "west-3") },
		"a shared folder":      func(t *testing.T) { t.Parallel(); w.share(t, "east-4", "west-4") },
		"kill":                 func(t *testing.T) { t.Parallel(); w.kill(t, w.East, "east-1") },
		"cut and heal": func(t *testing.T) {
			t.Parallel()
			node := w.node(t, w.East, "east-2")
			w.pauses(t, w.East, node, "cut", func() error { return node.Cut(t.Context()) }, func() error { return node.Heal(t.Context()) })
		},
		"freeze and thaw": func(t *testing.T) {
			t.Parallel()
			node := w.node(t, w.West, "west-1")
			w.pauses(t, w.West, node, "freeze", node.Freeze, node.Thaw)
		},
	} {
		t.Run(name, f)
	}
}

func (w world) comesAndGoes(t *testing.T, cluster *lab.Cluster, name string) {
	ctx := t.Context()
	w.image(t, "life")
	w.apply(t, cluster, "life", "kubernetes.io/hostname: "+name)
	w.ready(t, cluster, "life")
	if got := w.watchers(t, "life"); len(got) != 1 || !strings.HasPrefix(got[0], w.node(t, cluster, name).Address+":0/") {
		t.Errorf("watchers = %v, want one of %s", got, w.node(t, cluster, name).Address)
	}
	attachments := func() string {
		return w.get(t, cluster, `volumeattachment -o=jsonpath={range.items[?(@.spec.source.persistentVolumeName=="life")]}{.spec.attacher},{.spec.nodeName},{.status.attached},{.metadata.finalizers[0]}{end}`)
	}
	if got, want := attachments(), "rook-ceph.rbd.csi.ceph.com,"+name+",true,external-attacher/rook-ceph-rbd-csi-ceph-com"; got != want {
		t.Errorf("attachment = %q, want %q", got, want)
	}
	if got, want := w.get(t, cluster, "pod life -o=jsonpath={.status.phase},{.status.containerStatuses[0].ready},{.status.hostIP}"), "Running,true,"+w.node(t, cluster, name).Address; got != want {
		t.Errorf("pod = %q, want %q", got, want)
	}
	w.grows(t, "life")

	if _, err := cluster.Run(ctx, "delete", "pod", "life"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	await(t, "no watcher", func() bool { return len(w.watchers(t, "life")) == 0 })
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the watcher stayed for %v after the pod", took)
	}
	await(t, "no attachment", func() bool { return attachments() == "" })
	w.checkStamps(t, "life", name)

	if _, err := cluster.Run(ctx, "delete", "pvc/life", "pv/life", "--timeout=10s"); err != nil {
		t.Error(err)
	}
}

func (w world) ends(t *testing.T, cluster *lab.Cluster, name string) {
	w.image(t, "job")
	w.apply(t, cluster, "job", "kubernetes.io/hostname: "+name, `  restartPolicy: Never
  containers: [{name: main, image: none, command: [sleep, "1"]}]`)
	if _, err := cluster.Run(t.Context(), "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=25s", "pod/job"); err != nil {
		t.Error(err)
	}
	await(t, "no watcher", func() bool { return len(w.watchers(t, "job")) == 0 })
	w.checkStamps(t, "job", name)
	if _, err := cluster.Run(t.Context(), "delete", "pod/job", "--timeout=10s"); err != nil {
		t.Error(err)
	}
}

// handOver: ceph-csi's own check keeps the second cluster's pod from starting.
func (w world) handOver(t *testing.T, from, to string) {
	ctx := t.Context()
	w.image(t, "moves")
	w.apply(t, w.East, "moves", "kubernetes.io/hostname: "+from)
	w.ready(t, w.East, "moves")
	w.apply(t, w.West, "moves", "kubernetes.io/hostname: "+to)
	await(t, "the agent in west sees the other watcher", func() bool {
		data, err := os.ReadFile(w.node(t, w.West, to).Agent.LogFile)
		return err == nil && strings.Contains(string(data), `msg="in use" image=replicapool/moves`)
	})
	if phase := w.get(t, w.West, "pod moves -o=jsonpath={.status.phase}"); phase != "Pending" {
		t.Errorf("phase of the second pod = %q", phase)
	}
	if _, err := w.East.Run(ctx, "delete", "pod", "moves"); err != nil {
		t.Fatal(err)
	}
	w.ready(t, w.West, "moves")
	w.grows(t, "moves")
	w.checkStamps(t, "moves", from, to)
}

func (w world) kill(t *testing.T, cluster *lab.Cluster, name string) {
	node := w.node(t, cluster, name)
	w.image(t, "kill")
	w.apply(t, cluster, "kill", "kubernetes.io/hostname: "+name)
	w.ready(t, cluster, "kill")
	w.grows(t, "kill")
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for len(w.watchers(t, "kill")) != 0 {
		if time.Since(start) > 40*time.Second {
			t.Fatal("the watcher of a dead node stays")
		}
		time.Sleep(500 * time.Millisecond)
	}
	took := time.Since(start)
	t.Logf("watcher gone after %v", took)
	if took < 20*time.Second {
		t.Errorf("watcher gone after %v, want 25 to 30 s", took)
	}

	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	w.grows(t, "kill")
	w.checkStamps(t, "kill", name)
}

// pauses: a node that loses its network or stands still writes nothing, keeps its
// watch for a while, and goes on afterwards.
func (w world) pauses(t *testing.T, cluster *lab.Cluster, node *lab.Node, image string, stop, resume func() error) {
	w.image(t, image)
	w.apply(t, cluster, image, "kubernetes.io/hostname: "+node.Name)
	w.ready(t, cluster, image)
	w.grows(t, image)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	before := w.stamps(t, image).Last().Sequence
	time.Sleep(2 * time.Second) // ten stamps long
	if after := w.stamps(t, image).Last().Sequence; after > before+1 {
		t.Errorf("stamps went on from %d to %d", before, after)
	}
	if got := w.watchers(t, image); len(got) != 1 {
		t.Errorf("watchers = %v", got)
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	w.grows(t, image)
	w.checkStamps(t, image, node.Name)
}

// TestSameAddresses: what watchers and nodes show does not tell the clusters
// apart. And without ceph-csi's check, the stamps show two writers.
func TestSameAddresses(t *testing.T) {
	t.Parallel()
	start := time.Now()
	w := world{labtest.LabWithNodes(t, lab.Nodes{PerCluster: 1, SameAddresses: true, IgnoreWatchers: true})}
	t.Logf("ready after %v", time.Since(start))
	w.image(t, "mine")
	w.image(t, "yours")
	w.image(t, "both")
	for image, clusters := range map[string][]*lab.Cluster{"mine": {w.East}, "yours": {w.West}, "both": {w.East, w.West}} {
		for _, cluster := range clusters {
			w.apply(t, cluster, image, "")
			w.ready(t, cluster, image)
		}
	}
	address := func(watcher string) string { ip, _, _ := strings.Cut(watcher, ":"); return ip }
	shown := []string{
		w.get(t, w.East, "node east-1 -o=jsonpath={.status.addresses[0].address}"),
		w.get(t, w.West, "node west-1 -o=jsonpath={.status.addresses[0].address}"),
	}
	for _, image := range []string{"mine", "yours", "both"} {
		for _, watcher := range w.watchers(t, image) {
			shown = append(shown, address(watcher))
		}
	}
	if len(shown) != 6 {
		t.Errorf("addresses = %v, want those of 2 nodes and 4 watchers", shown)
	}
	for _, ip := range shown {
		if ip != w.East.Nodes[0].Address || ip != w.West.Nodes[0].Address {
			t.Errorf("addresses = %v, want only %s", shown, w.East.Nodes[0].Address)
		}
	}
	w.grows(t, "both")
	if err := w.stamps(t, "both").Check(); err == nil {
		t.Errorf("no stamp tells of two writers: %+v", w.stamps(t, "both").Runs())
	}
	w.checkStamps(t, "mine", "east-1")
	w.checkStamps(t, "yours", "west-1")

	// The lock excludes where nobody looks.
	w.image(t, "locked")
	exclusive := strings.Replace(volumeAndPod, `staticVolume: "true"`, `staticVolume: "true", mapOptions: "krbd:exclusive"`, 1)
	for _, cluster := range []*lab.Cluster{w.East, w.West} {
		if err := cluster.Apply(t.Context(), fmt.Sprintf(exclusive, "locked", lab.Pool, "", plainSpec)); err != nil {
			t.Fatal(err)
		}
		if cluster == w.East {
			w.ready(t, w.East, "locked")
		}
	}
	await(t, "a refusal", func() bool {
		return strings.Contains(w.get(t, w.West, "events -o=jsonpath={.items[*].message}"), "acquire exclusive lock")
	})
	w.checkStamps(t, "locked", "east-1")
}

// TestOneAddress: what watchers show is no node's.
func TestOneAddress(t *testing.T) {
	t.Parallel()
	w := world{labtest.LabWithNodes(t, lab.Nodes{PerCluster: 1, OneAddress: true})}
	for _, cluster := range []*lab.Cluster{w.East, w.West} {
		w.image(t, cluster.Name)
		w.apply(t, cluster, cluster.Name, "")
		w.ready(t, cluster, cluster.Name)
		if got := w.watchers(t, cluster.Name); len(got) != 1 || !strings.HasPrefix(got[0], w.Network.RouterAddress+":0/") {
			t.Errorf("watchers = %v, want one of %s", got, w.Network.RouterAddress)
		}
		if got := w.get(t, cluster, "node -o=jsonpath={.items[*].status.addresses[0].address}"); got != w.East.Nodes[0].Address || got == w.Network.RouterAddress {
			t.Errorf("address of the node = %q", got)
		}
	}
}

func TestUpAndDownWithNodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	options := lab.Options{Dir: dir, Tools: lab.Tools(os.Getenv(lab.ToolsVariable)), Nodes: lab.Nodes{PerCluster: 1}}
	t.Cleanup(func() { _ = lab.Down(dir, io.Discard) })
	if err := lab.Up(t.Context(), options, io.Discard); err != nil {
		t.Fatal(err)
	}
	link := linkOf(t, dir)
	if _, err := net.InterfaceByName(link); err != nil {
		t.Error(err)
	}
	node, err := lab.OpenNode(dir, "west-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return node.Cut(t.Context()) }, func() error { return node.Heal(t.Context()) },
		node.Freeze, node.Thaw, node.Freeze, node.Kill, node.Start,
	} {
		if err := step(); err != nil {
			t.Error(err)
		}
	}
	if err := lab.Status(dir, io.Discard); err != nil {
		t.Error(err)
	}
	if _, err := lab.OpenNode(dir, "west-2"); err == nil || !strings.Contains(err.Error(), `no node "west-2"`) {
		t.Errorf("error = %v", err)
	}
	if err := lab.Down(dir, io.Discard); err != nil {
		t.Error(err)
	}
	if _, err := net.InterfaceByName(link); err == nil {
		t.Errorf("%s is still there", link)
	}
	for _, name := range processesWith(t, dir) {
		t.Errorf("still runs: %s", name)
	}
}

// The kernel removes the network of a test that was killed.
func TestKilledStarterWithNodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	starter := exec.Command(os.Args[0], "-test.run=TestStarter")
	starter.Env = append(os.Environ(), "LAB_TEST_STARTER=false", "LAB_TEST_NODES=1", "LAB_TEST_DIR="+dir)
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a node runs", func() bool {
		records, _ := filepath.Glob(filepath.Join(dir, "*", "processes", "node-*"))
		return len(records) > 0
	})
	link := linkOf(t, dir)
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait()
	await(t, "no link and no process is left", func() bool {
		_, err := net.InterfaceByName(link)
		return err != nil && len(processesWith(t, dir)) == 0
	})
}

// linkOf is the name of this machine's link into the network of the lab in dir.
func linkOf(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "network", "link"))
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(string(data), " ")
	return name
}

// world has what the tests of nodes ask for.
type world struct{ *lab.Lab }

// image makes an image in the pool.
func (w world) image(t *testing.T, name string) {
	t.Helper()
	if _, err := w.Ceph.RBD(t.Context(), "create", lab.Pool+"/"+name, "--size", "16M"); err != nil {
		t.Fatal(err)
	}
}

// apply makes the pair of the image and a pod that uses it.
func (w world) apply(t *testing.T, cluster *lab.Cluster, image, nodeSelector string, spec ...string) {
	t.Helper()
	if spec == nil {
		spec = []string{plainSpec}
	}
	if err := cluster.Apply(t.Context(), fmt.Sprintf(volumeAndPod, image, lab.Pool, nodeSelector, spec[0])); err != nil {
		t.Fatal(err)
	}
}

const plainSpec = "  containers: [{name: main, image: none}]"

const volumeAndPod = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 16Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: default, name: %[1]s}
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    volumeHandle: %[1]s
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, pool: %[2]s, staticVolume: "true"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[1]s, namespace: default}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  volumeName: %[1]s
  resources: {requests: {storage: 16Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: default}
spec:
  nodeSelector: {%[3]s}
%[4]s
  volumes: [{name: data, persistentVolumeClaim: {claimName: %[1]s}}]
`

func (w world) ready(t *testing.T, cluster *lab.Cluster, pod string) {
	t.Helper()
	start := time.Now()
	if _, err := cluster.Run(t.Context(), "wait", "--for=condition=Ready", "--timeout=25s", "pod/"+pod); err != nil {
		out, _ := cluster.Run(t.Context(), "describe", "pod/"+pod)
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s ready after %v", pod, time.Since(start))
}

func (w world) node(t *testing.T, cluster *lab.Cluster, name string) *lab.Node {
	t.Helper()
	i := slices.IndexFunc(cluster.Nodes, func(n *lab.Node) bool { return n.Name == name })
	if i < 0 {
		t.Fatalf("there is no node %q", name)
	}
	return cluster.Nodes[i]
}

func (w world) get(t *testing.T, cluster *lab.Cluster, args string) string {
	t.Helper()
	out, err := cluster.Run(t.Context(), append([]string{"get"}, strings.Fields(args)...)...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// watchers are the addresses of the image's watchers.
func (w world) watchers(t *testing.T, image string) []string {
	t.Helper()
	out, err := w.Ceph.RBD(t.Context(), "status", lab.Pool+"/"+image, "--format", "json")
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Watchers []struct{ Address string }
	}
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, watcher := range status.Watchers {
		addresses = append(addresses, watcher.Address)
	}
	return addresses
}

func (w world) stamps(t *testing.T, image string) stamp.Log {
	t.Helper()
	log, err := w.Ceph.ReadStamps(t.Context(), lab.Pool+"/"+image)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// grows waits for new stamps.
func (w world) grows(t *testing.T, image string) {
	t.Helper()
	before := w.stamps(t, image).Last().Sequence
	await(t, "new stamps in "+image, func() bool { return w.stamps(t, image).Last().Sequence >= before+3 })
}

// checkStamps checks that the nodes wrote one after the other.
func (w world) checkStamps(t *testing.T, image string, nodes ...string) {
	t.Helper()
	log := w.stamps(t, image)
	if err := log.Check(); err != nil {
		t.Error(err)
	}
	var got []string
	for _, run := range log.Runs() {
		got = append(got, run.Node)
	}
	if !slices.Equal(got, nodes) {
		t.Errorf("writers of %s = %v, want %v", image, got, nodes)
	}
}
