//go:build lab

package failover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// blocks are the commands in a document's sh blocks, in their order.
func blocks(t *testing.T, document string) []string {
	t.Helper()
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, m := range regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```").FindAllStringSubmatch(string(data), -1) {
		text := strings.ReplaceAll(m[1], "\\\n", " ")
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				commands = append(commands, line)
			}
		}
	}
	return commands
}

// The user of docs/security.md for a person who fails over is enough, and the webhook
// need not run.
func TestWithTheOperatorsKey(t *testing.T) {
	s := newShop(t)
	e3 := s.east.Nodes[2]
	s.volume("data")
	s.starts(s.east, e3, "p", "data")
	s.owns(s.east, e3, "data")
	created := false
	for _, line := range blocks(t, "../../docs/security.md") {
		if strings.Contains(line, "client.cephferry-operator ") {
			s.Must(scene.Command{Program: "/bin/bash", Args: []string{"-c", line + " > /dev/null"},
				Env: map[string]string{"PATH": path, "CEPH_CONF": s.Ceph.ConfFile}}.Run(t.Context()))
			created = true
		}
	}
	if !created {
		t.Fatal("docs/security.md makes no operator")
	}
	keyring := t.TempDir() + "/operator.keyring"
	if _, err := s.Ceph.Run(t.Context(), "auth", "get", "client.cephferry-operator", "-o", keyring); err != nil {
		t.Fatal(err)
	}
	operator := []string{"--ceph-conf", s.Ceph.ConfFile, "--ceph-id", "cephferry-operator", "--ceph-keyring", keyring}
	started := s.without(s.west)
	s.Must(s.cephferry(s.west, append([]string{"failover", s.Namespace + "/data", "--from", "east", "--yes"}, operator...)...))
	started()
	s.starts(s.west, s.west.Nodes[2], "p", "data")
	s.Wrote("data", s.east, s.west)

	if err := e3.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.east.Run(t.Context(), "delete", "pod", "p", "-n", s.Namespace, "--force", "--grace-period=0"); err != nil {
		t.Fatal(err)
	}
	if err := e3.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the node has rebooted", func() error {
		r := s.cephferry(s.east, append([]string{"unfence", e3.Name}, operator...)...)
		if r.Err != nil {
			return fmt.Errorf("%w: %s", r.Err, r.Stderr)
		}
		return nil
	})
}

// step is what a person sees and does around one command of the runbook.
type step struct {
	before func()
	stdin  string
	after  func(out string)
}

// filesClaim is a claim whose volume the provisioner makes.
const filesClaim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files, namespace: shop, annotations: {cephferry.io/migratable: "true", cephferry.io/class: ceph-block}}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 16Mi}}}
---`

// filesPod is its pod, which runs on the node.
func filesPod(node *lab.Node) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {kubernetes.io/hostname: %s}
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: none}]
  volumes: [{name: files, persistentVolumeClaim: {claimName: files}}]
