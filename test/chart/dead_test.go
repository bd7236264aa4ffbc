//go:build lab

package chart

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
)

// TestDeadWebhook: with no webhook at all, only what is guarded stops.
func TestDeadWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, namespace := range []string{"guarded", own} {
		w.namespace(t, namespace, true)
	}
	w.namespace(t, "other", false)
	for _, namespace := range []string{"guarded", "other", own} {
		w.apply(t, namespace, workload("Deployment", "1", claim))
		w.waitPods(t, namespace, 1)
	}
	w.apply(t, "", volume("before", rbd, static, bound))
	w.kubectl(t, "create", "deployment", "noclaim", "--image=i", "--replicas=1", "--namespace", "guarded")
	w.waitPods(t, "guarded", 2)

	w.install(t, nobody(t), startRecorder(t).ca(), "dead")
	const unanswered = `failed calling webhook "volume.guard.cephferry.io"`
	scene.Eventually(t, "the webhook configuration", func() error {
		_, err := w.Run(t.Context(), w.applying(t, "", volume("probe", rbd, static, bound), "--dry-run=server")...)
		if err == nil || !strings.Contains(err.Error(), unanswered) {
			return errors.Join(errors.New("it is not in use"), err)
		}
		return nil
	})

	t.Run("in a guarded namespace a pod with a claim is refused", func(t *testing.T) {
		const want = `failed calling webhook "pod.guard.cephferry.io"`
		for _, volumes := range []string{claim, ephemeral} {
			if got := w.refused(t, w.applying(t, "guarded", pod(volumes))...); !strings.Contains(got, want) {
				t.Errorf("%s\nwant in it: %s", got, want)
			}
		}
		// It is kept, not lost: the ReplicaSet goes on trying.
		w.kubectl(t, "delete", "pods", "--selector=app=d", "--namespace", "guarded")
		scene.Eventually(t, "the event", func() error {
			if events := w.kubectl(t, "get", "events", "--namespace", "guarded"); !strings.Contains(events, want) {
				return errors.New(events)
			}
			return nil
		})
	})

	t.Run("in a guarded namespace everything else goes on", func(t *testing.T) {
		w.apply(t, "guarded", pod(config))
		w.kubectl(t, "delete", "pods", "--selector=app=noclaim", "--namespace", "guarded")
		w.waitPods(t, "guarded", 2) // p and noclaim's new one
		for _, replicas := range []string{"0", "0", "3", "1", "0"} {
			w.kubectl(t, "scale", "deployment/d", "--replicas="+replicas, "--namespace", "guarded")
		}
		w.kubectl(t, "rollout", "restart", "deployment/d", "--namespace", "guarded")
		w.apply(t, "guarded", workload("StatefulSet", "1", claim))
		w.kubectl(t, "delete", "deployment/d", "statefulset/d", "--namespace", "guarded")
	})

	t.Run("without the label pods start as if nothing was installed", func(t *testing.T) {
		w.apply(t, "other", pod(claim))
		w.kubectl(t, "delete", "pods", "--selector=app=d", "--namespace", "other")
		w.kubectl(t, "scale", "deployment/d", "--replicas=2", "--namespace", "other")
		w.waitPods(t, "other", 3)
	})

	t.Run("the webhook's own pods come back", func(t *testing.T) {
		before := w.pods(t, own)
		w.kubectl(t, "delete", "pods", "--all", "--namespace", own)
		w.waitPods(t, own, 1)
		if after := w.pods(t, own); before[0] == after[0] {
			t.Errorf("the same pod: %v", after)
		}
	})

	t.Run("a guarded volume cannot be claimed", func(t *testing.T) {
		if got := w.refused(t, w.applying(t, "", volume("new", rbd, static, bound))...); !strings.Contains(got, unanswered) {
			t.Errorf("%s\nwant in it: %s", got, unanswered)
		}
		bind := `--patch={"spec":{"claimRef":{"uid":"5e0c"}}}`
		if got := w.refused(t, "patch", "pv/before", bind); !strings.Contains(got, unanswered) {
			t.Errorf("one that was there before: %s\nwant in it: %s", got, unanswered)
		}
	})

	t.Run("all other changes of volumes go on", func(t *testing.T) {
		w.apply(t, "", volume("unclaimed", rbd, static, ""))
		w.apply(t, "", volume("dynamic", rbd, dynamic, bound))
		w.apply(t, "", nfs)
		w.kubectl(t, "label", "pv/before", "a=b")
		w.kubectl(t, "delete", "pv/before")
	})
}

// nobody is a URL where nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "https://" + listener.Addr().String()
}
