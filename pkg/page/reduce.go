package page

import (
	"slices"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// transform is the function for a cache's informer, which also gives it what tells of an
// object that it has missed.
func transform[T any](reduce func(*T)) func(any) (any, error) {
	return func(object any) (any, error) {
		if typed, ok := object.(*T); ok {
			reduce(typed)
		}
		return object, nil
	}
}

// reduceVolume keeps what the table shows. The rest is read when somebody opens the volume.
func reduceVolume(v *v1alpha1.MigratableVolume) {
	v.ObjectMeta = identity(v.ObjectMeta)
	if owner := v.Status.Owner; owner != nil {
		owner.Name, owner.UID, owner.Namespace = one(owner.Name), one(owner.UID), one(owner.Namespace)
		for i := range owner.Nodes {
			owner.Nodes[i] = one(owner.Nodes[i])
		}
	}
	if history := v.Status.History; len(history) > 0 {
		last := history[len(history)-1]
		last.Event, last.Cluster, last.From = one(last.Event), one(last.Cluster), one(last.From)
		v.Status.History = []v1alpha1.VolumeChange{last}
	}
	v.Status.Conditions = slices.Clip(slices.DeleteFunc(v.Status.Conditions, func(c metav1.Condition) bool {
		return !notable(c)
	}))
}

// notable reports whether a condition of a volume is one that somebody may have to act on.
func notable(c metav1.Condition) bool {
	switch c.Type {
	case v1alpha1.ConditionWaiting, v1alpha1.ConditionOwnedElsewhere:
		return c.Status == metav1.ConditionTrue
	case v1alpha1.ConditionKnown:
		return c.Status == metav1.ConditionFalse
	}
	return false
}

func reduceCluster(c *v1alpha1.FerryCluster) {
	c.ObjectMeta = identity(c.ObjectMeta)
	c.Status.Nodes = nil
}

// reduceTakeover drops the plan, which names every machine and every image.
func reduceTakeover(t *v1alpha1.Takeover) {
	t.ObjectMeta = identity(t.ObjectMeta)
	t.Status.Plan, t.Status.Volumes, t.Spec.Claims = nil, nil, nil
}

// identity keeps who the object is, and how old.
func identity(from metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: from.Name, Namespace: one(from.Namespace), UID: from.UID,
		ResourceVersion: from.ResourceVersion, CreationTimestamp: from.CreationTimestamp,
	}
}

// one is an equal text that is in memory once.
func one(text string) string { return unique.Make(text).Value() }
