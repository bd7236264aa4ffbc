//go:build lab

package keys

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// What all tests share. It is set before the first of them.
var (
	stage      *scene.Scene
	east, west *scene.Cluster
	// path leads to kubectl and its plugin.
	path string
)

func TestMain(m *testing.M) {
	scene.Main(m, scene.Setup{
		Name: "keys", Nodes: lab.Nodes{PerCluster: 4, IgnoreWatchers: true}, Programs: []string{"kubectl", "kubectl-cephferry", "helm", "webhook", "postrender"},
		Values:  map[string]string{lab.East: "replicas=1", lab.West: "replicas=1"},
		Prepare: scene.Deployment(), // the plugin finds the Ceph user, as the webhook does
	}, func(s *scene.Scene) error {
		stage, east, west = s, s.East, s.West
		path = strings.Join([]string{filepath.Dir(s.Programs["kubectl"]), filepath.Dir(s.Programs["kubectl-cephferry"]), "/usr/bin", "/bin"}, ":")
		return s.Ceph.KeepWatches(context.Background(), 15*time.Second)
	})
}

// shop is a namespace of one test, with the words of these tests.
type shop struct{ *scene.Shop }

func newShop(t *testing.T) *shop {
	t.Helper()
	return &shop{stage.Shop(t)}
}

// volume lets both clusters make a claim's volume. Without annotations it is keyed.
func (s *shop) volume(claim string, annotations ...string) {
	s.Helper()
	for _, c := range []*scene.Cluster{east, west} {
		s.Create(c, migratable(claim, annotations...))
		s.Bound(c, claim)
	}
}

// migratable is a claim whose volume the cluster makes.
func migratable(claim string, annotations ...string) string {
	all := strings.Join(append([]string{`cephferry.io/migratable: "true"`}, annotations...), ", ")
	return fmt.Sprintf("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: %s, annotations: {%s}}, "+
		"spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 16Mi}}}}", claim, all)
}

// unkeyed is what a volume without a key is made with.
const unkeyed = `cephferry.io/keyed: "false"`

// at are the fields of a pod for nodes with a label, whatever their taints.
func at(key, value string) string {
	return fmt.Sprintf("terminationGracePeriodSeconds: 0, nodeSelector: {%s: %s}, tolerations: [{operator: Exists}]", key, value)
}

// starts makes a pod that is called like its claim, on a node, and returns when it writes.
func (s *shop) starts(c *scene.Cluster, node *lab.Node, claim string) {
	s.Helper()
	s.Create(c, scene.Pod(claim, claim, at("kubernetes.io/hostname", node.Name)))
	s.Ready(c, claim)
	s.Grows(claim)
	s.Holders(claim)
}

// deletes takes such a pod away, and returns when the image is nobody's.
func (s *shop) deletes(c *scene.Cluster, claim string) {
	s.Helper()
	s.Kubectl(c, "delete", "pod", claim)
	s.Released(c, claim)
}

// waits makes such a pod for a rack that no node is in, and returns when its cluster owns the
// image, and nothing more of the pod is expected. Nobody has the image open then.
func (s *shop) waits(c *scene.Cluster, rack, claim string) {
	s.Helper()
	s.Create(c, scene.Pod(claim, claim, at("rack", s.Namespace+"-"+rack)))
	s.Eventually("the record of "+claim+" has a pod without a node", func() error {
		record := s.Record(claim)
		if record.State != ceph.Held || record.Owner.Name != c.Name || len(record.Unbound) != 1 || len(record.Pending) > 0 || record.Keyed && !record.Named {
			return fmt.Errorf("it says %s", record.Encode())
		}
		return nil
	})
}

// gets puts a node into a rack.
func (s *shop) gets(c *scene.Cluster, node *lab.Node, rack string) {
	s.Helper()
	s.Kubectl(c, "label", "--overwrite", "node", node.Name, "rack="+s.Namespace+"-"+rack)
}

