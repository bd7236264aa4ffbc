//go:build lab

package guard

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// labelAt is the label as it was at a revision of the cluster's database.
func (s *shop) labelAt(c *scene.Cluster, revision string) string {
	s.Helper()
	namespaces, err := c.Client.CoreV1().Namespaces().List(s.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=" + s.Namespace, ResourceVersion: revision, ResourceVersionMatch: metav1.ResourceVersionMatchExact,
	})
	if err != nil || len(namespaces.Items) != 1 {
		s.Fatal(namespaces, err)
	}
	return namespaces.Items[0].Labels[scene.GuardedLabel]
}

// The label comes again with the next volume.
func TestTheLabelGoesWithTheLastGuardedVolume(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", west)
	s.Volume("logs", west)
	s.Create(west, s.Plain())
	s.Bound(west, "plain")
	s.Kubectl(west, "delete", "pvc/logs", "pv/"+s.Namespace+".logs")
	if got := s.Label(west); got != "true" {
		t.Fatalf("with a volume left the label is %q", got)
	}
	s.Kubectl(west, "delete", "pvc/data", "pv/"+s.Namespace+".data")
	s.Eventually("the end of the label", func() error {
		if got := s.Label(west); got != "" {
			return fmt.Errorf("it is %q, and the grace is %s", got, webhook.Grace)
		}
		return nil
	})
	s.Create(west, s.PV("data"))
	if got := s.Label(west); got != "true" {
		t.Errorf("with a volume again the label is %q", got)
	}
	s.Kubectl(west, "delete", "pv/"+s.Namespace+".data")
}
