//go:build lab

package provisioner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// others is a class whose claims nothing keeps the resizer away from.
const others = "others"

// resizer is ceph-csi's external-resizer in east, with a driver that fails to expand any
// volume and notes who was asked for.
type resizer struct {
	*team
	calls string // a file, with a line for each call
	raise *int   // by how much the request of unkept was raised
}

func startResizer(tm *team) *resizer {
	tm.Helper()
	dir := tm.TempDir()
	socket := filepath.Join(dir, "csi.sock")
	r := &resizer{team: tm, calls: filepath.Join(dir, "calls"), raise: new(int)}
	start := func(program string, out string, args ...string) {
		tm.Helper()
		file, err := os.Create(out)
		tm.must(err)
		command := exec.Command(stage.Programs[program], args...)
		command.Stdout, command.Stderr = file, file
		tm.must(command.Start())
		tm.Cleanup(func() {
			tm.must(command.Process.Kill())
			_ = command.Wait() // it was killed
			if tm.Failed() {
				tm.Logf("%s: %s", program, lab.Tail(out))
			}
			tm.must(file.Close())
		})
	}
	start("csi-driver", r.calls, "rook-ceph.rbd.csi.ceph.com", socket)
	// It looks at every claim each second, whether it has changed or not.
	start("csi-resizer", filepath.Join(dir, "log"), "--csi-address="+socket, "--kubeconfig="+east.Kubeconfig, "--resync-period=1s",
		"--handle-volume-inuse-error=false", "--retry-interval-max=1s", "--kube-api-qps=100", "--kube-api-burst=100", "--v=4")
	return r
}

// byHand makes two claims, each bound to a static volume like ours, that nothing looks after:
// unkept, on which the resizer acts, and kept, which somebody has marked as we do.
func (r *resizer) byHand() {
	r.Helper()
	r.Create(east, "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: "+others+"}, provisioner: example.com/none, reclaimPolicy: Retain, allowVolumeExpansion: true}\n")
	r.Cleanup(func() {
		r.must(east.Client.StorageV1().StorageClasses().Delete(context.Background(), others, metav1.DeleteOptions{}))
	})
	for _, claim := range []string{"unkept", "kept"} {
		r.Create(east, r.PV(claim, "spec:\n  capacity", "spec:\n  storageClassName: "+others+"\n  capacity")+"---\n"+r.PVC(claim, `storageClassName: ""`, "storageClassName: "+others))
		r.Bound(east, claim)
	}
	r.Kubectl(east, "patch", "pvc/kept", "--subresource=status", "--patch",
		`{"status": {"allocatedResources": {"storage": "16Mi"}, "allocatedResourceStatuses": {"storage": "NodeResizePending"}}}`)
	r.Kubectl(east, "patch", "pvc/kept", "--patch", request(32))
}

// asked are the volumes that the driver was asked to expand, since it has seen all that was
// done before: the resizer hears of claims in the order in which they changed.
func (r *resizer) asked() map[string]int {
	r.Helper()
	count := func() map[string]int {
		data, err := os.ReadFile(r.calls)
		r.must(err)
		all := map[string]int{}
		for _, match := range regexp.MustCompile(`(?m)^expand (\S+)$`).FindAllStringSubmatch(string(data), -1) {
			all[match[1]]++
		}
		return all
	}
	unkept, before := r.image("unkept"), count()
	*r.raise++
	r.Kubectl(east, "patch", "pvc/unkept", "--patch", request(16+*r.raise))
	r.Eventually("the resizer asks for the volume that nothing keeps it away from", func() error {
		if now := count(); now[unkept] < before[unkept]+2 {
			return fmt.Errorf("it was asked for %v", now)
		}
		return nil
	})
	return count()
}

// onlyUnkept checks that the driver was asked for no volume of ours.
func (r *resizer) onlyUnkept() {
	r.Helper()
	for volume, calls := range r.asked() {
		if volume != r.image("unkept") {
			r.Errorf("the driver was asked %d times to expand %s", calls, volume)
		}
	}
}

func request(mib int) string {
	return fmt.Sprintf(`{"spec": {"resources": {"requests": {"storage": "%dMi"}}}}`, mib)
}

