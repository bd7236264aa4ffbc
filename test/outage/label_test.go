//go:build lab

package outage

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

	"github.com/cephferry/cephferry/test/scene"
)

// strip takes the label away, as a tool does that knows only its own labels.
func (s *shop) strip(ctx context.Context, c *scene.Cluster) error {
	_, err := c.Client.CoreV1().Namespaces().Patch(ctx, s.Namespace, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"`+scene.GuardedLabel+`":null}}}`), metav1.PatchOptions{})
	return err
}

// stripped tries to start that many pods on the claim while so many tools try to take
// the label away, each once per pause, and returns how many were admitted.
func (s *shop) stripped(c *scene.Cluster, claim string, pods, tools int, pause time.Duration) (admitted int) {
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
		if _, err := c.Client.CoreV1().Pods(s.Namespace).Create(s.Context(), p, metav1.CreateOptions{}); err == nil {
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
	s.Volume("data", east, west)
	s.Holds(east, "data")
	west.Restarts(t)
	for _, state := range []string{"with the webhook", "with no webhook"} {
		if state == "with no webhook" {
			if err := west.Webhook.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		for _, rate := range []struct {
			tools int
			pause time.Duration
		}{{1, time.Millisecond}, {3, time.Millisecond}, {1, 10 * time.Millisecond}, {1, 100 * time.Millisecond}, {3, 100 * time.Millisecond}} {
			t.Run(fmt.Sprintf("%s, %d at once per %s", state, rate.tools, rate.pause), func(t *testing.T) {
				const pods = 200
				s := &shop{s.In(t)}
				admitted := s.stripped(west, "data", pods, rate.tools, rate.pause)
				t.Logf("%d of %d pods were admitted", admitted, pods)
				if admitted != 0 || s.Label(west) != "true" {
					t.Errorf("%d of %d pods were admitted, and the label is %q", admitted, pods, s.Label(west))
				}
			})
		}
	}
}
