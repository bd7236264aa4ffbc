//go:build linux && lab

package lab_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
)

func TestCeph(t *testing.T) {
	start := time.Now()
	ceph := labtest.Ceph(t)
	t.Logf("ready after %v", time.Since(start))
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
}

func TestPoolQuota(t *testing.T) {
	ceph := labtest.Ceph(t)
	ctx := t.Context()
	if err := ceph.SetPoolQuota(ctx, lab.Pool, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := ceph.RBD(ctx, "create", lab.Pool+"/a", "--size", "16M"); err != nil {
		t.Fatal(err)
	}
	if _, err := ceph.RBD(ctx, "bench", "--io-type", "write", "--io-size", "1M", "--io-total", "8M", lab.Pool+"/a"); err != nil {
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

func TestFreezeAndThaw(t *testing.T) {
	ceph := labtest.Ceph(t)
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

func TestCluster(t *testing.T) {
	start := time.Now()
	cluster := labtest.Cluster(t, "east")
	t.Logf("ready after %v", time.Since(start))
	ctx := t.Context()
	if out, err := cluster.Run(ctx, "version"); err != nil {
		t.Error(err)
	} else {
		t.Logf("%s", out)
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
