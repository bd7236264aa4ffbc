//go:build lab

package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

const (
	commandLimit = time.Minute
	// settleLimit is for what takes seconds on a machine that has nothing else to
	// do. The watch of a dead node stays for 30 s.
	settleLimit  = time.Minute
	pollInterval = 50 * time.Millisecond
)

// shop is a namespace of one test, with the same name in both clusters. A claim
// in it has the image <pool>/<namespace>.<claim>.
type shop struct {
	*testing.T
	namespace string
	// pool is where the images are: a pool, or pool/namespace.
	pool    string
	storage *lab.Ceph
	// admin connects to it at the first use.
	admin func() ceph.Cluster
	// twoWriters are the claims whose images are known to have had two at a time.
	twoWriters []string
}

var shops atomic.Int32

func newShop(t *testing.T) *shop {
	t.Helper()
	return newShopIn(t, storage, east, west)
}

func newShopIn(t *testing.T, storage *lab.Ceph, clusters ...*cluster) *shop {
	t.Helper()
	s := &shop{T: t, namespace: fmt.Sprint("shop-", shops.Add(1)), pool: lab.Pool, storage: storage}
	s.admin = sync.OnceValue(s.connect)
	t.Cleanup(s.oneWriterAtATime)
	for _, c := range clusters {
		s.makeNamespace(c)
	}
	return s
}

func (s *shop) makeNamespace(c *cluster) {
	s.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	if _, err := c.client.CoreV1().Namespaces().Create(s.Context(), object, metav1.CreateOptions{}); err != nil {
		s.Fatal(err)
	}
	s.eventually("account default", func() error {
		_, err := c.client.CoreV1().ServiceAccounts(s.namespace).Get(s.Context(), "default", metav1.GetOptions{})
		return err
	})
}

// eventually polls until check is content.
func (s *shop) eventually(what string, check func() error) {
	s.Helper()
	if err := within(settleLimit, check); err != nil {
		s.Fatalf("wait for %s: %v", what, err)
	}
}

// within polls until check is content, and returns its last error.
func within(limit time.Duration, check func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollInterval) {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// result is what became of a command.
type result struct {
	stdout, stderr string
	err            error
}

// run runs kubectl in the shop's namespace, with stdin for `-f -`.
func (s *shop) run(c *cluster, stdin string, args ...string) result {
	return execute(s.Context(), stdin, programs.kubectl, append([]string{
		"--kubeconfig", c.Kubeconfig, "--cache-dir", filepath.Join(programs.home, c.Name), "--namespace", s.namespace,
	}, args...)...)
}

// helm runs Helm 3 in the shop's namespace, with the renderer making the pairs.
func (s *shop) helm(c *cluster, args ...string) result {
	return execute(s.Context(), "", programs.helm, append(args,
		"--kubeconfig", c.Kubeconfig, "--namespace", s.namespace, "--post-renderer", programs.postrender, "--post-renderer-args=--create=client")...)
}

func execute(ctx context.Context, stdin, program string, args ...string) result {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + programs.home}
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return result{strings.TrimSpace(stdout.String()), strings.TrimSpace(stderr.String()), err}
}

// must is for a command that has to succeed. It returns its stdout.
func (s *shop) must(r result) string {
	s.Helper()
	if r.err != nil {
		s.Fatalf("%v: %s", r.err, r.stderr)
	}
	return r.stdout
}

// kubectl runs a command that has to succeed.
func (s *shop) kubectl(c *cluster, args ...string) string {
	s.Helper()
	return s.must(s.run(c, "", args...))
}

// create creates objects.
func (s *shop) create(c *cluster, manifests string, args ...string) string {
	s.Helper()
	return s.must(s.run(c, manifests, append([]string{"create", "-f", "-"}, args...)...))
}

// refused is for a command that has to fail with exactly this on stderr.
func (s *shop) refused(r result, want string) {
	s.Helper()
	if r.err == nil {
		s.Fatalf("it was not refused: %s%s", r.stdout, r.stderr)
	}
	if r.stderr != want {
		s.Fatalf("refused with:\n%s\nwant:\n%s", r.stderr, want)
	}
}

// forbidden is what kubectl shows of a refusal by an endpoint. doing is what
// kubectl says of `kubectl create`.
func forbidden(endpoint, message string, doing ...string) string {
	return fmt.Sprintf("Error from server (Forbidden): %sadmission webhook %q denied the request: \n%s",
		strings.Join(doing, ""), endpoint+".guard.cephferry.io", message)
}

const creating = `error when creating "STDIN": `

