//go:build image

package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// built is the image that make has built, and podman as make has set it up.
type built struct {
	*testing.T
	podman []string
	image  string
}

// start is podman run, with options for containers and machines that do not let it make cgroups
// or raise limits. Crun takes no cgroups of both versions, so it is shown those of one.
func (b built) start(args ...string) []string {
	const onlyOne = `[ ! -e /sys/fs/cgroup/unified/cgroup.controllers ] || { umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup; } && exec "$@"`
	return slices.Concat([]string{"unshare", "--mount", "sh", "-c", onlyOne, "sh"}, b.podman,
		[]string{"run", "--rm", "--cgroups=disabled", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"}, args)
}

func open(t *testing.T) built {
	t.Helper()
	b := built{t, strings.Fields(os.Getenv("PODMAN")), os.Getenv("CEPHFERRY_IMAGE")}
	if len(b.podman) == 0 || b.image == "" {
		t.Fatal("PODMAN or CEPHFERRY_IMAGE is not set; start this through make test-image")
	}
	return b
}

// run runs podman, also while a test is cleaned up, and returns what it prints.
func (b built) run(args ...string) string {
	b.Helper()
	return b.output(slices.Concat(b.podman, args))
}

func (b built) output(command []string) string {
	b.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(b.Context()), command[0], command[1:]...).Output()
	if err != nil {
		var stderr []byte
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			stderr = exit.Stderr
		}
		b.Fatalf("%s: %v: %s%s", strings.Join(command, " "), err, out, stderr)
	}
	return strings.TrimSpace(string(out))
}

// label is one of the image's, without the common part of its name.
func (b built) label(name string) string {
	b.Helper()
	return b.run("image", "inspect", fmt.Sprintf("--format={{index .Config.Labels %q}}", "org.opencontainers.image."+name), b.image)
}

// files are the regular files of an image, with their modes, by path.
func (b built) files(image string) map[string]fs.FileMode {
	b.Helper()
	root := b.run("image", "mount", image)
	b.Cleanup(func() { b.run("image", "unmount", image) })
	found := map[string]fs.FileMode{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		found[strings.TrimPrefix(path, root)] = info.Mode()
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return found
}

// TestTheImageIsItsBaseAndTwoPrograms: nothing of the build is left in it, and nobody can
// become another user.
func TestTheImageIsItsBaseAndTwoPrograms(t *testing.T) {
	b := open(t)
	base := b.label("base.name")
	before, after := b.files(base), b.files(b.image)
	if len(before) < 1000 {
		t.Fatalf("the base %q has %d files", base, len(before))
	}
	var added, secret, setuid []string
	for path, mode := range after {
		// Where a base has no such file, a builder leaves an empty one to mount its own on.
		if _, ok := before[path]; !ok && path != "/etc/hosts" && path != "/etc/resolv.conf" {
			added = append(added, path)
		}
		if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			setuid = append(setuid, path)
		}
		if regexp.MustCompile(`_history$|/\.netrc$|/\.docker/|/go/bin/|/usr/local/go/`).MatchString(path) {
			secret = append(secret, path)
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			t.Errorf("%s of the base is not in the image", path)
		}
	}
	slices.Sort(added)
	if diff := cmp.Diff([]string{"/usr/local/bin/kubectl-cephferry", "/usr/local/bin/webhook"}, added); diff != "" {
		t.Errorf("files besides the base's (-want +got):\n%s", diff)
	}
	if len(setuid)+len(secret) > 0 {
		t.Errorf("the image has setuid programs %q, and %q", setuid, secret)
	}
	had := 0
	for _, mode := range before {
		if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			had++
		}
	}
	if had == 0 {
		t.Error("the base has no setuid program, so this proves nothing")
	}
	t.Logf("size: the base has %s bytes, the image %s", b.run("image", "inspect", "--format={{.Size}}", base), b.run("image", "inspect", "--format={{.Size}}", b.image))
}

// TestTheChartRunsInTheImage: the pod of the chart, as podman runs it, becomes ready, looks at
// a real Ceph, and answers a real API server; its process is as confined as the chart says.
func TestTheChartRunsInTheImage(t *testing.T) {
	b := open(t)
	t.Cleanup(func() { b.run("rm", "--all", "--force", "--time=0") })
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	helm, err := tools.Find("helm")
	if err != nil {
		t.Fatal(err)
	}
	storage, cluster := labtest.RBD(t), labtest.Cluster(t, lab.West)
	if err := cluster.AddRook(t.Context(), storage, lab.Rook{Config: lab.OperatorConfig}); err != nil {
		t.Fatal(err)
	}

	user := strings.Split(b.run("image", "inspect", "--format={{.Config.User}}", b.image), ":")[0]
	if !regexp.MustCompile(`^[1-9][0-9]*$`).MatchString(user) {
		t.Fatalf("a kubelet refuses runAsNonRoot for the image's user %q", user)
	}
	dir, secured := t.TempDir(), []string(nil)
	w, err := webhook.Start(t.Context(), webhook.Options{
		Ceph: storage, Cluster: cluster, Dir: dir, Chart: "../../charts/cephferry", Helm: helm, Home: t.TempDir(), Values: "image.repository=" + b.image,
		Container: func(pod corev1.PodSpec, dir string) ([]string, error) {
			kubelet, err := kubelet(dir)
			if err != nil {
				return nil, err
			}
			options, args, err := kubelet.Podman(pod)
			secured = options
			return b.start(slices.Concat([]string{"--name=webhook"}, options, []string{b.image}, args)...), err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(lab.Tail(w.LogFile))
		}
	})

	t.Run("it is confined", func(t *testing.T) { confined(t, b, user) })
	t.Run("it admits and refuses pods by what Ceph says", func(t *testing.T) { admits(t, storage, cluster) })
	t.Run("the plugin is in it", func(t *testing.T) {
		args := slices.Concat([]string{"--entrypoint=kubectl-cephferry"}, secured, []string{b.image, "--version"})
		b := built{t, b.podman, b.image}
		if got, want := b.output(b.start(args...)), b.label("version"); want == "" || !strings.Contains(got, want) {
			t.Errorf("kubectl cephferry --version says %q; want %s", got, want)
		}
	})
	// Nothing besides what volumes are mounted on.
	for line := range strings.Lines(b.run("diff", "webhook")) {
		if line = strings.TrimSpace(line); line != "C /etc" && line != "A /certs" && !strings.HasPrefix("A "+strings.Replace(accountDir, "/var/run", "/run", 1), line) {
			t.Errorf("the root file system has changed: %s", line)
		}
	}
	if err := w.MayDoAll(); err != nil {
		t.Error(err)
	}
}

