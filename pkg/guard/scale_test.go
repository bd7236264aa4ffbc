package guard_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
)

// custom is shard shop/db with that spec.
func custom(spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(shard)
	object.SetNamespace(namespace)
	object.SetName("db")
	return object
}

// template is a spec with a pod template that uses the claim data.
func template(volumes any) map[string]any {
	return map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{}, "volumes": volumes}}}
}

var usesData = []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": "data"}}}

// TestScale asks about workload shop/db, whose claim data, or data-db-1 of a
// StatefulSet, another cluster uses.
func TestScale(t *testing.T) {
	const advice = "\n  do this   fix that, then retry here; nothing was changed"
	refused := denied(inUse("data", "shop.data"))
	refusedOrdinal := denied(inUse("data-db-1", "shop.data-db-1"))
	// What is created is stored, and says why it has no pods yet.
	const held = " is in use by another cluster, held by 10.0.1.12 (client.4153), not a node of west"
	waits := allowed(guard.PodsWait, "the pods of Deployment shop/db wait: volume shop/data (image replicapool/shop.data)"+held)
	ordinalWaits := allowed(guard.PodsWait, "the pods of StatefulSet shop/db wait: volume shop/data-db-1 (image replicapool/shop.data-db-1)"+held)
	still, free := allowed(guard.NotRising), allowed(guard.NoWatcher)

	withReplicas := func(d *appsv1.Deployment, replicas *int32) *appsv1.Deployment {
		d.Spec.Replicas = replicas
		return d
	}
	setWithReplicas := func(s *appsv1.StatefulSet, replicas *int32) *appsv1.StatefulSet {
		s.Spec.Replicas = replicas
		return s
	}
	create := func(kind schema.GroupVersionKind, resource string, object any) admission.Request {
		return review(t, admissionv1.Create, kind, resource, object, nil)
	}
	update := func(kind schema.GroupVersionKind, resource string, object, old any) admission.Request {
		return review(t, admissionv1.Update, kind, resource, object, old)
	}
	deployments := func(from, to int) admission.Request { return scaled(t, deploymentKind, "deployments", from, to) }
	statefulSets := func(from, to int) admission.Request {
		return scaled(t, statefulSetKind, "statefulsets", from, to)
	}
	shards := func(from, to int) admission.Request { return scaled(t, shard, "shards", from, to) }
	replicaSet := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"}}
	replicaSet.Spec.Template.Spec = podSpec("data")
	controller := &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"}}
	controller.Spec.Template = &corev1.PodTemplateSpec{Spec: podSpec("data")}
	bareController := &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"}}
	ephemeral := deployment("logs")
	ephemeral.Spec.Template.Spec.Volumes = append(ephemeral.Spec.Template.Spec.Volumes,
		corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}})
	// The claim template data goes before the volume of that name.
	hidden := statefulSet(0, "data")
	hidden.Spec.Template.Spec.Volumes[0].Name = "data"

	tests := map[string]struct {
		target  client.Object
		request admission.Request
		want    answer
	}{
		"a Deployment rises":                 {deployment("data"), deployments(1, 2), refused},
		"a Deployment rises from zero":       {deployment("data"), deployments(0, 1), refused},
		"a Deployment stays":                 {deployment("data"), deployments(1, 1), still},
		"a Deployment stays at zero":         {deployment("data"), deployments(0, 0), still},
		"a Deployment falls":                 {deployment("data"), deployments(2, 1), still},
		"a Deployment falls to zero":         {deployment("data"), deployments(2, 0), still},
		"a Deployment without volumes rises": {deployment(), deployments(0, 1), allowed(guard.NothingGuarded)},
		"a Deployment of a free volume":      {deployment("free"), deployments(0, 1), free},
		"a Deployment rises to the most":     {deployment("data"), deployments(0, 1<<31-1), refused},
		"a Deployment on CephFS": {deployment("shared"), deployments(0, 1), allowed(guard.NothingGuarded,
			"volume shop/shared is on CephFS, which several clusters may use at once; it is not guarded")},
		// Its claims are named after pods that do not exist yet.
		"a Deployment with an ephemeral volume": {ephemeral, deployments(0, 1), allowed(guard.NothingGuarded)},
		"a Deployment that is not there": {nil, deployments(0, 1),
			unknown(`cannot know whether what shop/db uses is in use by another cluster: read Deployment shop/db: deployments.apps "db" not found` + advice)},

		"a Deployment is created":                  {nil, create(deploymentKind, "deployments", withReplicas(deployment("data"), ptr[int32](1))), waits},
		"a Deployment is created with the default": {nil, create(deploymentKind, "deployments", deployment("data")), waits},
		"a Deployment of a free volume is created": {nil, create(deploymentKind, "deployments", deployment("free")), free},
		"a Deployment is created without replicas": {nil, create(deploymentKind, "deployments", withReplicas(deployment("data"), ptr[int32](0))), still},
		"a Deployment is changed and rises": {nil, update(deploymentKind, "deployments",
			withReplicas(deployment("data"), ptr[int32](2)), withReplicas(deployment("data"), ptr[int32](1))), refused},
		"a Deployment is changed and rises to the default": {nil, update(deploymentKind, "deployments",
			deployment("data"), withReplicas(deployment("data"), ptr[int32](0))), refused},
		"a Deployment is changed and falls from the default": {nil, update(deploymentKind, "deployments",
			withReplicas(deployment("data"), ptr[int32](0)), deployment("data")), still},
		"a Deployment is changed and stays at the default": {nil, update(deploymentKind, "deployments",
			deployment("data"), withReplicas(deployment("data"), ptr[int32](1))), still},
		"a Deployment rises and gets another volume": {nil, update(deploymentKind, "deployments",
			withReplicas(deployment("data"), ptr[int32](1)), withReplicas(deployment("free"), ptr[int32](0))), refused},

		"a StatefulSet rises over the ordinal":       {statefulSet(0), statefulSets(1, 2), refusedOrdinal},
		"a StatefulSet rises from zero over it":      {statefulSet(0), statefulSets(0, 2), refusedOrdinal},
		"a StatefulSet rises far over it":            {statefulSet(0), statefulSets(1, 5), refusedOrdinal},
		"a StatefulSet rises below it":               {statefulSet(0), statefulSets(0, 1), free},
		"a StatefulSet rises above it":               {statefulSet(0), statefulSets(2, 3), free},
		"a StatefulSet that starts at it rises":      {statefulSet(1), statefulSets(0, 1), refusedOrdinal},
		"a StatefulSet that starts at it rises more": {statefulSet(1), statefulSets(1, 2), free},
		"a StatefulSet that starts above it rises":   {statefulSet(2), statefulSets(0, 1), free},
		"a StatefulSet stays":                        {statefulSet(0), statefulSets(2, 2), still},
		"a StatefulSet falls to zero":                {statefulSet(0), statefulSets(2, 0), still},
		"a StatefulSet whose pods share a volume":    {statefulSet(5, "data"), statefulSets(0, 1), refused},
		"a StatefulSet whose template goes before":   {hidden, statefulSets(0, 1), free},
		"a StatefulSet that is not there": {nil, statefulSets(0, 1),
			unknown(`cannot know whether what shop/db uses is in use by another cluster: read StatefulSet shop/db: statefulsets.apps "db" not found` + advice)},
		"a StatefulSet is created":                  {nil, create(statefulSetKind, "statefulsets", setWithReplicas(statefulSet(0), ptr[int32](2))), ordinalWaits},
		"a StatefulSet is created with the default": {nil, create(statefulSetKind, "statefulsets", statefulSet(1)), ordinalWaits},
		"a StatefulSet is created without replicas": {nil, create(statefulSetKind, "statefulsets", setWithReplicas(statefulSet(0), ptr[int32](0))), still},
		"a StatefulSet is changed and rises": {nil, update(statefulSetKind, "statefulsets",
			setWithReplicas(statefulSet(0), ptr[int32](2)), statefulSet(0)), refusedOrdinal},
		"a StatefulSet is changed and rises above it": {nil, update(statefulSetKind, "statefulsets",
			setWithReplicas(statefulSet(0), ptr[int32](3)), setWithReplicas(statefulSet(0), ptr[int32](2))), free},
		"a StatefulSet is changed and falls": {nil, update(statefulSetKind, "statefulsets",
			statefulSet(0), setWithReplicas(statefulSet(0), ptr[int32](2))), still},

		"a ReplicaSet rises": {replicaSet, scaled(t, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), "replicasets", 0, 1), refused},
		"a ReplicaSet that is not there": {nil, scaled(t, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), "replicasets", 0, 1),
			unknown(`cannot know whether what shop/db uses is in use by another cluster: read ReplicaSet shop/db: replicasets.apps "db" not found` + advice)},
		"a ReplicationController rises": {controller, scaled(t, corev1.SchemeGroupVersion.WithKind("ReplicationController"), "replicationcontrollers", 0, 1), refused},
		"a ReplicationController without a template": {
			bareController, scaled(t, corev1.SchemeGroupVersion.WithKind("ReplicationController"), "replicationcontrollers", 0, 1), allowed(guard.PodsUnknown),
		},
		"a ReplicationController that is not there": {nil, scaled(t, corev1.SchemeGroupVersion.WithKind("ReplicationController"), "replicationcontrollers", 0, 1),
			unknown(`cannot know whether what shop/db uses is in use by another cluster: read ReplicationController shop/db: replicationcontrollers "db" not found` + advice)},

		"a custom resource with a pod template rises":         {custom(template(usesData)), shards(1, 2), refused},
		"a custom resource with unset replicas rises":         {custom(template(usesData)), shards(0, 1), refused},
		"a custom resource with unset replicas stays":         {custom(template(usesData)), shards(0, 0), still},
		"a custom resource without volumes":                   {custom(map[string]any{"template": map[string]any{"spec": map[string]any{}}}), shards(0, 1), allowed(guard.NothingGuarded)},
		"a custom resource without a pod template":            {custom(map[string]any{"size": int64(3)}), shards(0, 1), allowed(guard.PodsUnknown)},
		"a custom resource whose template is a name":          {custom(map[string]any{"template": "small"}), shards(0, 1), allowed(guard.PodsUnknown)},
		"a custom resource whose template is no pod template": {custom(template("many")), shards(0, 1), allowed(guard.PodsUnknown)},
		"a custom resource that is not there": {nil, shards(0, 1),
			unknown(`cannot know whether what shop/db uses is in use by another cluster: read Shard shop/db: shards.db.example "db" not found` + advice)},
		"a resource that nobody knows": {nil, scaled(t, schema.GroupVersionKind{Group: "db.example", Version: "v1", Kind: "Other"}, "others", 0, 1),
			unknown(`cannot know whether what shop/db uses is in use by another cluster: find the kind of db.example/v1, Resource=others: no matches for db.example/v1, Resource=others` + advice)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			objects := slices.Concat(pair("data"), pair("free"), pair("shared", cephFS), pair("data-db-0"), pair("data-db-1"), pair("data-db-2"))
			if test.target != nil {
				objects = append(objects, test.target)
			}
			w := newWorld(t, []string{"shop.data", "shop.free", "shop.data-db-0", "shop.data-db-1", "shop.data-db-2"}, objects...)
			w.watch("shop.data", foreign)
			w.watch("shop.data-db-1", foreign)
			same(t, test.want, w.ask("scale", test.request))
			if test.want.Message == string(guard.NotRising) {
				same(t, nil, w.api.calls)
				same(t, nil, w.cache.calls)
				same(t, nil, w.ceph.Calls())
			}
		})
	}
}

