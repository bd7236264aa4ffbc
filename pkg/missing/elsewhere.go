package missing

import (
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// elsewhere is for a cluster that waits for another one.
func elsewhere(f Facts) []ceph.Missing {
	var all []ceph.Missing
	owner := f.Record.Owner
	if !f.Leader.IsZero() && f.Now.Sub(f.Leader) >= LeaderPatience {
		all = append(all, ceph.Missing{
			Kind: LeaderGone, Subject: "FerryCluster/" + owner.Name, Since: f.Leader.UTC(),
			What: fmt.Sprintf("perhaps nobody in cluster %s releases the image, or its clock is behind this cluster's: by that clock, its webhook has written nothing", owner.Name),
			WayOut: fmt.Sprintf("check the pods of cephferry there; while none of them runs, kubectl cephferry release %s/%s in %s gives the image up",
				owner.Namespace, owner.Claim, owner.Name),
		})
	}
	if !f.Note.IsOf(f.Record) {
		return all
	}
	for _, m := range f.Note.Missing {
		m.What, m.WayOut = fmt.Sprintf("in cluster %s, %s", owner.Name, m.What), fmt.Sprintf("in %s: %s", owner.Name, m.WayOut)
		all = append(all, m)
	}
	return all
}
