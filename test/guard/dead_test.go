//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"
)

// plain is a volume that is no RBD image, and its claim.
const plain = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: plain-NAMESPACE}
spec: {capacity: {storage: 16Mi}, accessModes: [ReadWriteOnce], claimRef: {namespace: NAMESPACE, name: plain}, nfs: {server: localhost, path: /}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: plain}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: plain-NAMESPACE, resources: {requests: {storage: 16Mi}}}
`

// Not parallel: it ends the webhook of west.
func TestWithADeadWebhookOnlyStartsOnGuardedVolumesStop(t *testing.T) {
	s, other := newShop(t), newShop(t)
	s.volume("data", east, west)
	s.create(west, workload("Deployment", "x", "data", 1))
	s.runs(west, "x", 1)
	for _, s := range []*shop{s, other} {
		s.create(west, strings.ReplaceAll(plain, "NAMESPACE", s.namespace))
		s.bound(west, "plain")
	}
	free := "{apiVersion: apps/v1, kind: Deployment, metadata: {name: free}, spec: {replicas: 1, selector: {matchLabels: {app: free}}, " +
		"template: {metadata: {labels: {app: free}}, spec: {containers: [{name: main, image: none}]}}}}"

	if err := west.guard.Kill(); err != nil {
		t.Fatal(err)
	}
	// Whatever fails below, the next test needs it.
	restart := func() {
		if err := west.guard.Ready(); err != nil {
			if err := west.guard.Start(); err != nil {
				t.Error(err)
			}
		}
	}
	defer restart()

	// Down, and to what it is already.
	for _, replicas := range []string{"1", "0", "0"} {
		s.kubectl(west, "scale", "deployment/x", "--replicas="+replicas)
	}
	s.free("data")
	// Whatever has no claim, in a guarded namespace too; whatever has one, elsewhere.
	s.create(west, free)
	s.kubectl(west, "scale", "deployment/free", "--replicas=2")
	s.runs(west, "free", 2)
	other.create(west, pod("x", "plain"))
	other.ready(west, "x")
	other.create(west, workload("StatefulSet", "z", "plain", 0))
	other.kubectl(west, "scale", "statefulset/z", "--replicas=1")
	other.runs(west, "z", 1)

	// Where the guard cannot be asked, nothing with a claim starts.
	const unanswered = `failed calling webhook "%s.guard.cephferry.io"`
	for endpoint, manifest := range map[string]string{
		"pod": pod("p", "data") + "---\n" + pod("q", "plain"), "volume": s.pv("new"),
	} {
		r := s.run(west, manifest, "create", "-f", "-")
		if want := fmt.Sprintf(unanswered, endpoint); r.err == nil || strings.Count(r.stderr, want) != strings.Count(manifest, "kind:") {
			t.Errorf("%s\nwant in it: %s", r.stderr, want)
		}
	}
	s.kubectl(west, "scale", "deployment/x", "--replicas=1")
	set := s.replicaSets(west)[0]
	for _, candidate := range s.replicaSets(west) {
		if strings.HasPrefix(candidate.Name, "x-") {
			set = candidate
		}
	}
	s.event(west, "FailedCreate", "ReplicaSet/"+set.Name, fmt.Sprintf(unanswered, "pod"))
	if pods := s.pods(west, "x"); len(pods) != 0 {
		t.Errorf("there is pod %s", pods[0].Name)
	}

	restart()
	s.runs(west, "x", 1)
	s.wrote("data", west)
}