// inUse is the text of the refusal that west shows for claims that are in use now.
func (s *shop) inUse(claims ...string) string {
	s.Helper()
	return s.inUseOf(west, claims...)
}

func (s *shop) inUseOf(c *cluster, claims ...string) string {
	s.Helper()
	var texts []string
	for _, claim := range claims {
		text := fmt.Sprintf("volume %s/%s (image %s) is in use by another cluster\n", s.namespace, claim, s.image(claim))
		record, watchers := s.holders(claim)
		if record.Owner == nil || record.Owner.Name == c.Name {
			for _, w := range watchers {
				text += fmt.Sprintf("  held by   %s (client.%d), %s\n", w.host(), w.Client, c.foreign(w.host()))
			}
			texts = append(texts, text+"  do this   scale the workload down in that cluster, then retry here; nothing was changed")
			continue
		}
		owner := record.Owner
		since := fmt.Sprintf(", claim %s/%s, since %s UTC\n", s.namespace, owner.Claim, owner.Since.Format("2006-01-02 15:04"))
		for _, node := range owner.Nodes {
			at := []string{node.Addresses[0]}
			for _, w := range watchers {
				if w.host() == node.Addresses[0] {
					at = append(at, fmt.Sprintf("client.%d", w.Client))
				}
			}
			text += fmt.Sprintf("  held by         cluster %s, node %s (%s)%s", owner.Name, node.Name, strings.Join(at, ", "), since)
		}
		if owner.Nodes == nil {
			text += "  held by         cluster " + owner.Name + since
		}
		texts = append(texts, text+fmt.Sprintf("  if it lives     scale the workload of claim %s/%s down in %s, then retry here; nothing was changed\n"+
			"  if it is dead   kubectl cephferry failover %s/%s", s.namespace, owner.Claim, owner.Name, s.namespace, claim))
	}
	return strings.Join(texts, "\n")
}

// waits is what kubectl shows when a workload is created whose pods are refused with that
// text, of one volume.
func (s *shop) waits(workload, text string) string {
	s.Helper()
	lines := strings.Split(text, "\n")
	holder, ok := strings.CutPrefix(lines[1], "  held by ")
	if !ok {
		s.Fatalf("%q does not say who holds the volume", text)
	}
	return "Warning: the pods of " + workload + " wait: " + lines[0] + ", held by " + strings.TrimSpace(holder)
}

// foreign is what the cluster says about an address whose watch it does not
// explain.
func (c *cluster) foreign(address string) string {
	for _, node := range c.Nodes {
		if node.Address == address {
			return "the address of node " + node.Name + ", which does not use the volume"
		}
	}
	return "not a node of " + c.Name
}

func (s *shop) image(claim string) string { return s.pool + "/" + s.namespace + "." + claim }

// watcher is one of an image, as `rbd status` shows it.
type watcher struct {
	Address string
	Client  int64
}

func (w watcher) host() string { host, _, _ := strings.Cut(w.Address, ":"); return host }

func (s *shop) watchers(claim string) []watcher {
	s.Helper()
	out, err := s.storage.RBD(s.Context(), "status", s.image(claim), "--format", "json")
	if err != nil {
		s.Fatal(err)
	}
	var status struct{ Watchers []watcher }
	if err := json.Unmarshal(out, &status); err != nil {
		s.Fatal(err)
	}
	return status.Watchers
}

// free waits until nobody has the image of the claim open.
func (s *shop) free(claim string) {
	s.Helper()
	s.eventually("nobody has "+claim, func() error {
		if w := s.watchers(claim); len(w) != 0 {
			return fmt.Errorf("it has watchers %v", w)
		}
		return nil
	})
}

// volume makes the image of a claim, and the pair in these clusters.
func (s *shop) volume(claim string, clusters ...*cluster) {
	s.Helper()
	if _, err := s.storage.RBD(s.Context(), "create", s.image(claim), "--size", "16M"); err != nil {
		s.Fatal(err)
	}
	for _, c := range clusters {
		s.create(c, s.pv(claim)+"---\n"+s.pvc(claim))
		s.bound(c, claim)
	}
}

// pv is the PersistentVolume of a claim; edit replaces parts of it, in pairs of
// old and new.
func (s *shop) pv(claim string, edit ...string) string {
	return strings.NewReplacer(edit...).Replace(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s.%[2]s}
spec:
  capacity: {storage: 16Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: %[1]s, name: %[2]s}
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    volumeHandle: %[1]s.%[2]s
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, pool: %[3]s, staticVolume: "true"}
`, s.namespace, claim, lab.Pool))
}

func (s *shop) pvc(claim string, edit ...string) string {
	return strings.NewReplacer(edit...).Replace(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[2]s}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  volumeName: %[1]s.%[2]s
  resources: {requests: {storage: 16Mi}}
`, s.namespace, claim))
}

