package takeover

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// wish is what the person asks for, or all mistakes in it.
func wish(spec v1alpha1.TakeoverSpec, self ceph.Party) (failover.Wish, error) {
	var mistakes field.ErrorList
	path := field.NewPath("spec")
	w := failover.Wish{
		Taker: ownership.Taker{Cluster: self, By: spec.By, Resume: spec.Resume},
		From:  spec.From, Nodes: spec.OnlyNodes,
		Lost: spec.Node, AlthoughReporting: spec.AlthoughReporting,
	}
	switch own := spec.From == self.Name; {
	case spec.Node != "" && !own:
		mistakes = append(mistakes, field.Invalid(path.Child("from"), spec.From, "node "+spec.Node+" is one of cluster "+self.Name+", where this Takeover is; to cut off a node of another cluster, create the Takeover there, or take that whole cluster's volumes here, without spec.node"))
	case spec.Node == "" && own:
		mistakes = append(mistakes, field.Invalid(path.Child("from"), spec.From, "a cluster does not take volumes from itself; create the Takeover in the cluster that takes the volumes, and name the dead one"))
	}
	for i, text := range spec.AlsoFence {
		addr, err := failover.ParseAddress(text)
		if err != nil {
			mistakes = append(mistakes, field.Invalid(path.Child("alsoFence").Index(i), text, err.Error()))
			continue
		}
		w.Also = append(w.Also, addr)
	}
	for i, text := range spec.Spare {
		address, err := netip.ParseAddr(text)
		if err != nil {
			mistakes = append(mistakes, field.Invalid(path.Child("spare").Index(i), text, err.Error()))
			continue
		}
		w.Spare = append(w.Spare, address.Unmap())
	}
	return w, mistakes.ToAggregate()
}

// refusal is an error that is a person's to mend, and not an outage.
type refusal struct{ error }

// claims are those that it is about: while it is carried out, those of the plan that was confirmed.
func (c *Controller) claims(ctx context.Context, t *v1alpha1.Takeover) ([]types.NamespacedName, error) {
	var all []types.NamespacedName
	switch {
	case vouched(t):
		for _, v := range t.Status.Volumes {
			all = append(all, types.NamespacedName{Namespace: v.Namespace, Name: v.Claim})
		}
		return all, nil
	case !t.Spec.All && (t.Spec.Node == "" || len(t.Spec.Claims) > 0):
		for _, claim := range t.Spec.Claims {
			if name := (types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}); !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		return all, nil
	}
	find, which := c.Planner.Owned, t.Spec.From
	if t.Spec.Node != "" {
		find, which = c.Planner.On, t.Spec.Node
	}
	all, err := find(ctx, which, c.Self)
	switch {
	case err != nil:
		return nil, err
	case len(all) > volumeLimit && t.Spec.Node != "":
		return nil, refusal{fmt.Errorf("node %s may have the images of %d claims, and a Takeover takes %d at most; name some with spec.claims", t.Spec.Node, len(all), volumeLimit)}
	case len(all) == 0 && t.Spec.Node != "":
		return nil, nil
	case len(all) == 0:
		return nil, refusal{fmt.Errorf("this cluster has no claim whose image cluster %s owns; look at `kubectl cephferry status -A`, and install the application here first, with 0 replicas", t.Spec.From)}
	case len(all) > volumeLimit:
		return nil, refusal{fmt.Errorf("cluster %s owns the images of %d claims, and a Takeover takes %d at most; name some with spec.claims", t.Spec.From, len(all), volumeLimit)}
	}
	return all, nil
}