// TestScaleWithoutRights: a custom resource that the guard may not read is left to
// the pod endpoint; of what it must be able to read nothing is known.
func TestScaleWithoutRights(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "db.example", Resource: "shards"}, "db", errors.New("no"))
	const text = `cannot know whether what shop/db uses is in use by another cluster: read %s shop/db: shards.db.example "db" is forbidden: no` +
		"\n  do this   fix that, then retry here; nothing was changed"
	tests := map[string]struct {
		call    string
		request admission.Request
		want    answer
	}{
		"a custom resource": {"get *unstructured.Unstructured db", scaled(t, shard, "shards", 0, 1), allowed(guard.PodsUnknown)},
		"a Deployment":      {"get *v1.Deployment db", scaled(t, deploymentKind, "deployments", 0, 1), unknown(fmt.Sprintf(text, "Deployment"))},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, custom(template(usesData)), deployment("data"))
			w.api.fail = map[string]error{test.call: forbidden}
			same(t, test.want, w.ask("scale", test.request))
		})
	}
}

// TestManyVolumes looks at all of a large StatefulSet's volumes, each once.
func TestManyVolumes(t *testing.T) {
	var images []string
	objects := []client.Object{statefulSet(0)}
	for i := range 100 {
		claim := fmt.Sprint("data-db-", i)
		images = append(images, "shop."+claim)
		objects = append(objects, pair(claim)...)
	}
	w := newWorld(t, images, objects...)
	same(t, allowed(guard.NoWatcher), w.ask("scale", scaled(t, statefulSetKind, "statefulsets", 70, 100)))
	asked := map[cephtest.Call]int{}
	for _, call := range w.ceph.Calls() {
		asked[call]++
	}
	same(t, 3*30, len(asked)) // the image, its record, its watchers
	for call, n := range asked {
		if n != 1 {
			t.Errorf("%v: %d times", call, n)
		}
	}
}
