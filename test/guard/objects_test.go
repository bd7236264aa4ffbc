//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/test/scene"
)

// What somebody of an app team sees with plain kubectl and the role view in one namespace: in
// both clusters, before a move, while it is waited for, and after it. And nothing else.
func TestAnAppTeamSeesWhoOwnsItsVolumes(t *testing.T) {
	t.Parallel()
	s, other := newShop(t), newShop(t)
	for _, c := range []*scene.Cluster{east, west} {
		s.Kubectl(c, "create", "rolebinding", "dev", "--clusterrole=view", "--user=dev")
	}
	s.Volume("data", east, west)
	other.Volume("data", east)
	s.shows("Free", "", "", "", east, west)
	other.shows("Free", "", "", "", east)

	s.Create(east, scene.Workload("StatefulSet", "db", "data", 1))
	s.Ready(east, "db-0")
	onNode := s.Kubectl(east, "get", "pod/db-0", "-o=jsonpath={.spec.nodeName}")
	s.shows("Held", "east", onNode, "", east, west)
	if out := s.seen(west, "get", "mvol"); !strings.Contains(out, "SINCE") || strings.Contains(out, "<none>") || strings.Contains(out, "<invalid>") {
		t.Error(out)
	}
	if got, want := s.seen(east, "get", "mvol/data", `-o=jsonpath={.status.owner.since} {.status.owner.thisCluster} {.status.image} {.status.conditions[?(@.type=="Usable")].status}`),
		s.Record("data").Owner.Since.Format("2006-01-02T15:04:05Z07:00")+" true "+s.Image("data")+" True"; got != want {
		t.Errorf("in east it shows %q, want %q", got, want)
	}

	s.Create(west, scene.Workload("StatefulSet", "db", "data", 1))
	s.Event(west, "FailedCreate", "StatefulSet/db")
	s.shows("Held", "east", onNode, "StatefulSet/db", west)
	for _, part := range []string{"pods of StatefulSet db were refused", "when cluster east has released the image"} {
		if got := s.seen(west, "get", "mvol/data", `-o=jsonpath={.status.conditions[?(@.type=="Waiting")].message}`); !strings.Contains(got, part) {
			t.Errorf("%q is not in %q", part, got)
		}
	}

	s.Kubectl(east, "scale", "statefulset/db", "--replicas=0")
	s.Ready(west, "db-0")
	onNode = s.Kubectl(west, "get", "pod/db-0", "-o=jsonpath={.spec.nodeName}")
	s.shows("Held", "west", onNode, "", east, west)
	if got := s.seen(east, "get", "mvol/data", `-o=jsonpath={.status.conditions[?(@.type=="Usable")].status} {.status.history[*].event}`); got != "False acquired released acquired" {
		t.Errorf("in east it shows %q", got)
	}

	for _, args := range [][]string{
		{"get", "mvol", "--all-namespaces"},
		{"get", "mvol", "--namespace=" + other.Namespace},
		{"get", "mvol/data", "--namespace=" + other.Namespace},
		{"get", "ferryclusters"},
		{"get", "takeovers"},
		{"delete", "mvol/data"},
		{"patch", "mvol/data", "--type=merge", `--patch={"metadata":{"labels":{"a":"b"}}}`},
		{"patch", "mvol/data", "--subresource=status", "--type=merge", `--patch={"status":{"state":"Free"}}`},
	} {
		if r := s.Run(east, "", append(args, "--as=dev")...); r.Err == nil || !strings.Contains(r.Stderr, `User "dev" cannot`) {
			t.Errorf("%q: %v %s %s", args, r.Err, r.Stdout, r.Stderr)
		}
	}

	// Whom the platform team lets see the clusters.
	for _, c := range []*scene.Cluster{east, west} {
		s.Eventually("the clusters in "+c.Name, func() error {
			out := s.Kubectl(c, "get", "ferryclusters", `-o=jsonpath={range .items[*]}{.status.name} {.status.thisCluster} {.status.nodeCount} {.status.conditions[?(@.type=="Seen")].status}{"\n"}{end}`)
			for _, of := range []*scene.Cluster{east, west} {
				this := ""
				if of == c {
					this = "true"
				}
				if want := fmt.Sprintf("%s %s %d True", of.Name, this, len(of.Nodes)); !strings.Contains(out, want) {
					return fmt.Errorf("%q is not in %q", want, out)
				}
			}
			return nil
		})
	}

	// Without the CustomResourceDefinition everything else goes on, and what is shown comes back
	// with it. No other test looks at these objects.
	s.Kubectl(east, "delete", "customresourcedefinition/migratablevolumes.cephferry.io", "--timeout=60s")
	s.Kubectl(west, "scale", "statefulset/db", "--replicas=0")
	s.Kubectl(east, "scale", "statefulset/db", "--replicas=1")
	s.Ready(east, "db-0")
	if err := east.Webhook.Ready(); err != nil {
		t.Error(err)
	}
	s.Kubectl(east, "apply", "--filename=../../charts/cephferry/crd-schemas/cephferry.io_migratablevolumes.yaml")
	onNode = s.Kubectl(east, "get", "pod/db-0", "-o=jsonpath={.spec.nodeName}")
	s.Eventually("kubectl in east to know mvol again", func() error { return s.Run(east, "", "get", "mvol").Err })
	s.shows("Held", "east", onNode, "", west, east)
	s.Kubectl(east, "scale", "statefulset/db", "--replicas=0")

	// It goes with the claim.
	s.Kubectl(west, "delete", "statefulset/db", "pvc/data", "--timeout=60s")
	s.Eventually("the object to go with its claim", func() error {
		if left := s.seen(west, "get", "mvol", "--output=name"); left != "" {
			return fmt.Errorf("there is still %s", left)
		}
		return nil
	})
}

// seen is what somebody with the role view sees.
func (s *shop) seen(c *scene.Cluster, args ...string) string {
	s.Helper()
	return s.Kubectl(c, append(args, "--as=dev")...)
}

// shows waits until the clusters show that of claim data.
func (s *shop) shows(state, owner, node, waiting string, clusters ...*scene.Cluster) {
	s.Helper()
	want := strings.Join([]string{state, owner, node, waiting}, "|")
	for _, c := range clusters {
		s.Eventually("what is shown in "+c.Name, func() error {
			object, err := c.Get(s.Context(), s.Namespace, "migratablevolumes", "data")
			if object == nil {
				return fmt.Errorf("there is none (%v), want %q", err, want)
			}
			var volume v1alpha1.MigratableVolume
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &volume); err != nil {
				return err
			}
			var holder v1alpha1.VolumeOwner
			if volume.Status.Owner != nil {
				holder = *volume.Status.Owner
			}
			got := strings.Join([]string{string(volume.Status.State), holder.Name, strings.Join(holder.Nodes, " "), volume.Status.Waiting}, "|")
			if got != want {
				return fmt.Errorf("%q, want %q", got, want)
			}
			return nil
		})
	}
}