`, node.Name)
}

// TestRunbook is the last one: at its end, no cluster is guarded.
func TestRunbook(t *testing.T) {
	s := &shop{stage.ShopCalled(t, "shop"), stage.East, stage.West}
	e1, w1, e2, w2 := s.east.Nodes[0], s.west.Nodes[0], s.east.Nodes[1], s.west.Nodes[1]
	s.volume("data-db-0")
	for c, node := range map[*scene.Cluster]*lab.Node{s.east: e1, s.west: w1} {
		s.apply(c, fmt.Sprintf(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 0
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      nodeSelector: {kubernetes.io/hostname: %s}
      tolerations: [{operator: Exists}]
      containers: [{name: main, image: none}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 16Mi}}}
`, node.Name))
	}
	const (
		stop  = "kubectl --context %s -n shop scale statefulset/db --replicas=0"
		start = "kubectl --context %s -n shop scale statefulset/db --replicas=1"
	)
	runs := func(c *scene.Cluster, node *lab.Node) func(string) {
		return func(string) {
			s.Ready(c, "db-0")
			s.Grows("data-db-0")
			s.owns(c, node, "data-db-0")
		}
	}
	stopped := func(string) { s.releases("data-db-0") }
	shows := func(texts ...string) func(string) {
		return func(out string) {
			t.Helper()
			for _, text := range texts {
				if !strings.Contains(out, text) {
					t.Errorf("%q is missing in:\n%s", text, out)
				}
			}
		}
	}
	command := func(line, stdin string) string {
		t.Helper()
		r := scene.Command{Program: "/bin/bash", Args: []string{"-c", line}, Stdin: stdin, Dir: "../..", Env: map[string]string{
			"PATH": path, "HOME": stage.Home, "KUBECONFIG": s.east.Kubeconfig + ":" + s.west.Kubeconfig,
		}}.Run(t.Context())
		t.Logf("$ %s\n%s%s", line, r.Stdout, r.Stderr)
		return s.Must(r)
	}
	asleep := func() {
		if err := e1.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	again := func() {
		if err := e1.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	reboot := func() {
		if err := e1.Kill(); err != nil {
			t.Fatal(err)
		}
		boot := s.bootID(s.east, e1)
		if err := e1.Start(); err != nil {
			t.Fatal(err)
		}
		s.Eventually("the node has rebooted and has nothing mounted", func() error {
			out, err := s.east.Run(context.WithoutCancel(t.Context()), "get", "pods,volumeattachments", "-n", "shop", "-o", "name")
			if now := s.bootID(s.east, e1); err == nil && (now == boot || strings.Contains(string(out), "db-0")) {
				err = fmt.Errorf("boot %s, %s", now, out)
			}
			return err
		})
	}
	// Helm takes over what the test has put there in its place, apart from what cannot
	// be changed into the chart's. Nobody answers at the webhook's Service then.
	installed := func(cluster string) func() {
		return func() {
			command("kubectl --context "+cluster+" -n cephferry-system delete deployment/cephferry validatingwebhookconfiguration/cephferry", "")
			command("helm install cephferry charts/cephferry -n cephferry-system --take-ownership --set cluster.name="+cluster+" --kube-context "+cluster, "")
		}
	}
	// The story of the runbook, one entry per command.
	story := []step{
		{before: func() { command(fmt.Sprintf(start, "east"), ""); runs(s.east, e1)("") }, after: shows("shop.data-db-0", "east", "1 foreign")},
		{after: shows("acquired")},

		{after: stopped},
		{after: runs(s.west, w1)},

		{before: func() {
			command(fmt.Sprintf(stop, "west"), "")
			stopped("")
			command(fmt.Sprintf(start, "east"), "")
			runs(s.east, e1)("")
			asleep()
		}, after: shows("east")},
		{stdin: "east\n", after: shows("cut off     "+e1.Address+" (node east-1)", string(failover.TakenOver))},
		{after: runs(s.west, w1)},

		{before: func() {
			s.apply(s.east, filesClaim+filesPod(e2))
			s.Ready(s.east, "web")
			s.Grows("files")
			s.owns(s.east, e2, "files")
			if err := e2.Freeze(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove("../../claims.yaml") })
		}},
		// A claim that no pod waits for yet is bound, and its pod is refused then.
		{before: func() { s.apply(s.west, filesPod(w2)) }, after: func(out string) {
			shows("persistentvolumeclaim/files created")(out)
			s.Eventually("west's claim says what it waits for", func() error {
				out, err := s.west.Run(t.Context(), "get", "events", "-n", "shop", "--field-selector", "reason=ProvisioningFailed", "-o", "yaml")
				if err == nil && !strings.Contains(string(out), "kubectl cephferry failover shop/files") {
					err = errors.New(string(out))
				}
				return err
			})
		}},
		{after: shows("is in use by another cluster", "cluster east", "kubectl cephferry failover shop/files")},
		{stdin: "east\n", after: func(out string) {
			// The image is keyed, so that nothing but its client is fenced.
			shows("cut off     "+e2.Address+":0/", "cuts off:   this volume only", string(failover.TakenOver))(out)
			s.Ready(s.west, "web")
			s.Grows("files")
			if err := e2.Thaw(); err != nil {
				t.Fatal(err)
			}
			s.Eventually("east deletes the pod that can never have its volume", func() error {
				out, err := s.east.Run(t.Context(), "get", "pod", "web", "-n", "shop", "--ignore-not-found")
				if err == nil && len(out) > 0 {
					err = errors.New(string(out))
				}
				return err
			})
			s.Wrote("files", s.east, s.west)
		}},

		{before: func() {
			again()
			s.Eventually("east says that it uses what west owns", func() error {
				out, err := s.east.Run(t.Context(), "get", "events", "-A", "--field-selector=reason=OwnedElsewhere")
				for _, object := range []string{"pod/db-0 ", "persistentvolumeclaim/data-db-0 ", "persistentvolume/shop.data-db-0 "} {
					if err == nil && !strings.Contains(string(out), object) {
						err = fmt.Errorf("%s is not in:\n%s", object, out)
					}
				}
				return err
			})
		}, after: shows("OwnedElsewhere", "pod/db-0", "persistentvolume/shop.data-db-0", "(image replicapool/shop.data-db-0): cluster west owns the image")},
		{},
		{before: reboot, after: shows("node east-1 of cluster east may use Ceph again")},

		{after: stopped},
		{after: runs(s.east, e1)},

		{before: func() {
			if err := w2.Freeze(); err != nil {
				t.Fatal(err)
			}
			s.notReady(s.west, w2)
		}, after: shows("files", "1 ours")},
		{stdin: strings.Repeat(w2.Name+"\n", 3), after: shows("cut off     "+w2.Address, w2.Address+":0/", "NodeFenced: the record says that the node is cut off", " safe from node "+w2.Name)},
		{after: func(string) {
			command("kubectl --context west -n shop delete pod web --force --grace-period=0", "")
			s.apply(s.west, filesPod(w1))
			s.Ready(s.west, "web")
			s.Grows("files")
			if err := w2.Thaw(); err != nil {
				t.Fatal(err)
			}
			s.Grows("files")
			s.Wrote("files", s.east, s.west)
			command("kubectl --context west taint node "+w2.Name+" node.kubernetes.io/out-of-service-", "")
		}},

		{before: func() {
			s.killedAfter(s.plugin(s.west, "failover", "shop/data-db-0", "--from", "east", "--yes"), string(failover.Begun))
		}, after: func(string) {
			if record := s.Record("data-db-0"); record.State != ceph.Held || record.Owner.Name != "east" {
				t.Errorf("the record says %s, %+v", record.State, record.Owner)
			}
			// On a busy machine it has fenced by the time it is killed, and the command says so.
			if _, fenced := s.blocklisted()[e1.Address+":0/0"]; fenced {
				t.Log("it had fenced when it was killed")
				scale := func(replicas string) {
					if _, err := s.east.Run(t.Context(), "--namespace=shop", "scale", "statefulset/db", "--replicas="+replicas); err != nil {
						t.Fatal(err)
					}
				}
				scale("0")
				reboot()
				s.Must(s.cephferry(s.east, "unfence", e1.Name))
				scale("1")
			}
			s.Grows("data-db-0")
			s.Wrote("data-db-0", s.east, s.west, s.east, s.west, s.east)
		}},

		{before: installed("west"), after: shows("has been upgraded")},
		{before: installed("east"), after: func(string) { s.Free("data-db-0") }},
		{before: func() {
			if err := s.east.Webhook.Kill(); err != nil {
				t.Fatal(err)
			}
		}, after: shows(`release "cephferry" uninstalled`)},
		{after: func(string) {
			if record := s.Record("data-db-0"); record.State != ceph.Free {
				t.Errorf("the record says %s, %+v", record.State, record.Owner)
			}
		}},
		{before: func() {
			// The API server hears of the end of the policy a moment later.
			s.Eventually("the label may go", func() error {
				_, err := s.east.Run(t.Context(), "label", "namespace", "shop", "cephferry.io/guarded-", "--dry-run=server")
				return err
			})
		}, after: shows("namespace/shop unlabeled")},
	}
	commands := blocks(t, "../../docs/runbook.md")
	if len(commands) != len(story) {
		t.Fatalf("the runbook has %d commands, and its story here %d: %q", len(commands), len(story), commands)
	}
	for i, line := range commands {
		if story[i].before != nil {
			story[i].before()
		}
		out := command(line, story[i].stdin)
		if story[i].after != nil {
			story[i].after(out)
		}
	}
}
