//go:build linux && lab

package apps

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// helm is a helm command for release "files" of the chart on CephFS.
func (a *app) helm(cluster *lab.Cluster, command, more string) string {
	return fmt.Sprintf(`helm --kube-context %s --namespace %s %s files ./chart %s \
		--set persistence.storageClass=ceph-filesystem --set-string 'persistence.annotations.cephferry\.io/migratable=true' \
		--post-renderer postrender --post-renderer-args=--create=client`, cluster.Name, a.namespace, command, more)
}

const readWriteMany = "--set persistence.accessMode=ReadWriteMany"

// TestBothClustersUseTheSameFiles: a chart with a ReadWriteMany claim is installed in
// both clusters, its pods run at once, and each reads what the other writes.
func TestBothClustersUseTheSameFiles(t *testing.T) {
	t.Parallel()
	a := newApp(t, "files")
	both := []*lab.Cluster{servers.East, servers.West}
	for _, cluster := range both {
		a.must("%s", a.helm(cluster, "install", "--create-namespace "+readWriteMany))
	}
	for _, cluster := range both {
		a.ready(cluster, "files")
	}
	const handle = "files.files-files"
	for _, reader := range both {
		for _, writer := range both {
			a.sees(reader, writer, handle)
		}
	}
	roots := map[string]bool{}
	for _, cluster := range both {
		root := a.get(cluster, "pv/"+handle, "{.spec.csi.volumeAttributes.rootPath}")
		if roots[root] = true; !strings.HasPrefix(root, "/volumes/csi/"+handle+"/") {
			t.Errorf("the rootPath in %s is %q", cluster.Name, root)
		}
	}
	if len(roots) != 1 {
		t.Errorf("the rootPaths are %v; want one", roots)
	}

	// The quota is in force at once, while both have it mounted.
	a.quota(handle, 1<<30)
	a.must("%s", a.helm(servers.East, "upgrade", readWriteMany+" --set persistence.size=2Gi"))
	a.quota(handle, 2<<30)
	a.must("%s", a.helm(servers.West, "upgrade", readWriteMany+" --set persistence.size=2Gi"))
	a.quota(handle, 2<<30)
	for _, cluster := range both {
		if got := a.get(cluster, "pvc/files-files", "{.spec.resources.requests.storage} {.status.capacity.storage}"); got != "1Gi 1Gi" {
			t.Errorf("the claim in %s has %s; want what it had", cluster.Name, got)
		}
	}
	a.refused(a.helm(servers.West, "upgrade", readWriteMany),
		"the request is below the volume's size: subvolume cephfs/csi/"+handle+" has 2Gi, the claim asks for 1Gi; subvolumes never shrink, so ask for at least 2Gi")
	a.quota(handle, 2<<30)
}

// TestASingleWriterOnCephFS works as well, and the renderer says what it is worth.
func TestASingleWriterOnCephFS(t *testing.T) {
	t.Parallel()
	a := newApp(t, "single")
	a.must("%s", a.helm(servers.East, "install", "--create-namespace"))
	a.ready(servers.East, "files")
	a.sees(servers.East, servers.East, "single.files-files")

	// As a filter; then by Ceph flags and with the class from a file, where only the
	// subvolume group comes from the cluster.
	a.must(`helm --kube-context east --namespace single template files ./chart --show-only templates/pvc.yaml \
			--set persistence.storageClass=ceph-filesystem --set-string 'persistence.annotations.cephferry\.io/migratable=true' >claim.yaml
		kubectl --context east get storageclass ceph-filesystem -o yaml >class.yaml`)
	const filter = "postrender --create=%s --kube-context east --namespace single %s <claim.yaml 2>&1 >%s"
	said := a.must(filter, "client", "", "rendered.yaml")
	user := servers.Ceph.CephFSProvisioner
	byFlags := fmt.Sprintf("--ceph-conf %s --ceph-id %s --ceph-keyring %s --storage-class class.yaml", servers.Ceph.ConfFile, user.ID, user.KeyringFile)
	if again := a.must(filter, "client", byFlags, "by-flags.yaml"); again != said {
		t.Errorf("by flags it says %s", again)
	}
	// One that makes nothing looks for the path all the same.
	if again := a.must(filter, "never", byFlags, "never.yaml"); again != said {
		t.Errorf("with --create never it says %s", again)
	}
	a.must("cmp rendered.yaml by-flags.yaml; cmp rendered.yaml never.yaml; grep 'rootPath: /volumes/csi/single.files-files/' rendered.yaml")
	const want = "postrender: PersistentVolumeClaim single/files-files: spec.accessModes: a volume on CephFS is not guarded, and nothing keeps a second cluster from writing to it at the same time"
	if said != want {
		t.Errorf("got  %s\nwant %s", said, want)
	}
}

// TestASubvolumeIsAdopted: one that ceph-csi made, with all that is in it.
func TestASubvolumeIsAdopted(t *testing.T) {
	t.Parallel()
	a := newApp(t, "archive")
	const name = "csi-vol-5d0c8e94-1f0b-4f57-a3f5-3c1d6a9b2e70"
	var root string
	for _, args := range [][]string{
		{"fs", "subvolumegroup", "create", lab.Filesystem, "csi"},
		{"fs", "subvolume", "create", lab.Filesystem, name, "--group_name", "csi", "--size", fmt.Sprint(3 << 30)},
		{"fs", "subvolume", "getpath", lab.Filesystem, name, "--group_name", "csi"},
	} {
		out, err := servers.Ceph.Run(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		root = strings.TrimSpace(string(out))
	}
	adopt := readWriteMany + ` --create-namespace --set-string 'persistence.annotations.cephferry\.io/adopt=true' --set 'persistence.annotations.cephferry\.io/image=`
	a.refused(a.helm(servers.East, "install", adopt+"csi-vol-nowhere'"), "adopt subvolume cephfs/csi/csi-vol-nowhere: the subvolume does not exist")
	for _, cluster := range []*lab.Cluster{servers.East, servers.West} {
		a.must("%s", a.helm(cluster, "install", adopt+name+"'"))
		a.ready(cluster, "files")
		got := a.get(cluster, "pv/"+name, "{.spec.csi.volumeAttributes.rootPath} {.spec.capacity.storage}")
		if want := root + " 3Gi"; got != want {
			t.Errorf("the volume in %s has %s; want %s", cluster.Name, got, want)
		}
	}
	a.sees(servers.East, servers.West, name)
	a.quota(name, 3<<30)
}

// sees waits until the node of one cluster has read new stamps of the other's.
func (a *app) sees(reader, writer *lab.Cluster, handle string) {
	a.Helper()
	newest := func() uint64 {
		stamps, err := reader.Nodes[0].Sees(handle)
		if err != nil {
			a.Fatal(err)
		}
		for _, s := range stamps {
			if s.Cluster == writer.Name {
				return s.Sequence
			}
		}
		return 0
	}
	before := newest()
	scene.Until(a.T, fmt.Sprintf("%s reads what %s writes to %s", reader.Name, writer.Name, handle), func() bool { return newest() >= before+3 })
}

// quota compares the quota of a subvolume.
func (a *app) quota(name string, want int64) {
	a.Helper()
	out, err := servers.Ceph.Run(a.Context(), "fs", "subvolume", "info", lab.Filesystem, name, "--group_name", "csi")
	if err != nil {
		a.Fatal(err)
	}
	var info struct {
		Quota int64 `json:"bytes_quota"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		a.Fatal(err)
	}
	if info.Quota != want {
		a.Errorf("the quota of %s is %d, want %d", name, info.Quota, want)
	}
}
