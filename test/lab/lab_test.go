//go:build linux && lab

package lab_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
)

// TestCeph: the parts run one after the other, since in two of them nobody can write for a while.
func TestCeph(t *testing.T) {
	start := time.Now()
	ceph := labtest.Ceph(t)
	t.Logf("ready after %v", time.Since(start))
	t.Run("users", func(t *testing.T) { users(t, ceph) })
	t.Run("quota", func(t *testing.T) { quota(t, ceph) })
	t.Run("freeze and thaw", func(t *testing.T) { freezeAndThaw(t, ceph) })
}

func users(t *testing.T, ceph *lab.Ceph) {
	start := time.Now()
	ctx := t.Context()
	for _, pool := range []string{lab.Pool, lab.OtherPool} {
		if _, err := ceph.RBD(ctx, "--id", ceph.Provisioner.ID, "create", pool+"/a", "--size", "16M"); err != nil {
			t.Error(err)
		}
	}
	reader, err := ceph.CreateUser(ctx, "reader", "mon", "allow r", "osd", "profile rbd-read-only pool="+lab.Pool)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := ceph.RBD(ctx, "--id", reader.ID, "ls", lab.Pool); err != nil || string(out) != "a\n" {
		t.Errorf("rbd ls as %q = %q, %v", reader.ID, out, err)
	}
	if _, err := ceph.RBD(ctx, "--id", reader.ID, "create", lab.Pool+"/b", "--size", "16M"); err == nil {
		t.Error("a reader made an image")
	}
	if err := ceph.WaitManager(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("manager after %v", time.Since(start))
	if err := ceph.WaitFilesystem(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("file system after %v", time.Since(start))
	if _, err := ceph.Run(ctx, "--id", ceph.CephFSProvisioner.ID, "fs", "subvolumegroup", "create", lab.Filesystem, "csi"); err != nil {
		t.Error(err)
	}
	if _, err := ceph.Run(ctx, "--id", reader.ID, "fs", "subvolumegroup", "create", lab.Filesystem, "other"); err == nil {
		t.Error("a reader made a subvolume group")
	}
}

func quota(t *testing.T, ceph *lab.Ceph) {
	ctx := t.Context()
	if err := ceph.SetPoolQuota(ctx, lab.Pool, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := ceph.RBD(ctx, "create", lab.Pool+"/full", "--size", "16M"); err != nil {
		t.Fatal(err)
	}
	if _, err := ceph.RBD(ctx, "bench", "--io-type", "write", "--io-size", "1M", "--io-total", "8M", lab.Pool+"/full"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := ceph.WaitPoolFull(ctx, lab.Pool, true); err != nil {
		t.Fatal(err)
	}
	t.Logf("full after %v", time.Since(start))
	start = time.Now()
	if err := ceph.SetPoolQuota(ctx, lab.Pool, 0); err != nil {
		t.Fatal(err)
	}
	if err := ceph.WaitPoolFull(ctx, lab.Pool, false); err != nil {
		t.Fatal(err)
	}
	t.Logf("not full after %v", time.Since(start))
}

func freezeAndThaw(t *testing.T, ceph *lab.Ceph) {
	ctx := t.Context()
	if err := ceph.OSD.Freeze(); err != nil {
		t.Fatal(err)
	}
	if _, err := ceph.RBD(ctx, "--rados_osd_op_timeout", "1", "ls", lab.Pool); err == nil {
		t.Error("a frozen OSD answered")
	}
	if err := ceph.OSD.Thaw(); err != nil {
		t.Fatal(err)
	}
	if _, err := ceph.RBD(ctx, "ls", lab.Pool); err != nil {
		t.Error(err)
	}
}

func TestStopLeavesNoProcess(t *testing.T) {
	dir := t.TempDir()
	ceph, err := lab.StartCeph(t.Context(), lab.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := ceph.OSD.Freeze(); err != nil { // a frozen one has to go as well
		t.Error(err)
	}
	for range 2 {
		if err := ceph.Stop(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range processesWith(t, dir) {
		t.Errorf("still runs: %s", name)
	}
}

// external: what Rook has in a cluster that uses another cluster's Ceph.
func (w world) external(t *testing.T) {
	ctx := t.Context()
	for cluster, config := range map[*lab.Cluster]string{
		w.East: `configmap/ceph-csi-config -o=jsonpath={.data.config\.json}`,
		w.West: `configmap/rook-ceph-csi-config -o=jsonpath={.data.csi-cluster-config-json}`,
	} {
		get := func(object string) string {
			t.Helper()
			out, err := cluster.Run(ctx, append([]string{"-n", "rook-ceph", "get"}, strings.Fields(object)...)...)
			if err != nil {
				t.Errorf("%s: %v", cluster.Name, err)
			}
			return string(out)
		}
		if got := get("storageclass ceph-block -o=jsonpath={.parameters.pool}"); got != lab.Pool {
			t.Errorf("%s: pool of the class = %q, want %q", cluster.Name, got, lab.Pool)
		}
		if got := get("storageclass ceph-filesystem -o=jsonpath={.parameters.fsName}"); got != lab.Filesystem {
			t.Errorf("%s: file system of the class = %q, want %q", cluster.Name, got, lab.Filesystem)
		}
		for secret, user := range map[string]lab.User{"rook-csi-cephfs-provisioner": w.Ceph.CephFSProvisioner, "rook-csi-cephfs-node": w.Ceph.CephFSNode} {
			want := base64.StdEncoding.EncodeToString([]byte(user.ID)) + "," + base64.StdEncoding.EncodeToString([]byte(user.Key))
			if got := get("secret " + secret + " -o=jsonpath={.data.userID},{.data.userKey}"); got != want {
				t.Errorf("%s: secret %s = %q, want %q", cluster.Name, secret, got, want)
			}
		}
		var entries []struct {
			ClusterID string
			Monitors  []string
		}
		if err := json.Unmarshal([]byte(get(config)), &entries); err != nil {
			t.Errorf("%s: %v", cluster.Name, err)
		} else if len(entries) != 1 || entries[0].ClusterID != "rook-ceph" || !slices.Equal(entries[0].Monitors, w.Ceph.V1) { // as the kernel mounts CephFS
			t.Errorf("%s: config = %+v", cluster.Name, entries)
		}

		// What a program finds in the cluster is enough to reach Ceph.
		key, err := base64.StdEncoding.DecodeString(get("secret rook-csi-rbd-provisioner -o=jsonpath={.data.userKey}"))
		if err != nil {
			t.Error(err)
		}
		keyFile := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(keyFile, key, 0o600); err != nil {
			t.Fatal(err)
		}
		rbd := exec.CommandContext(ctx, "rbd", "-c", "/dev/null", "-m", entries[0].Monitors[0],
			"--id", "csi-rbd-provisioner", "--keyfile", keyFile, "create", "--size=16M", lab.Pool+"/"+cluster.Name)
		if out, err := rbd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", cluster.Name, err, out)
		}

		// The volume controller binds, and its user is its own.
		if err := cluster.Apply(ctx, pair); err != nil {
			t.Error(err)
		}
		if _, err := cluster.Run(ctx, "wait", "-n", "default", "--for=jsonpath={.status.phase}=Bound", "--timeout=20s", "pvc/data"); err != nil {
			t.Error(err)
		}
		var version struct{ ServerVersion struct{ GitVersion string } }
		if err := json.Unmarshal([]byte(get("--raw /version")), &version.ServerVersion); err != nil || !strings.HasPrefix(version.ServerVersion.GitVersion, "v1.") {
			t.Errorf("version = %+v, %v", version, err)
		}
	}
	out, err := w.Ceph.RBD(ctx, "ls", lab.Pool)
	if images := strings.Fields(string(out)); err != nil || !slices.Contains(images, lab.East) || !slices.Contains(images, lab.West) {
		t.Errorf("images = %q, %v", images, err)
	}
}

const pair = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: data}
spec:
  capacity: {storage: 16Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: default, name: data}
  csi: {driver: rook-ceph.rbd.csi.ceph.com, volumeHandle: data}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  volumeName: data
  resources: {requests: {storage: 16Mi}}
`

// A program that ends at once stands for every server that cannot start.
func TestFailedStartStopsWhatItBeganAndShowsTheLog(t *testing.T) {
	tools := t.TempDir()
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kubectl"} {
		script := "#!/bin/sh\necho this is why >&2\nexit 3\n"
		if err := os.WriteFile(filepath.Join(tools, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	err := lab.Up(t.Context(), lab.Options{Dir: dir, Tools: lab.Tools(tools)}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "start kube-apiserver: it ended by itself") || !strings.Contains(err.Error(), "this is why") {
		t.Errorf("error = %v", err)
	}
	for _, name := range processesWith(t, dir) {
		t.Errorf("still runs: %s", name)
	}
}

// Both kinds of starter are killed while they start: the servers of a test die
// with it, those of Up are found by Down.
func TestKilledStarter(t *testing.T) {
	for _, detached := range []bool{false, true} {
		t.Run(fmt.Sprintf("detached %t", detached), func(t *testing.T) {
			dir := t.TempDir()
			starter := exec.Command(os.Args[0], "-test.run=TestStarter")
			starter.Env = append(os.Environ(), fmt.Sprintf("LAB_TEST_STARTER=%t", detached), "LAB_TEST_DIR="+dir)
			if err := starter.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, "the OSD runs", func() bool {
				records, _ := filepath.Glob(filepath.Join(dir, "ceph", "processes", "osd"))
				return len(records) == 1
			})
			if err := starter.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = starter.Wait()
			if detached {
				if len(processesWith(t, dir)) == 0 {
					t.Error("no server outlived the starter")
				}
				if err := lab.Down(dir, io.Discard); err != nil {
					t.Error(err)
				}
			}
			await(t, "no process is left", func() bool { return len(processesWith(t, dir)) == 0 })
		})
	}
}

// TestStarter is the process that TestKilledStarter kills.
func TestStarter(t *testing.T) {
	options := lab.Options{Dir: os.Getenv("LAB_TEST_DIR"), Tools: lab.Tools(os.Getenv(lab.ToolsVariable))}
	switch os.Getenv("LAB_TEST_STARTER") {
	case "true":
		t.Error(lab.Up(t.Context(), options, os.Stderr))
	case "false":
		options.Nodes.PerCluster, _ = strconv.Atoi(os.Getenv("LAB_TEST_NODES"))
		_, err := lab.Start(t.Context(), options)
		t.Error(err)
	}
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	const limit = time.Minute // a whole lab may have to start
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for want, start := range map[string]func() error{
		"`apt-get install ceph-mon` provides it": func() error {
			_, err := lab.StartCeph(t.Context(), lab.Options{Dir: t.TempDir()})
			return err
		},
		"`apt-get install etcd-server` provides it": func() error {
			_, err := lab.StartCluster(t.Context(), "east", lab.Options{Dir: t.TempDir()})
			return err
		},
	} {
		if err := start(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one with %q", err, want)
		}
	}
	if _, err := lab.Tools("/nowhere").Find("kubectl"); err == nil || !strings.Contains(err.Error(), "`make tools` builds it") {
		t.Errorf("error = %v", err)
	}
	if _, err := lab.Tools("").Find("kubectl"); err == nil || !strings.Contains(err.Error(), lab.ToolsVariable+" is not set") {
		t.Errorf("error = %v", err)
	}
}

// processesWith returns the command lines on this machine that contain text.
func processesWith(t *testing.T, text string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		line, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err == nil && strings.Contains(string(line), text) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