// has waits until a claim of east has what it asks for.
func (r *resizer) has(claim string, mib int) {
	r.Helper()
	want := fmt.Sprintf("%dMi", mib)
	r.Eventually("claim "+claim+" has "+want, func() error {
		got := r.get(east, claim).Status
		if has := got.Capacity.Storage().String(); has != want || len(got.Conditions) > 0 {
			return fmt.Errorf("it has %s, conditions %v", has, got.Conditions)
		}
		return nil
	})
}

// raised is has, and image and volume have it too.
func (r *resizer) raised(claim string, mib int) {
	r.Helper()
	r.has(claim, mib)
	if size := r.size(r.image(claim)); size != mib {
		r.Errorf("the image of %s has %d MiB, want %d", claim, size, mib)
	}
	r.Eventually("the volume of "+claim+" shows its size", func() error {
		if shown := r.volume(east, r.image(claim)).Spec.Capacity.Storage().Value(); shown != int64(mib)<<20 {
			return fmt.Errorf("it has %d", shown)
		}
		return nil
	})
}

// marked waits until a claim is marked for the resizer.
func (r *resizer) marked(c *scene.Cluster, claim string) {
	r.Helper()
	r.Eventually("claim "+claim+" is marked in "+c.Name, func() error {
		if status := r.get(c, claim).Status; status.AllocatedResourceStatuses[corev1.ResourceStorage] != corev1.PersistentVolumeClaimNodeResizePending {
			return fmt.Errorf("its status is %+v", status)
		}
		return nil
	})
}

// claim makes one of the class in east, marked for the resizer.
func (r *resizer) claim(name, class string, annotations ...string) {
	r.Helper()
	manifest := classed(name, class, "ReadWriteOnce")
	if len(annotations) > 0 {
		manifest = strings.Replace(manifest, "namespace: NS", "namespace: NS, annotations: {"+strings.Join(annotations, ", ")+"}", 1)
	}
	r.apply(east, manifest)
	r.bound(east, name, r.image(name))
	r.marked(east, name)
}