// kubelet has the files of the webhook's account, from its kubeconfig, and its certificate.
func kubelet(dir string) (Kubelet, error) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig"))
	if err != nil {
		return Kubelet{}, err
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		return Kubelet{}, err
	}
	account := filepath.Join(dir, "account")
	// The folder of a test is for its user only; podman mounts what is in it.
	if err := os.Mkdir(account, 0o755); err != nil {
		return Kubelet{}, err
	}
	for name, data := range map[string]string{"token": config.BearerToken, "ca.crt": string(config.CAData), "namespace": webhook.Namespace} {
		if err := os.WriteFile(filepath.Join(account, name), []byte(data), 0o644); err != nil {
			return Kubelet{}, err
		}
	}
	return Kubelet{
		Namespace: webhook.Namespace, Secrets: map[string]string{"cephferry-tls": dir}, Account: account,
		Server: [2]string{server.Hostname(), server.Port()}, Dir: filepath.Join(dir, "volumes"),
	}, nil
}

// confined looks at the process itself, in the host's /proc.
func confined(t *testing.T, b built, user string) {
	b.T = t
	var inspected []struct{ State struct{ Pid int } }
	if err := json.Unmarshal([]byte(b.run("inspect", "webhook")), &inspected); err != nil {
		t.Fatal(err)
	}
	proc := fmt.Sprint("/proc/", inspected[0].State.Pid)
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	none := "0000000000000000"
	for field, want := range map[string]string{
		"Name": "webhook", "Uid": strings.Repeat("\t"+user, 4)[1:], "CapEff": none, "CapPrm": none, "CapBnd": none, "CapInh": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2",
	} {
		if got := regexp.MustCompile(`(?m)^` + field + `:\t(.*)$`).FindSubmatch(status); got == nil || string(got[1]) != want {
			t.Errorf("%s of the process is %q; want %q", field, got, want)
		}
	}
	mounts, err := os.ReadFile(proc + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^\S+ \S+ \S+ \S+ / ro[, ]`).Match(mounts) {
		t.Errorf("its root file system is not mounted read-only:\n%s", mounts)
	}
	// Kubernetes mounts no more than these for writing.
	for _, m := range regexp.MustCompile(`(?m)^\S+ \S+ \S+ \S+ (\S+) rw`).FindAllSubmatch(mounts, -1) {
		if path := string(m[1]); !strings.HasPrefix(path, "/dev") && !strings.HasPrefix(path, "/proc") && !strings.HasPrefix(path, "/etc/") && !strings.HasPrefix(path, "/run/") {
			t.Errorf("%s is mounted for writing", path)
		}
	}
}

// admits asks the API server for pods on an image that nobody has, and on one that a client
// outside the cluster has open.
func admits(t *testing.T, storage *lab.Ceph, cluster *lab.Cluster) {
	for _, name := range []string{"free", "taken"} {
		if _, err := storage.RBD(t.Context(), "create", lab.Pool+"/default."+name, "--size=16M"); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Apply(t.Context(), strings.ReplaceAll(pair, "NAME", name)); err != nil {
			t.Fatal(err)
		}
		scene.Eventually(t, "the claim to be bound", func() error {
			_, err := cluster.Run(t.Context(), "wait", "--for=jsonpath={.status.phase}=Bound", "pvc/"+name, "--timeout=10s")
			return err
		})
	}
	watch := exec.CommandContext(t.Context(), "rbd", "-c", storage.ConfFile, "watch", lab.Pool+"/default.taken")
	// It ends at the end of its input.
	if _, err := watch.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = watch.Process.Kill()
		_ = watch.Wait()
	}()
	scene.Eventually(t, "the stranger's watch", func() error {
		out, err := storage.RBD(t.Context(), "status", lab.Pool+"/default.taken")
		if err == nil && !strings.Contains(string(out), "watcher=") {
			err = fmt.Errorf("no watcher: %s", out)
		}
		return err
	})
	create := func(claim string) error {
		file := filepath.Join(t.TempDir(), "pod.yaml")
		if err := os.WriteFile(file, []byte(scene.Pod("pod-"+claim, claim)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := cluster.Run(t.Context(), "create", "-f", file)
		return err
	}
	if err := create("free"); err != nil {
		t.Errorf("a pod on an image that nobody has: %v", err)
	}
	if err := create("taken"); err == nil || !strings.Contains(err.Error(), "denied the request") || !strings.Contains(err.Error(), "default.taken") {
		t.Errorf("a pod on an image that a stranger has open: %v", err)
	}
}

// pair is a volume with its claim.
const pair = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: default.NAME}
spec:
  capacity: {storage: 16Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: default, name: NAME}
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    volumeHandle: default.NAME
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, pool: replicapool, staticVolume: "true"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME, namespace: default}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  volumeName: default.NAME
  resources: {requests: {storage: 16Mi}}
`