// findsNone waits until the node of a pod has looked for the image some more times, and found none.
func (s *shop) findsNone(c *scene.Cluster, pod string) {
	s.Helper()
	looks := func() (n int) {
		for _, e := range s.Events(c) {
			if e.Reason == "FailedMount" && e.Object == "Pod/"+pod && strings.Contains(e.Message, "No such file or directory") {
				n++
			}
		}
		return n
	}
	before := looks()
	s.Eventually("the node of pod "+pod+" finds no image", func() error {
		if now := looks(); now < before+2 {
			return scene.Lazily(func() string { return fmt.Sprintf("it found none %d times: %q", now, s.Events(c)) })
		}
		return nil
	})
}

// writes waits until the cluster writes what nothing keeps it from.
func (s *shop) writes(c *scene.Cluster, claim string) {
	s.Helper()
	before := s.Stamps(claim).Last().Sequence
	s.Eventually(c.Name+" writes "+claim, func() error {
		if last := s.Stamps(claim).Last(); last.Cluster != c.Name || last.Sequence < before+2 {
			return scene.Lazily(func() string { return fmt.Sprintf("the last stamp is %s\n%q", last, s.Events(c)) })
		}
		return nil
	})
}

// deleted waits until the cluster's keeper has deleted pods that can never have their volume.
func (s *shop) deleted(c, owner *scene.Cluster, pods ...string) {
	s.Helper()
	for _, pod := range pods {
		s.Event(c, "OwnedElsewhere", "Pod/"+pod, "cluster "+owner.Name+" owns the image, and pod "+pod+" can never have it on node ", ", so it is deleted")
		s.Eventually("pod "+pod+" is gone", func() error {
			_, err := c.Client.CoreV1().Pods(s.Namespace).Get(s.Context(), pod, metav1.GetOptions{})
			if err == nil {
				return fmt.Errorf("it is there")
			}
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
}

// clear takes a cluster's pods away that are still there, whether their node lives or not.
func (s *shop) clear(c *scene.Cluster) {
	s.Helper()
	s.Kubectl(c, "delete", "pods", "--all", "--force", "--grace-period=0")
}

// names are those that lead to the image of a claim, whoever might own it.
func (s *shop) names(claim string) []string {
	s.Helper()
	spec := s.Spec(claim)
	image, err := s.Admin().Image(s.Context(), spec)
	if err != nil {
		s.Fatal(err)
	}
	keys, err := s.Admin().Keys(s.Context(), spec.Pool, spec.Namespace)
	if err != nil {
		s.Fatal(err)
	}
	all := []string{spec.Name}
	for _, key := range keys {
		all = append(all, ceph.JoinName(spec.Name, key.Name))
	}
	if len(all) != 3 {
		s.Fatalf("the image may have the names %q, want its own and one for each cluster", all)
	}
	names, err := s.Admin().ImageNames(s.Context(), image, all...)
	if err != nil {
		s.Fatal(err)
	}
	return names
}

// named waits until exactly that name leads to the image.
func (s *shop) named(claim, key string) {
	s.Helper()
	want := ceph.JoinName(s.Spec(claim).Name, key)
	s.Eventually("the name of "+claim, func() error {
		if names := s.names(claim); !slices.Equal(names, []string{want}) {
			return fmt.Errorf("it has %q, want %q", names, want)
		}
		return nil
	})
}

// cephferry is kubectl cephferry in a cluster, with a name on its stdin.
func (s *shop) cephferry(c *scene.Cluster, stdin string, args ...string) scene.Result {
	return scene.Command{Program: stage.Programs["kubectl"], Stdin: stdin, Env: map[string]string{"PATH": path, "HOME": stage.Home},
		Args: append([]string{"cephferry", "--direct", "--kubeconfig", c.Kubeconfig}, args...)}.Run(s.Context())
}

// dies ends the webhook of a cluster, until the test ends or what it returns is called.
func (s *shop) dies(c *scene.Cluster) (restart func()) {
	s.Helper()
	restart = c.Restarts(s.T)
	if err := c.Webhook.Kill(); err != nil {
		s.Fatal(err)
	}
	return restart
}
