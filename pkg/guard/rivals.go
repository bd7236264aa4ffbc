package guard

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// alone refuses a node for a pod while another boot of this cluster may write to the image. It
// is about volumes for a single writer whose image, or this volume of it, is not mapped exclusively, where Ceph
// refuses no second client. Kubernetes takes the VolumeAttachment of a lost node away by force,
// after six minutes or for the taint out-of-service, and lets the next node map the image; what
// the lost one had not written yet lands when it is back. A boot is no rival any more when it
// is known to have let go, or is cut off for good, see [ownership.IsCutOff].
//
// Who asks has read the record of s, and swaps exactly that one. So what is admitted at the
// same time for another node is found.
func (g *Guard) alone(ctx context.Context, s sight, start *start) *Answer {
	rivals, err := g.rivals(ctx, s, start)
	if err != nil {
		unknown := KubernetesUnknown
		if ceph.Advice(err) != "" {
			unknown = CephUnknown // the watchers come from Ceph
		}
		answer := cannotKnow(unknown, describe(s.volume, s.spec), err)
		return &answer
	}
	if len(rivals) == 0 {
		return nil
	}
	entries, err := s.ceph.Blocklisted(ctx)
	if err == nil {
		rivals = slices.DeleteFunc(rivals, func(r ownership.Rival) bool { return ownership.IsCutOff(r.Node, entries, g.Now()) })
	}
	if err == nil && len(rivals) == 0 {
		// Once the OSDs know of the fence, no write that the rival had in flight can land.
		err = s.ceph.Barrier(ctx, s.spec)
	}
	switch {
	case err != nil:
		answer := cannotKnow(CephUnknown, describe(s.volume, s.spec), err)
		return &answer
	case len(rivals) > 0:
		return &Answer{Result: Denied, Reason: OtherNode, Message: otherNode(s, rivals)}
	}
	return nil
}

// rivals are the boots that may write besides the node where the pod goes. The API server is
// asked only if the record leaves room for one.
func (g *Guard) rivals(ctx context.Context, s sight, start *start) ([]ownership.Rival, error) {
	if len(start.nodes) == 0 || !ownership.Owns(s.record, g.Self) || s.record.Exclusive && staticpv.IsExclusive(s.volume.PV) || !claims.SingleWriter(s.volume.PV.Spec.AccessModes) {
		return nil, nil
	}
	pod := string(start.pod)
	if start.bound != "" {
		pod = string(start.bound)
	}
	elsewhere := slices.ContainsFunc(s.record.Owner.Nodes, func(holder ceph.Node) bool {
		return !slices.ContainsFunc(start.nodes, func(n ceph.Node) bool { return ownership.Same(holder, n) })
	})
	others := slices.ContainsFunc(s.record.Unbound, func(p string) bool { return p != pod })
	if !elsewhere && !others {
		return nil, nil
	}
	evidence, err := g.Usage.Seen(ctx, g.Usage.Live(), s.ceph, g.Self, s.volume, s.spec, s.record)
	if err != nil {
		return nil, err
	}
	return ownership.Rivals(s.record, pod, start.nodes, evidence.Seen), nil
}

// otherNode is the text for a pod that has to wait for what runs, or ran, on another node:
//
//	volume shop/data-db-0 (image replicapool/shop.data-db-0) may still be written by node e1 of this cluster
//	  because         node e1 has not reported that it has unmapped the volume
//	  if it lives     delete what uses the volume there; the pod is bound when it has let go
//	  if it is dead   kubectl cephferry failover --node e1
//
// A machine that was reinstalled cannot be fenced by the address that it had: it has that again.
func otherNode(s sight, rivals []ownership.Rival) string {
	var names []string
	for _, rival := range rivals {
		if !slices.Contains(names, rival.Name) {
			names = append(names, rival.Name)
		}
	}
	text := []string{fmt.Sprintf("%s may still be written by node %s of this cluster, and its mapping is not exclusive", describe(s.volume, s.spec), strings.Join(names, ", "))}
	for _, rival := range rivals {
		text = append(text, "  because         "+rival.Why)
	}
	text = append(text, "  if it lives     delete what uses the volume there; the pod is bound when that node has let go")
	fenceable := fenceable(rivals)
	for _, name := range names {
		text = append(text, "  if it is dead   "+ifDead(s.volume, rivals, fenceable, name))
	}
	return strings.Join(text, "\n")
}

// fenceable are the nodes that can be cut off by their machines, each once.
func fenceable(rivals []ownership.Rival) []string {
	var names []string
	for _, rival := range rivals {
		if rival.AddressOf == "" && !slices.Contains(names, rival.Name) {
			names = append(names, rival.Name)
		}
	}
	return names
}

// ifDead is the way out for a node that is lost. A fence of its machine that would cut off another
// one is refused by failover --node, so what is left is a person who knows that the old machine is
// off. What that person says counts for all holders, so it comes after all that can be fenced.
func ifDead(volume volumes.Volume, rivals []ownership.Rival, fenceable []string, name string) string {
	for _, rival := range rivals {
		switch {
		case rival.Name != name || rival.AddressOf == "":
		case len(fenceable) > 0:
			return fmt.Sprintf("node %s has its address now and would be fenced with it; first cut off node %s, then read this refusal again",
				rival.AddressOf, strings.Join(fenceable, ", "))
		default:
			return fmt.Sprintf("node %s has its address now and would be fenced with it; if you know that every machine which had the image is off, or was reinstalled, "+
				"scale the workload to zero, then kubectl cephferry release %s/%s --without-proof", rival.AddressOf, volume.Namespace, volume.Claim)
		}
	}
	return "kubectl cephferry failover --node " + name
}