// patch raises a request, and returns what kubectl printed.
func (r *resizer) patch(c *scene.Cluster, claim string, mib int, more ...string) (string, error) {
	args := append([]string{"--namespace", r.Namespace, "patch", "pvc/" + claim, "--patch", request(mib)}, more...)
	command := exec.CommandContext(r.Context(), stage.Programs["kubectl"], append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	out, err := command.CombinedOutput()
	return string(out), err
}

// refuse checks that a raise is refused with these words, and changes nothing.
func (r *resizer) refuse(c *scene.Cluster, claim string, mib int, words ...string) {
	r.Helper()
	before, size := r.get(c, claim), r.size(r.image(claim))
	out, err := r.patch(c, claim, mib)
	for _, word := range words {
		if err == nil || !strings.Contains(out, word) {
			r.Errorf("raised %s to %dMi: %v: %s, want %q", claim, mib, err, out, word)
		}
	}
	if after := r.get(c, claim); after.ResourceVersion != before.ResourceVersion {
		r.Errorf("the claim was changed: %+v", after)
	}
	if now := r.size(r.image(claim)); now != size {
		r.Errorf("the image had %d MiB and has %d", size, now)
	}
}

// inUse raises the request of a claim twice while one pod runs, and sees the filesystem follow
// that the pod has mounted.
func (r *resizer) inUse(name string, warned bool, annotations ...string) {
	r.Helper()
	r.claim(name, migratable, annotations...)
	r.apply(east, pod(name, name))
	r.Ready(east, name)
	opened := r.logged(`msg=opened image=\S*` + regexp.QuoteMeta(r.image(name)))
	for _, mib := range []int{32, 48} {
		out, err := r.patch(east, name, mib)
		if err != nil || warned != strings.Contains(out, "Warning: the volume is in use, and grows when its workload is scaled to zero and up again") {
			r.Errorf("%v: %s", err, out)
		}
		r.follows(name, mib)
		r.raised(name, mib)
		r.marked(east, name)
	}
	if again := r.logged(`msg=opened image=\S*` + regexp.QuoteMeta(r.image(name))); again != opened {
		r.Errorf("the image was opened %d times before and %d times after it grew", opened, again)
	}
	r.Kubectl(east, "delete", "pod/"+name)
}

// logged counts lines in the logs of east's nodes.
func (tm *team) logged(line string) int {
	tm.Helper()
	count := 0
	for _, node := range east.Nodes {
		log, err := os.ReadFile(node.Agent.LogFile)
		tm.must(err)
		count += len(regexp.MustCompile(`(?m)`+line).FindAll(log, -1))
	}
	return count
}

// follows waits until a node has grown the filesystem that it has mounted.
func (tm *team) follows(claim string, mib int) {
	tm.Helper()
	line := regexp.MustCompile(`(?m)msg=expanded volume=` + regexp.QuoteMeta(tm.image(claim)) + `\S* size=` + fmt.Sprint(mib<<20) + `$`)
	tm.Eventually(fmt.Sprintf("a mounted filesystem of %d MiB in %s", mib, claim), func() error {
		for _, node := range east.Nodes {
			log, err := os.ReadFile(node.Agent.LogFile)
			if err != nil {
				return err
			}
			if line.Match(log) {
				return nil
			}
		}
		return errors.New("no node has grown it so")
	})
}

// TestGrowingByRequest: claims of our class grow when their request rises, beside the real
// external-resizer, which never asks ceph-csi for them. The webhook restarts, so nothing
// runs beside it.
func TestGrowingByRequest(t *testing.T) {
	tm := newTeam(t)
	r := startResizer(tm)
	r.byHand()
	if asked := r.asked(); asked[r.image("unkept")] == 0 {
		t.Fatal("the resizer does nothing")
	}
	r.onlyUnkept()
	in := func(t *testing.T) *resizer {
		return &resizer{team: &team{tm.In(t)}, calls: r.calls, raise: r.raise}
	}
	t.Run("nobody uses it", func(t *testing.T) {
		r := in(t)
		r.claim("unused", migratable)
		_, err := r.patch(east, "unused", 32)
		r.must(err)
		r.raised("unused", 32)
		live := r.Kubectl(east, "get", "pvc/unused", "--output=yaml")
		file := filepath.Join(t.TempDir(), "live.yaml")
		r.must(os.WriteFile(file, []byte(strings.Replace(live, "storage: 32Mi\n  storageClassName", "storage: 64Mi\n  storageClassName", 1)), 0o600))
		r.Kubectl(east, "replace", "--filename", file)
		r.raised("unused", 64)
	})
	t.Run("by server-side apply", func(t *testing.T) {
		r := in(t)
		r.claim("applied", migratable)
		r.apply(east, strings.Replace(classed("applied", migratable, "ReadWriteOnce"), "16Mi", "48Mi", 1))
		r.raised("applied", 48)
	})
	t.Run("a file system", func(t *testing.T) {
		r := in(t)
		r.apply(east, classed("files", files, "ReadWriteMany"))
		r.bound(east, "files", r.image("files"))
		r.marked(east, "files")
		_, err := r.patch(east, "files", 32)
		r.must(err)
		r.has("files", 32)
	})
	t.Run("often and quickly", func(t *testing.T) {
		r := in(t)
		names := []string{"q0", "q1", "q2", "q3"}
		for _, name := range names {
			r.claim(name, migratable)
		}
		for mib := 20; mib <= 60; mib += 4 {
			for _, name := range names {
				out, err := r.patch(east, name, mib)
				if err != nil {
					t.Fatal(out)
				}
			}
		}
		for _, name := range names {
			r.raised(name, 60)
		}
	})
	t.Run("a class whose requests rise later", func(t *testing.T) {
		r := in(t)
		const later = "migratable-later"
		r.Create(east, "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: "+later+"}, provisioner: cephferry.io/provisioner, parameters: {cephferry.io/class: ceph-block}, reclaimPolicy: Retain}\n")
		t.Cleanup(func() {
			r.must(east.Client.StorageV1().StorageClasses().Delete(context.Background(), later, metav1.DeleteOptions{}))
		})
		r.apply(east, classed("later", later, "ReadWriteOnce"))
		r.bound(east, "later", r.image("later"))
		r.refuse(east, "later", 32, "only dynamically provisioned pvc can be resized")
		r.Kubectl(east, "patch", "storageclass/"+later, "--patch", `{"allowVolumeExpansion": true}`)
		r.marked(east, "later")
		r.Eventually("the API server lets the request rise", func() error {
			out, err := r.patch(east, "later", 32)
			if err != nil {
				return errors.New(out)
			}
			return nil
		})
		r.raised("later", 32)
	})
	t.Run("a dry run", func(t *testing.T) {
		r := in(t)
		r.claim("dry", migratable)
		before := r.get(east, "dry").ResourceVersion
		if out, err := r.patch(east, "dry", 32, "--dry-run=server"); err != nil {
			t.Error(out)
		}
		if after := r.get(east, "dry").ResourceVersion; after != before || r.size(r.image("dry")) != 16 {
			t.Errorf("the claim was at %s and is at %s", before, after)
		}
	})
	t.Run("more than the quota", func(t *testing.T) {
		r := &resizer{team: newTeam(t)}
		r.apply(east, "{apiVersion: v1, kind: ResourceQuota, metadata: {name: requests, namespace: NS}, spec: {hard: {"+migratable+".storageclass.storage.k8s.io/requests.storage: 40Mi}}}")
		r.Eventually("the quota is counted", func() error {
			if r.Kubectl(east, "get", "resourcequota/requests", "--output=jsonpath={.status.hard}") == "" {
				return errors.New("not yet")
			}
			return nil
		})
		r.claim("counted", migratable)
		r.refuse(east, "counted", 64, "exceeded quota: requests")
		_, err := r.patch(east, "counted", 40)
		r.must(err)
		r.raised("counted", 40)
	})
	// The nodes of the lab resize what they have mapped exclusively, unlike the kernel.
	t.Run("in use", func(t *testing.T) {
		for name, annotations := range map[string][]string{"exclusive": nil, "shared": {`cephferry.io/exclusive: "false"`}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				in(t).inUse(name, annotations == nil, annotations...)
			})
		}
	})
	r.onlyUnkept()
	t.Run("another cluster's", func(t *testing.T) {
		r := in(t)
		for _, c := range []*scene.Cluster{east, west} {
			r.apply(c, classed("moved", migratable, "ReadWriteOnce"))
			r.bound(c, "moved", r.image("moved"))
		}
		r.apply(east, pod("moved", "moved"))
		r.Ready(east, "moved")
		r.marked(west, "moved")
		r.refuse(west, "moved", 32, "claim "+r.Namespace+"/moved cannot grow: image", "is in use by another cluster, east, and only its owner makes it larger")
		// Once the owner has raised it, nothing is left to grow.
		_, err := r.patch(east, "moved", 32)
		r.must(err)
		r.follows("moved", 32)
		r.has("moved", 32)
		_, err = r.patch(west, "moved", 32)
		r.must(err)
		r.Eventually("claim moved has 32Mi in west", func() error {
			if has := r.get(west, "moved").Status.Capacity.Storage().String(); has != "32Mi" {
				return fmt.Errorf("it has %s", has)
			}
			return nil
		})
		r.Kubectl(east, "delete", "pod/moved")
	})
	t.Run("the webhook restarts", func(t *testing.T) {
		r := in(t)
		names := []string{"r0", "r1"}
		for _, name := range names {
			r.claim(name, migratable)
		}
		restart := east.Restarts(t)
		sizes := map[string]int{"r0": 16, "r1": 16}
		refused := 0
		for round := range 3 {
			if round%2 == 0 {
				r.must(east.Webhook.Kill())
			} else {
				r.must(east.Webhook.Stop())
			}
			done := make(chan struct{})
			go func() { defer close(done); restart() }()
			for begin := time.Now(); time.Since(begin) < time.Second || !closed(done); {
				for _, name := range names {
					out, err := r.patch(east, name, sizes[name]+4)
					switch {
					case err == nil:
						sizes[name] += 4
					case strings.Contains(out, `failed calling webhook "growth.cephferry.io"`):
						refused++
					default:
						t.Errorf("%v: %s", err, out)
					}
				}
			}
			<-done
		}
		if refused == 0 {
			t.Error("no raise met a dead webhook")
		}
		for _, name := range names {
			r.raised(name, sizes[name])
		}
	})
	t.Run("the webhook is dead", func(t *testing.T) {
		r := in(t)
		r.claim("dead", migratable)
		restart := east.Restarts(t)
		r.must(east.Webhook.Stop())
		r.refuse(east, "dead", 32, `failed calling webhook "growth.cephferry.io"`)
		// Nobody else needs it.
		r.Kubectl(east, "annotate", "pvc/dead", "example.com/note=1")
		restart()
		_, err := r.patch(east, "dead", 32)
		r.must(err)
		r.raised("dead", 32)
	})
	r.onlyUnkept()
	t.Logf("the driver was asked %v", r.asked())
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
