//go:build lab

package chart

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/scene"
)

const databases = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.example.com}
spec:
  group: example.com
  names: {kind: Database, plural: databases}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer}}}
          status: {type: object, properties: {size: {type: integer}}}
`

// workload is something called d with a pod template. Empty replicas are left to
// the default.
func workload(kind, replicas string, volumes ...string) string {
	version, selector := "apps/v1", "{matchLabels: {app: d}}"
	if kind == "ReplicationController" {
		version, selector = "v1", "{app: d}"
	}
	if replicas != "" {
		replicas = "replicas: " + replicas + ", "
	}
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: d}, spec: {%sselector: %s, template: {metadata: {labels: {app: d}}, spec: %s}}}",
		version, kind, replicas, selector, podSpec(volumes...))
}

// pod is a pod called p.
func pod(volumes ...string) string {
	return "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: " + podSpec(volumes...) + "}"
}

// podSpec has no volumes but these: not even the one with a token, that most pods
// are given.
func podSpec(volumes ...string) string {
	list := ""
	for i, volume := range volumes {
		list += fmt.Sprintf("{name: v%d, %s}, ", i, volume)
	}
	if list != "" {
		list = "volumes: [" + list + "], "
	}
	return "{" + list + "automountServiceAccountToken: false, terminationGracePeriodSeconds: 0, containers: [{name: c, image: i}]}"
}

const (
	claim     = "persistentVolumeClaim: {claimName: data}"
	ephemeral = "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}"
	config    = "configMap: {name: c}"
)

// namespacedCases say what is reviewed. Each has a namespace of its own; the
// webhook allows everything.
var namespacedCases = map[string]struct {
	// guarded is whether the namespace has the label.
	guarded bool
	// before is applied first, and podsBefore waited for.
	before     string
	podsBefore int
	// Then manifests are applied, or else kubectl does something, in the
	// namespace, and pods waited for.
	apply  string
	dryRun bool
	do     string
	pods   int

	want []string
}{
	"kubectl scale from 1 to 2": {
		before: workload("Deployment", "1"), podsBefore: 1,
		do: "scale deployment/d --replicas=2", pods: 2,
		want: []string{"scale: UPDATE deployments/scale"},
	},
	"kubectl scale from 0 to 1": {
		before: workload("Deployment", "0"),
		do:     "scale deployment/d --replicas=1", pods: 1,
		want: []string{"scale: UPDATE deployments/scale"},
	},
	"kubectl scale from 2 to 1": {
		before: workload("Deployment", "2"), podsBefore: 2,
		do: "scale deployment/d --replicas=1", pods: 1,
	},
	"kubectl scale from 1 to 1": {
		before: workload("Deployment", "1"), podsBefore: 1,
		do: "scale deployment/d --replicas=1", pods: 1,
	},
	"kubectl scale from 1 to 0": {
		before: workload("Deployment", "1"), podsBefore: 1,
		do: "scale deployment/d --replicas=0",
	},
	"kubectl scale from 0 to 0": {
		before: workload("Deployment", "0"),
		do:     "scale deployment/d --replicas=0",
	},
	"kubectl scale --dry-run": {
		before: workload("Deployment", "0"),
		do:     "scale deployment/d --replicas=1 --dry-run=server",
		want:   []string{"scale: UPDATE deployments/scale, dry run"},
	},
	"kubectl scale of a StatefulSet": {
		before: workload("StatefulSet", "0"),
		do:     "scale statefulset/d --replicas=1", pods: 1,
		want: []string{"scale: UPDATE statefulsets/scale"},
	},
	"kubectl scale of a ReplicaSet": {
		before: workload("ReplicaSet", "1"), podsBefore: 1,
		do: "scale replicaset/d --replicas=2", pods: 2,
		want: []string{"scale: UPDATE replicasets/scale"},
	},
	"kubectl scale of a ReplicationController": {
		before: workload("ReplicationController", "1"), podsBefore: 1,
		do: "scale replicationcontroller/d --replicas=2", pods: 2,
		want: []string{"scale: UPDATE replicationcontrollers/scale"},
	},
	"kubectl scale of a custom resource whose replicas are not set": {
		before: "{apiVersion: example.com/v1, kind: Database, metadata: {name: d}, spec: {}}",
		do:     "scale databases/d --replicas=1",
		want:   []string{"scale: UPDATE databases/scale"},
	},
	"kubectl scale of a custom resource without a spec": {
		before: "{apiVersion: example.com/v1, kind: Database, metadata: {name: d}}",
		do:     "scale databases/d --replicas=2",
		want:   []string{"scale: UPDATE databases/scale"},
	},
	"kubectl scale of a custom resource to 0": {
		before: "{apiVersion: example.com/v1, kind: Database, metadata: {name: d}, spec: {size: 1}}",
		do:     "scale databases/d --replicas=0",
	},
	"apply with more replicas": {
		before: workload("Deployment", "1"), podsBefore: 1,
		apply: workload("Deployment", "3"), pods: 3,
		want: []string{"scale: UPDATE deployments"},
	},
	"apply with fewer replicas": {
		before: workload("Deployment", "2"), podsBefore: 2,
		apply: workload("Deployment", "1"), pods: 1,
	},
	"apply without a change": {
		before: workload("StatefulSet", "1"), podsBefore: 1,
		apply: workload("StatefulSet", "1"), pods: 1,
	},
	"patch with more replicas": {
		before: workload("StatefulSet", "0"),
		do:     `patch statefulset/d --patch={"spec":{"replicas":1}}`, pods: 1,
		want: []string{"scale: UPDATE statefulsets"},
	},
	"patch of the scale": {
		before: workload("StatefulSet", "0"),
		do:     `patch statefulset/d --subresource=scale --type=merge --patch={"spec":{"replicas":1}}`, pods: 1,
		want: []string{"scale: UPDATE statefulsets/scale"},
	},
	"replicas removed, which makes them 1": {
		before: workload("Deployment", "0"),
		do:     `patch deployment/d --type=json --patch=[{"op":"remove","path":"/spec/replicas"}]`, pods: 1,
		want: []string{"scale: UPDATE deployments"},
	},
	"another label": {
		before: workload("Deployment", "1"), podsBefore: 1,
		do: "label deployment/d a=b", pods: 1,
	},
	"a new Deployment with 1 replica": {
		apply: workload("Deployment", "1"), pods: 1,
		want: []string{"scale: CREATE deployments"},
	},
	"a new Deployment with the default replicas": {
		apply: workload("Deployment", ""), pods: 1,
		want: []string{"scale: CREATE deployments"},
	},
	"a new Deployment with 0 replicas": {
		apply: workload("Deployment", "0"),
	},
	"a new StatefulSet with the default replicas": {
		apply: workload("StatefulSet", ""), pods: 1,
		want: []string{"scale: CREATE statefulsets"},
	},
	"a deleted Deployment": {
		before: workload("Deployment", "1"), podsBefore: 1,
		do: "delete deployment/d",
	},
	"a DaemonSet": { // it has no replicas, and its pods pass the other gate
		apply: workload("DaemonSet", ""),
	},
	"rollout restart": {
		before: workload("Deployment", "1"), podsBefore: 1,
		do: "rollout restart deployment/d", pods: 2,
	},
	"rollout restart in a guarded namespace": {
		guarded: true,
		before:  workload("Deployment", "1", claim), podsBefore: 1,
		do: "rollout restart deployment/d", pods: 2,
		want: []string{"pod: CREATE pods by replicaset-controller"},
	},
	"kubectl scale in a guarded namespace": {
		guarded: true,
		before:  workload("StatefulSet", "0", claim),
		do:      "scale statefulset/d --replicas=1", pods: 1,
		want: []string{"pod: CREATE pods by statefulset-controller", "scale: UPDATE statefulsets/scale"},
	},
	"a Deployment without a claim in a guarded namespace": {
		guarded: true,
		apply:   workload("Deployment", "1", config), pods: 1,
		want: []string{"scale: CREATE deployments"},
	},
	"a Job in a guarded namespace": {
		guarded: true,
		apply: "{apiVersion: batch/v1, kind: Job, metadata: {name: d}, spec: {template: {spec: " +
			strings.Replace(podSpec(claim), "{", "{restartPolicy: Never, ", 1) + "}}}",
		pods: 1,
		want: []string{"pod: CREATE pods by job-controller"},
	},
	"a pod with a claim": {
		guarded: true,
		apply:   pod(claim), pods: 1,
		want: []string{"pod: CREATE pods"},
	},
	"a pod with an ephemeral volume": {
		guarded: true,
		apply:   pod(ephemeral), pods: 1,
		want: []string{"pod: CREATE pods"},
	},
	"a pod with a claim among other volumes": {
		guarded: true,
		apply:   pod(config, claim), pods: 1,
		want: []string{"pod: CREATE pods"},
	},
	"a pod with a claim, dry run": {
		guarded: true,
		apply:   pod(claim), dryRun: true,
		want: []string{"pod: CREATE pods, dry run"},
	},
	"a pod with a config volume": {
		guarded: true,
		apply:   pod(config), pods: 1,
	},
	"a pod without volumes": {
		guarded: true,
		apply:   pod(), pods: 1,
	},
	"a changed pod": {
		guarded: true,
		before:  pod(claim), podsBefore: 1,
		do: "label pod/p a=b", pods: 1,
	},
	"a deleted pod": {
		guarded: true,
		before:  pod(claim), podsBefore: 1,
		do: "delete pod/p",
	},
	"a pod with a claim in a namespace without the label": {
		apply: pod(claim), pods: 1,
	},
	"a pod with an ephemeral volume in a namespace without the label": {
		apply: pod(ephemeral), pods: 1,
	},
}

func TestReviews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recorder := startRecorder(t)
	w.apply(t, "", databases)
	w.kubectl(t, "wait", "--for=condition=Established", "crd/databases.example.com")
	const named = "named-in-the-chart"
	w.install(t, recorder.URL, recorder.ca(), "migratable", "--set", "classes[0].name="+named+",classes[0].create=false")
	waitInUse(t, w, recorder, "migratable")

	t.Run("of namespaced objects", func(t *testing.T) {
		number := 0
		for name, c := range namespacedCases {
			number++
			namespace := fmt.Sprint("case-", number)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w.namespace(t, namespace, c.guarded)
				if c.before != "" {
					w.apply(t, namespace, c.before)
					// The API server asks once more when a controller has written meanwhile.
					scene.Eventually(t, "controllers to have seen "+namespace, func() error { return w.Seen(t.Context(), namespace) })
				}
				w.waitPods(t, namespace, c.podsBefore)
				recorder.take("migratable", namespace)

				switch {
				case c.dryRun:
					w.apply(t, namespace, c.apply, "--dry-run=server")
				case c.apply != "":
					w.apply(t, namespace, c.apply)
				default:
					w.kubectl(t, append(strings.Fields(c.do), "--namespace", namespace)...)
				}
				w.waitPods(t, namespace, c.pods)
				reviewed(t, c.want, recorder.take("migratable", namespace))
			})
		}
	})

	t.Run("of nothing in namespaces that are left alone", func(t *testing.T) {
		for _, namespace := range []string{own, "kube-system", "kube-public", "kube-node-lease", "rook-ceph"} {
			w.namespace(t, namespace, true)
			w.apply(t, namespace, workload("Deployment", "1", claim))
			w.waitPods(t, namespace, 1)
			w.kubectl(t, "scale", "deployment/d", "--replicas=2", "--namespace", namespace)
			w.waitPods(t, namespace, 2)
			reviewed(t, nil, recorder.take("migratable", namespace))
		}
	})

	t.Run("of nothing that the deployment-controller does", func(t *testing.T) {
		w.namespace(t, "by-controller", true)
		w.apply(t, "by-controller", workload("Deployment", "0", claim))
		w.kubectl(t, "replace", "--namespace", "by-controller", "--filename", w.write(t, workload("Deployment", "1", config)),
			"--as", "system:serviceaccount:kube-system:deployment-controller")
		w.waitPods(t, "by-controller", 1)
		reviewed(t, nil, recorder.take("migratable", "by-controller"))
	})

	t.Run("of volumes", func(t *testing.T) { testVolumeReviews(t, w, recorder) })
	t.Run("of claims", func(t *testing.T) { testGrowthReviews(t, w, recorder, named) })

	w.install(t, recorder.URL, recorder.ca(), "all", "--set", "guard.scope=all")
	waitInUse(t, w, recorder, "all")
	t.Run("of volumes in scope all", func(t *testing.T) {
		for name, c := range map[string]struct {
			volume string
			want   []string
		}{
			"a static RBD volume":   {volume("static", rbd, static, bound), []string{"volume: CREATE persistentvolumes"}},
			"a dynamic RBD volume":  {volume("dynamic", rbd, dynamic, bound), []string{"volume: CREATE persistentvolumes"}},
			"one without a claim":   {volume("unclaimed", rbd, dynamic, ""), nil},
			"a CephFS volume":       {volume("cephfs", "rook-ceph.cephfs.csi.ceph.com", dynamic, bound), nil},
			"a volume without CSI":  {nfs, nil},
			"one of storage itself": {volume("storage", rbd, dynamic, "claimRef: {namespace: rook-ceph, name: data}"), nil},
		} {
			t.Run(name, func(t *testing.T) {
				w.apply(t, "", c.volume)
				pv := nameOf(c.volume)
				reviewed(t, c.want, recorder.take("all", pv))
				w.kubectl(t, "label", "persistentvolume", pv, "a=b")
				reviewed(t, nil, recorder.take("all", pv))
			})
		}
	})
}

// waitInUse waits until the API server asks the webhooks of that generation.
func waitInUse(t *testing.T, w *world, recorder *recorder, generation string) {
	t.Helper()
	probe := volume("probe", rbd, static, bound)
	scene.Eventually(t, "the webhook configuration", func() error {
		w.apply(t, "", probe, "--dry-run=server")
		if recorder.take(generation, "probe") == nil {
			return errors.New("nothing was asked")
		}
		return nil
	})
}

func reviewed(t *testing.T, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reviews (-want +got):\n%s", diff)
	}
}
