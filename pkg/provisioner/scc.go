package provisioner

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/provision"
)

// otherSCC is what to tell the claim's people about how OpenShift confines their pods; empty if
// there is nothing to say, or not known.
func (c *Claims) otherSCC(ctx context.Context, claim *corev1.PersistentVolumeClaim, made provision.Result) string {
	var namespace corev1.Namespace
	if made.SCC == nil || c.Client.Get(ctx, client.ObjectKey{Name: claim.Namespace}, &namespace) != nil {
		return ""
	}
	return ownership.OtherSCC(ceph.Record{SCC: made.SCC}, claim.Namespace, ownership.SCCOf(namespace.Annotations))
}
