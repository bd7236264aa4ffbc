//go:build lab

package failover

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// page is an application that follows Rook's page "Application Migration" by hand: its claim
// data has a volume that ceph-csi made in east, and the PersistentVolume is copied to west with
// the page's own command, which changes nothing else of it.
type page struct {
	*shop
	volume string
}

// followPage makes the volume, starts the application in east, and copies the volume. With
// the annotation, that is set before the copy is made, and goes with it.
func followPage(t *testing.T, uuid string, annotated bool) page {
	t.Helper()
	s := newShop(t)
	_, volume := s.MadeByCSI(s.east, "data", uuid)
	p := page{s, volume}
	p.starts(s.east, s.east.Nodes[0], "app", "data")
	p.bash(`kubectl --context east patch pv VOLUME -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`)
	if annotated {
		p.bash("kubectl --context east annotate pv VOLUME cephferry.io/migratable=true")
		p.owns(s.east, s.east.Nodes[0], "data")
	}
	copied := p.bash(`kubectl --context east get pv VOLUME -o yaml | egrep -v " uid: | resourceVersion: "`)
	for _, want := range []string{"volumeHandle: 0001-0009-rook-ceph-0000000000000002-" + uuid, "name: data", "namespace: " + s.Namespace} {
		if !strings.Contains(copied, want) {
			t.Fatalf("%q is missing in what was copied:\n%s", want, copied)
		}
	}
	s.Create(s.west, copied)
	s.Create(s.west, scene.Classed("data", "ceph-block"))
	s.Bound(s.west, "data")
	return p
}

// bash runs commands with both clusters as contexts.
func (p page) bash(commands string) string {
	p.Helper()
	return p.Must(scene.Command{Program: "/bin/bash", Args: []string{"-euo", "pipefail", "-c", strings.ReplaceAll(commands, "VOLUME", p.volume)}, Env: map[string]string{
		"PATH": path, "HOME": stage.Home, "KUBECONFIG": p.east.Kubeconfig + ":" + p.west.Kubeconfig,
	}}.Run(p.Context()))
}

// down ends a cluster's webhook, and freezes the rest of it for longer than the watches of its node
// live. What it returns, and the end of the test, wakes it up.
func (p page) down(c *scene.Cluster, node *lab.Node) (up func()) {
	p.Helper()
	frozen := map[string][2]func() error{
		"the API server": {c.APIServer.Freeze, c.APIServer.Thaw},
		"the node":       {node.Freeze, node.Thaw},
	}
	started := p.without(c)
	up = func() {
		for what, do := range frozen {
			if err := do[1](); err != nil {
				p.Errorf("wake up %s: %v", what, err)
			}
		}
		started()
	}
	p.Cleanup(up)
	for what, do := range frozen {
		if err := do[0](); err != nil {
			p.Fatalf("freeze %s: %v", what, err)
		}
	}
	p.Free("data")
	return up
}

// TestRooksPageByHandWithoutTheAnnotation: what the page warns of. East goes down, west starts
// the application, and when east is up again both have the image open and write. Nobody has
// refused anything: ceph-csi counted the watchers when it mapped the image, and there were none.
func TestRooksPageByHandWithoutTheAnnotation(t *testing.T) {
	p := followPage(t, "3f0c7a52-1d4e-4b86-9a57-6c0e2d8b4f11", false)
	e1, w1 := p.east.Nodes[0], p.west.Nodes[0]
	p.TwoWriters = []string{"data"}
	up := p.down(p.east, e1)
	p.starts(p.west, w1, "app", "data")
	p.Wrote("data", p.east, p.west)
	up()
	p.Eventually("both have the image open", func() error {
		hosts := map[string]bool{}
		for _, watcher := range p.Watchers("data") {
			hosts[watcher.Host()] = true
		}
		if !hosts[e1.Address] || !hosts[w1.Address] {
			return fmt.Errorf("the watchers are on %v", hosts)
		}
		return nil
	})
	p.Eventually("both write", func() error {
		if p.Stamps("data").Check() == nil {
			return fmt.Errorf("the stamps are one chain")
		}
		return nil
	})
	if record := p.Record("data"); record.Revision != 0 {
		t.Errorf("there is a record: %s", record.Encode())
	}
	for _, c := range []*scene.Cluster{p.east, p.west} {
		p.Kubectl(c, "delete", "pod", "app")
	}
	p.Free("data")
}

