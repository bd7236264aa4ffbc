//go:build lab

package keys

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/scene"
)

// Somebody has deleted the webhook configuration of east, and its webhook is dead: what east
// starts on an image that west owns never gets it, whether a scheduler or a person has chosen
// the node, and by whichever volume it leads there: one for the base name, one by another
// clusterID, one that is made after its pod, or somebody else's. Not parallel: no admission in
// east is asked.
func TestWithoutAdmission(t *testing.T) {
	s := newShop(t)
	e1, e2, w1 := east.Nodes[0], east.Nodes[1], west.Nodes[0]
	s.addClusterID(east, "second")
	s.volume("data")
	s.volume("plain", unkeyed)
	s.Create(west, migratable("late"))
	s.Bound(west, "late")
	s.waits(west, "a", "late")
	s.waits(west, "a", "data")
	s.waits(west, "b", "plain")
	admissionAgain := s.withoutAdmission(east)

	here := at("kubernetes.io/hostname", e1.Name)
	s.Create(east, scene.Pod("by-hand", "data", "nodeName: "+e1.Name))
	s.Create(east, scene.Workload("StatefulSet", "set", "data", 1, here))
	s.Create(east, scene.Pod("plain", "plain", "nodeName: "+e1.Name))
	s.writes(east, "plain")
	s.findsNone(east, "by-hand")
	s.findsNone(east, "set-0")
	s.gets(west, w1, "a")
	s.Ready(west, "data")
	s.Grows("data")
	s.findsNone(east, "by-hand")
	s.named("data", "west")

	s.Create(east, s.PVC("late")+"---\n"+scene.Pod("late", "late", "nodeName: "+e2.Name))
	s.Create(east, s.PVC("thief", s.Namespace+".thief", s.Namespace+".data")+"---\n"+scene.Pod("thief", "thief", "nodeName: "+e2.Name))
	for claim, clusterID := range map[string]string{"copy": "clusterID: rook-ceph", "again": "clusterID: second"} {
		s.leadsTo(claim, "data", "", clusterID)
		s.Create(east, scene.Pod(claim, claim, "nodeName: "+e2.Name))
		s.findsNone(east, claim)
		// A cluster knows a volume by its handle, and these two have one.
		s.Kubectl(east, "delete", "pod", claim, "--force", "--grace-period=0")
		s.Eventually("the volume of "+claim+" is detached", func() error {
			if nodes := s.Kubectl(east, "get", "volumeattachments", "-o=jsonpath={.items[?(@.spec.source.persistentVolumeName=='"+s.Namespace+"."+claim+"')].spec.nodeName}"); nodes != "" {
				return fmt.Errorf("it is attached to %s", nodes)
			}
			return nil
		})
	}
	s.leadsTo("late", "late", "east", "clusterID: rook-ceph")
	s.findsNone(east, "late")
	if phase := s.Kubectl(east, "get", "pvc", "thief", "-o=jsonpath={.status.phase}"); phase != "Pending" {
		t.Errorf("the claim on another's volume is %s", phase)
	}

	admissionAgain()
	s.deleted(east, west, "by-hand", "set-0", "late")
	s.Event(east, "VolumeInUse", "StatefulSet/set")
	s.Wrote("data", west)
	s.Wrote("late", west)
	s.Wrote("plain", east)
	s.clear(east)
}

// leadsTo makes a volume in east that leads to the image of another claim, by its name with
// that key, and the claim if there is none.
func (s *shop) leadsTo(claim, image, key, clusterID string) {
	s.Helper()
	handle := ceph.JoinName(s.Namespace+"."+image, key)
	s.Create(east, s.PV(claim, "volumeHandle: "+s.Namespace+"."+claim, "volumeHandle: "+handle, "clusterID: rook-ceph", clusterID))
	if r := s.Run(east, "", "get", "pvc", claim); r.Err != nil {
		s.Create(east, s.PVC(claim))
	}
	s.Bound(east, claim)
}

// addClusterID gives ceph-csi another clusterID for the same Ceph, until the test ends.
func (s *shop) addClusterID(c *scene.Cluster, id string) {
	s.Helper()
	const key = "config.json"
	maps := c.Client.CoreV1().ConfigMaps("rook-ceph")
	config, err := maps.Get(s.Context(), "ceph-csi-config", metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	var entries []map[string]any
	if err := json.Unmarshal([]byte(config.Data[key]), &entries); err != nil {
		s.Fatal(err)
	}
	data, err := json.Marshal(append(entries, map[string]any{"clusterID": id, "monitors": entries[0]["monitors"]}))
	if err != nil {
		s.Fatal(err)
	}
	// It stays: what it leads to is still there when other tests look at all volumes.
	config.Data[key] = string(data)
	if _, err := maps.Update(s.Context(), config, metav1.UpdateOptions{}); err != nil {
		s.Fatal(err)
	}
}

// withoutAdmission deletes the webhook configuration of a cluster and ends its webhook, until
// the test ends or what it returns is called.
func (s *shop) withoutAdmission(c *scene.Cluster) (again func()) {
	s.Helper()
	const name = "cephferry"
	configurations := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	configuration, err := configurations.Get(s.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	restart := s.dies(c)
	if err := configurations.Delete(s.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.Fatal(err)
	}
	done := false
	again = func() {
		if done {
			return
		}
		done = true
		configuration.ResourceVersion, configuration.UID = "", ""
		if _, err := configurations.Create(context.Background(), configuration, metav1.CreateOptions{}); err != nil {
			s.Error(err)
		}
		restart()
	}
	s.Cleanup(again)
	// The API server hears of it a moment later.
	s.Eventually("nobody is asked", func() error {
		r := s.Run(c, scene.Pod("by-hand", "data", "nodeName: none"), "create", "--dry-run=server", "-f", "-")
		if r.Err != nil && strings.Contains(r.Stderr, "cephferry") {
			return r.Err
		}
		return nil
	})
	return again
}