func (s *shop) bound(c *cluster, claim string) {
	s.Helper()
	s.eventually("claim "+claim+" is bound", func() error {
		got, err := c.client.CoreV1().PersistentVolumeClaims(s.namespace).Get(s.Context(), claim, metav1.GetOptions{})
		if err == nil && got.Status.Phase != corev1.ClaimBound {
			err = fmt.Errorf("it is %s", got.Status.Phase)
		}
		return err
	})
}

// podSpec is that of a pod which uses the claims; more are further fields.
func podSpec(claims []string, more ...string) string {
	var volumes []string
	for _, claim := range claims {
		volumes = append(volumes, fmt.Sprintf("{name: %s, persistentVolumeClaim: {claimName: %s}}", claim, claim))
	}
	fields := append([]string{"containers: [{name: main, image: none}]", "volumes: [" + strings.Join(volumes, ", ") + "]"}, more...)
	return "{" + strings.Join(fields, ", ") + "}"
}

// pod is a pod that uses one claim.
func pod(name, claim string, more ...string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {app: %s}}, spec: %s}\n", name, name, podSpec([]string{claim}, more...))
}

// workload is a Deployment or the like whose pods use one claim.
func workload(kind, name, claim string, replicas int, more ...string) string {
	head, tail := "apps/v1", ""
	switch kind {
	case "ReplicationController":
		return fmt.Sprintf("{apiVersion: v1, kind: %s, metadata: {name: %s}, spec: {replicas: %d, selector: {app: %s}, template: {metadata: {labels: {app: %s}}, spec: %s}}}\n",
			kind, name, replicas, name, name, podSpec([]string{claim}, more...))
	case "DaemonSet":
		return fmt.Sprintf("{apiVersion: apps/v1, kind: %s, metadata: {name: %s}, spec: {selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}}\n",
			kind, name, name, name, podSpec([]string{claim}, more...))
	case "Database", "Hidden":
		return fmt.Sprintf("{apiVersion: example.com/v1, kind: %s, metadata: {name: %s}, spec: {size: %d, template: {spec: %s}}}\n",
			kind, name, replicas, podSpec([]string{claim}, more...))
	case "StatefulSet":
		tail = ", serviceName: none"
	}
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: {replicas: %d%s, selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}}\n",
		head, kind, name, replicas, tail, name, name, podSpec([]string{claim}, more...))
}

// on are the fields of a pod for one node, whatever its taints.
func on(node *lab.Node) string {
	return "nodeSelector: {kubernetes.io/hostname: " + node.Name + "}, tolerations: [{operator: Exists}]"
}

// holds starts a pod in a cluster that has the claims open, and returns when it
// writes.
func (s *shop) holds(c *cluster, claims ...string) {
	s.Helper()
	s.create(c, fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: holder}, spec: %s}", podSpec(claims)))
	s.ready(c, "holder")
}

// letsGo ends that pod, and returns when it has none of the volumes and the cluster
// owns none of them. Somebody else may have them then.
func (s *shop) letsGo(c *cluster, claims ...string) {
	s.Helper()
	held := map[string][]watcher{}
	for _, claim := range claims {
		held[claim] = s.watchers(claim)
	}
	s.kubectl(c, "delete", "pod", "holder")
	for claim, before := range held {
		s.eventually("the pod has let go of "+claim, func() error {
			for _, w := range s.watchers(claim) {
				if slices.Contains(before, w) {
					return fmt.Errorf("it has a watcher %v", w)
				}
			}
			return nil
		})
		s.released(c, claim)
	}
}

// ready waits until the pod runs.
func (s *shop) ready(c *cluster, name string) {
	s.Helper()
	s.eventually("pod "+name+" in "+c.Name+" is ready", func() error {
		pod, err := c.client.CoreV1().Pods(s.namespace).Get(s.Context(), name, metav1.GetOptions{})
		if err == nil && !isReady(pod) {
			err = fmt.Errorf("it is %s\n%s", pod.Status.Phase, s.events(c))
		}
		return err
	})
}

func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

// pods are those with a label app.
func (s *shop) pods(c *cluster, app string) []corev1.Pod {
	s.Helper()
	list, err := c.client.CoreV1().Pods(s.namespace).List(s.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		s.Fatal(err)
	}
	return list.Items
}