// TestRooksPageByHandWithTheAnnotation: the same walk, and the same accident. West is refused and
// told who has the volume, before east goes down and after; a failover takes it, east writes
// nothing when it is up again, and gets it back.
func TestRooksPageByHandWithTheAnnotation(t *testing.T) {
	p := followPage(t, "8e2b9d04-75c1-4f3a-b6e8-0a1d5c7f9b22", true)
	e1, w1 := p.east.Nodes[0], p.west.Nodes[0]
	image := p.Image("data")
	refused := func() {
		t.Helper()
		text := p.InUseOf(p.west, "data")
		for _, want := range []string{"volume " + p.Namespace + "/data (image " + image + ") is in use by another cluster", "cluster east, node east-1 (" + e1.Address, "kubectl cephferry failover " + p.Namespace + "/data"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing:\n%s", want, text)
			}
		}
		p.Refused(p.Run(p.west, scene.Pod("app", "data", scene.On(w1)), "create", "-f", "-"), scene.Forbidden("pod", text, scene.Creating))
	}
	refused()
	up := p.down(p.east, e1)
	refused()

	out := p.Must(p.answered(p.plugin(p.west, "failover", p.Namespace+"/data"), "east\n"))
	if want := "cut off     " + e1.Address + " (node east-1): everything that comes from there"; !strings.Contains(out, want) {
		t.Errorf("%q is missing:\n%s", want, out)
	}
	p.starts(p.west, w1, "app", "data")
	p.owns(p.west, w1, "data")
	up()
	p.Eventually("east notices", func() error {
		out, err := p.east.Run(t.Context(), "get", "pod", "app", "-n", p.Namespace, `-o=jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && string(out) == "True" {
			err = fmt.Errorf("its pod is ready")
		}
		return err
	})
	p.Wrote("data", p.east, p.west)

	// The handle and the image's name are ceph-csi's still, so that it can do what it did.
	got := p.Kubectl(p.west, "get", "pv/"+p.volume, "-o=jsonpath={.spec.csi.volumeHandle} {.spec.csi.volumeAttributes.imageName} {.spec.persistentVolumeReclaimPolicy}")
	uuid := strings.TrimPrefix(p.volume, "pvc-")
	if want := "0001-0009-rook-ceph-0000000000000002-" + uuid + " csi-vol-" + uuid + " Retain"; got != want {
		t.Errorf("the volume in west has %s, want %s", got, want)
	}
	if record := p.Record("data"); record.Keyed {
		t.Errorf("the image is keyed: %s", record.Encode())
	}

	// Back: east's node has booted and nothing of it is mounted; then a planned move.
	p.reboots(e1)
	p.Kubectl(p.east, "delete", "pod", "app", "--grace-period=0", "--force")
	p.Eventually("the node is let in again", func() error {
		r := p.cephferry(p.east, "unfence", e1.Name)
		if r.Err != nil {
			return fmt.Errorf("%w: %s", r.Err, r.Stderr)
		}
		return nil
	})
	p.deletes(p.west, "app", "data")
	p.releases("data")
	p.starts(p.east, e1, "app", "data")
	p.owns(p.east, e1, "data")
	p.Wrote("data", p.east, p.west, p.east)
	if record := p.Record("data"); record.State != ceph.Held || len(record.Fenced) > 0 {
		t.Errorf("the record says %s", record.Encode())
	}
	p.deletes(p.east, "app", "data")
}

// reboots switches a node of east off and on, and returns when it reports its new boot.
func (p page) reboots(node *lab.Node) {
	p.Helper()
	boot := p.bootID(p.east, node)
	for _, do := range []func() error{node.Kill, node.Start} {
		if err := do(); err != nil {
			p.Fatal(err)
		}
	}
	p.Eventually("the node reports its new boot", func() error {
		if p.bootID(p.east, node) == boot {
			return fmt.Errorf("it is still %s", boot)
		}
		return nil
	})
}
