//go:build lab

package keys

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/scene"
)

// Somebody has deleted the webhook configuration of east, and its webhook is dead: what east
// starts on an image that west owns never gets it, whether a scheduler or a person has chosen
// the node. Not parallel: no admission in east is asked.
func TestWithoutAdmission(t *testing.T) {
	s := newShop(t)
	e1, w1 := east.Nodes[0], west.Nodes[0]
	s.volume("data")
	s.volume("plain", unkeyed)
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

	admissionAgain()
	s.deleted(east, west, "by-hand", "set-0")
	s.Event(east, "VolumeInUse", "StatefulSet/set")
	s.Wrote("data", west)
	s.Wrote("plain", east)
	s.clear(east)
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