// runs waits until that many pods of the app are ready, and there are no others.
func (s *shop) runs(c *cluster, app string, want int) {
	s.Helper()
	s.eventually(fmt.Sprintf("%d pods of %s in %s", want, app, c.Name), func() error {
		pods := s.pods(c, app)
		var ready int
		for i := range pods {
			if isReady(&pods[i]) {
				ready++
			}
		}
		if ready != want || len(pods) != want {
			return fmt.Errorf("%d of %d are ready\n%s", ready, len(pods), s.events(c))
		}
		return nil
	})
}

// event is what `kubectl get events` shows of one.
type event struct{ reason, object, message string }

func (s *shop) events(c *cluster) []event {
	s.Helper()
	list, err := c.client.CoreV1().Events(s.namespace).List(s.Context(), metav1.ListOptions{})
	if err != nil {
		s.Fatal(err)
	}
	var events []event
	for _, e := range list.Items {
		events = append(events, event{e.Reason, e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, e.Message})
	}
	return events
}

// event waits for an event whose message contains all of these.
func (s *shop) event(c *cluster, reason, object string, contains ...string) {
	s.Helper()
	s.eventually("an event "+reason+" at "+object, func() error {
		events := s.events(c)
		if slices.ContainsFunc(events, func(e event) bool {
			return e.reason == reason && e.object == object &&
				!slices.ContainsFunc(contains, func(part string) bool { return !strings.Contains(e.message, part) })
		}) {
			return nil
		}
		return fmt.Errorf("there are %q", events)
	})
}

// unchanged looks at all objects of the namespace that a refusal could have
// changed, and returns a check that they are the same.
func (s *shop) unchanged(c *cluster) (check func()) {
	s.Helper()
	look := func() string {
		s.Helper()
		return s.kubectl(c, "get", "all,pvc,databases,hiddens", "-o=jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}") +
			s.kubectl(c, "get", "namespace/"+s.namespace, "pv/"+s.namespace+".data", "--ignore-not-found", "-o=jsonpath={.items[*].metadata.resourceVersion}")
	}
	before := look()
	return func() {
		s.Helper()
		if after := look(); after != before {
			s.Errorf("something changed in %s:\n%s\nbefore:\n%s", c.Name, after, before)
		}
	}
}

// oneWriterAtATime checks, at the end of each test, what pods wrote into all images of
// the shop, whoever had them and however often they were handed over.
func (s *shop) oneWriterAtATime() {
	ctx := context.Background() // the test's has ended
	out, err := s.storage.RBD(ctx, "ls", s.pool)
	if err != nil {
		s.Error(err)
	}
	for _, image := range strings.Fields(string(out)) {
		claim, ours := strings.CutPrefix(image, s.namespace+".")
		if !ours || slices.Contains(s.twoWriters, claim) {
			continue
		}
		log, err := s.storage.ReadStamps(ctx, s.image(claim))
		if err == nil {
			err = log.Check()
		}
		if err != nil {
			s.Errorf("image %s: %v", s.image(claim), err)
		}
	}
}

// bothWrite waits until the stamps show two writers at a time.
func (s *shop) bothWrite(claim string) {
	s.Helper()
	s.twoWriters = append(s.twoWriters, claim)
	s.eventually("two writers of "+claim+" at a time", func() error {
		if s.stamps(claim).Check() == nil {
			return fmt.Errorf("the stamps are one chain")
		}
		return nil
	})
}

func (s *shop) stamps(claim string) stamp.Log {
	s.Helper()
	log, err := s.storage.ReadStamps(s.Context(), s.image(claim))
	if err != nil {
		s.Fatal(err)
	}
	return log
}

// grows waits for new stamps.
func (s *shop) grows(claim string) {
	s.Helper()
	before := s.stamps(claim).Last().Sequence
	s.eventually("new stamps in "+claim, func() error {
		if last := s.stamps(claim).Last().Sequence; last < before+2 {
			return fmt.Errorf("the last one is still %d", last)
		}
		return nil
	})
}

// wrote checks that the clusters wrote into the image one after the other, and
// each went on from what the other left.
func (s *shop) wrote(claim string, clusters ...*cluster) {
	s.Helper()
	s.grows(claim)
	log := s.stamps(claim)
	if err := log.Check(); err != nil {
		s.Error(err)
	}
	var got, want []string
	for _, run := range log.Runs() {
		if len(got) == 0 || got[len(got)-1] != run.Cluster {
			got = append(got, run.Cluster)
		}
	}
	for _, c := range clusters {
		want = append(want, c.Name)
	}
	if !slices.Equal(got, want) {
		s.Errorf("writers of %s: %v, want %v", claim, got, want)
	}
}
