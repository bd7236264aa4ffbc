//go:build lab

package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/test/webhook"
)

const guardedLabel = "cephferry.io/guarded"

func (s *shop) label(c *cluster) string {
	s.Helper()
	namespace, err := c.client.CoreV1().Namespaces().Get(s.Context(), s.namespace, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return namespace.Labels[guardedLabel]
}

// labelAt is the label as it was at a revision of the cluster's database.
func (s *shop) labelAt(c *cluster, revision string) string {
	s.Helper()
	namespaces, err := c.client.CoreV1().Namespaces().List(s.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=" + s.namespace, ResourceVersion: revision, ResourceVersionMatch: metav1.ResourceVersionMatchExact,
	})
	if err != nil || len(namespaces.Items) != 1 {
		s.Fatal(namespaces, err)
	}
	return namespaces.Items[0].Labels[guardedLabel]
}

// strip takes the label away, as a tool does that knows only its own labels.
func (s *shop) strip(ctx context.Context, c *cluster) error {
	_, err := c.client.CoreV1().Namespaces().Patch(ctx, s.namespace, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"`+guardedLabel+`":null}}}`), metav1.PatchOptions{})
	return err
}

// stripped tries to start that many pods on the claim while so many tools try to take
// the label away, each once per pause, and returns how many were admitted.
func (s *shop) stripped(c *cluster, claim string, pods, tools int, pause time.Duration) (admitted int) {
	s.Helper()
	ctx, stop := context.WithCancel(s.Context())
	var working sync.WaitGroup
	for range tools {
		// Once at least, before the first pod.
		tries := []error{s.strip(ctx, c)}
		working.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-tick.C:
					tries = append(tries, s.strip(ctx, c))
				}
			}
			for _, err := range tries {
				if !apierrors.IsForbidden(err) && !errors.Is(err, context.Canceled) {
					s.Errorf("the label was taken away: %v", err)
					return
				}
			}
		})
	}
	for range pods {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "stripped-"}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "main", Image: "none"}},
			Volumes: []corev1.Volume{{Name: claim, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}},
			// What is admitted is counted, and never starts.
			SchedulingGates: []corev1.PodSchedulingGate{{Name: "example.com/never"}},
		}}
		if _, err := c.client.CoreV1().Pods(s.namespace).Create(s.Context(), p, metav1.CreateOptions{}); err == nil {
			admitted++
		} else if !strings.Contains(err.Error(), "pod.guard.cephferry.io") {
			s.Errorf("refused by somebody else: %v", err)
		}
	}
	stop()
	working.Wait()
	return admitted
}

// Not parallel: it ends the webhook of west. While another cluster has the volume, no
// pod is admitted however often something tries to take the label away, whether the
// webhook runs or not.
func TestALabelThatToolsStripOpensNothing(t *testing.T) {
	s := newShop(t)
	s.volume("data", east, west)
	s.holds(east, "data")
	defer func() {
		if err := west.guard.Ready(); err != nil {
			if err := west.guard.Start(); err != nil {
				t.Error(err)
			}
		}
	}()
	for _, state := range []string{"with the webhook", "with no webhook"} {
		if state == "with no webhook" {
			if err := west.guard.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		for _, rate := range []struct {
			tools int
			pause time.Duration
		}{{1, time.Millisecond}, {3, time.Millisecond}, {1, 10 * time.Millisecond}, {1, 100 * time.Millisecond}, {3, 100 * time.Millisecond}} {
			t.Run(fmt.Sprintf("%s, %d at once per %s", state, rate.tools, rate.pause), func(t *testing.T) {
				const pods = 200
				s := *s
				s.T = t
				admitted := s.stripped(west, "data", pods, rate.tools, rate.pause)
				t.Logf("%d of %d pods were admitted", admitted, pods)
				if admitted != 0 || s.label(west) != "true" {
					t.Errorf("%d of %d pods were admitted, and the label is %q", admitted, pods, s.label(west))
				}
			})
		}
	}
}

// The label comes again with the next volume.
func TestTheLabelGoesWithTheLastGuardedVolume(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", west)
	s.volume("logs", west)
	s.create(west, strings.ReplaceAll(plain, "NAMESPACE", s.namespace))
	s.bound(west, "plain")
	s.kubectl(west, "delete", "pvc/logs", "pv/"+s.namespace+".logs")
	if got := s.label(west); got != "true" {
		t.Fatalf("with a volume left the label is %q", got)
	}
	s.kubectl(west, "delete", "pvc/data", "pv/"+s.namespace+".data")
	s.eventually("the end of the label", func() error {
		if got := s.label(west); got != "" {
			return fmt.Errorf("it is %q, and the grace is %s", got, webhook.Grace)
		}
		return nil
	})
	s.create(west, s.pv("data"))
	if got := s.label(west); got != "true" {
		t.Errorf("with a volume again the label is %q", got)
	}
	s.kubectl(west, "delete", "pv/"+s.namespace+".data")
}
