package guard

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// scc is how OpenShift confines the pods of the namespace; nil if it does not, or if the cache
// does not know the namespace. Nothing is decided by it.
func (e *Endpoints) scc(ctx context.Context, name string) *ceph.SCC {
	var namespace corev1.Namespace
	if e.Finder.Cache.Get(ctx, client.ObjectKey{Name: name}, &namespace) != nil {
		return nil
	}
	return ownership.SCCOf(namespace.Annotations)
}

// otherSCC warns of each volume whose files were written by pods that OpenShift confined
// otherwise.
func otherSCC(sights []sight, namespace string, now *ceph.SCC) []string {
	var warnings []string
	for _, s := range sights {
		if text := ownership.OtherSCC(s.record, namespace, now); text != "" {
			warnings = append(warnings, describe(s.volume, s.spec)+": "+text)
		}
	}
	return warnings
}
