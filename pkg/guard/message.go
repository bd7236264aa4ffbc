package guard

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// refusal is the text of a refused volume, the same at every endpoint. When another
// cluster is the owner:
//
//	volume shop/data-db-0 (image replicapool/shop.data-db-0) is in use by another cluster
//	  held by         cluster east, node e1 (10.0.1.12, client.4153), claim shop/data-db-0, since 2026-11-22 14:03 UTC
//	  if it lives     scale the workload of claim shop/data-db-0 down in east, then retry here; nothing was changed
//	  if it is dead   kubectl cephferry failover shop/data-db-0
//	  pod there       shop/db-0 on node e1
//
// The last line is what that cluster tells, and further ones are what it misses for a release, if
// anything, see tellsOf. If it needs the image no more, nobody is to scale anything down.
//
// And when nobody is, or this cluster is, but watchers speak against it:
//
//	volume shop/data-db-0 (image replicapool/shop.data-db-0) is in use by another cluster
//	  held by   10.0.1.12 (client.4153), not a node of west
//	  do this   scale the workload down in that cluster, then retry here; nothing was changed
func (g *Guard) refusal(volume volumes.Volume, image ceph.ImageSpec, foreign []Foreign, record ceph.Record, tells told) string {
	self := g.Self
	what, claim, owner := describe(volume, image), volume.Namespace+"/"+volume.Claim, record.Owner
	switch {
	case record.State == ceph.Fencing:
		takeover := record.Takeover
		text := []string{fmt.Sprintf("%s is being taken from cluster %s", what, owner.Name)}
		for _, holder := range append(ownerLines(foreign, owner), watcherLines(self, foreign, owner)...) {
			text = append(text, "  held by    "+holder)
		}
		return strings.Join(append(text,
			fmt.Sprintf("  taken by   %s, for cluster %s, since %s", takeover.By, takeover.Name, minute(takeover.Since)),
			fmt.Sprintf("  do this    finish the failover in %s with kubectl cephferry failover %s, then retry here; nothing was changed", takeover.Name, claim),
		), "\n")
	case owner != nil && !ownership.Owns(record, self):
		text := []string{what + " is in use by another cluster"}
		for _, holder := range append(ownerLines(foreign, owner), watcherLines(self, foreign, owner)...) {
			text = append(text, "  held by         "+holder)
		}
		lives := fmt.Sprintf("scale the workload of claim %s/%s down in %s, then retry here", owner.Namespace, owner.Claim, owner.Name)
		if !isNeeded(tells.note, record) {
			lives = fmt.Sprintf("no pod of %s needs it any more, so wait until it is released", owner.Name)
		}
		text = append(text, "  if it lives     "+lives+"; nothing was changed", "  if it is dead   kubectl cephferry failover "+claim)
		return strings.Join(append(text, tellsOf(noteOf(tells.note, record), g.missing(record, tells))...), "\n")
	default:
		text := []string{what + " is in use by another cluster"}
		for _, holder := range watcherLines(self, foreign, nil) {
			text = append(text, "  held by   "+holder)
		}
		return strings.Join(append(text, endThat(foreign)...), "\n")
	}
}

// endThat is what to do about watchers that no other owner explains. What has the address of a node
// of this cluster may be another volume's there, or left behind, or behind an equal address.
func endThat(foreign []Foreign) []string {
	var lines, nodes []string
	elsewhere := false
	for _, watcher := range foreign {
		switch {
		case watcher.Node == "":
			elsewhere = true
		case !slices.Contains(nodes, watcher.Node):
			nodes = append(nodes, watcher.Node)
			lines = append(lines, fmt.Sprintf("  do this   rbd device list on node %s shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed", watcher.Node))
		}
	}
	if elsewhere || len(lines) == 0 {
		lines = append(lines, "  do this   scale the workload down in that cluster, then retry here; nothing was changed")
	}
	return lines
}

// noteOf is the note, if it is about the record.
func noteOf(note ceph.Note, record ceph.Record) ceph.Note {
	if !note.IsOf(record) {
		return ceph.Note{}
	}
	return note
}

// ownerLines are one line for each of the owner's nodes, or one for the cluster
// alone, with the clients that are on the nodes now.
func ownerLines(foreign []Foreign, owner *ceph.Owner) []string {
	rest := fmt.Sprintf(", claim %s/%s, since %s", owner.Namespace, owner.Claim, minute(owner.Since))
	var lines []string
	for _, node := range owner.Nodes {
		addresses := node.Addresses[:min(1, len(node.Addresses))]
		var clients []string
		for _, watcher := range foreign {
			if address := host(watcher.Addr); slices.Contains(node.Addresses, address) {
				addresses, clients = []string{address}, append(clients, watcher.Client)
			}
		}
		at := ""
		if known := append(slices.Clone(addresses), clients...); len(known) > 0 {
			at = " (" + strings.Join(known, ", ") + ")"
		}
		lines = append(lines, "cluster "+owner.Name+", node "+node.Name+at+rest)
	}
	if lines == nil {
		lines = []string{"cluster " + owner.Name + rest}
	}
	return lines
}

// watcherLines are the foreign watchers that are on none of the owner's nodes.
func watcherLines(self ceph.Party, foreign []Foreign, owner *ceph.Owner) []string {
	var lines []string
	for _, watcher := range foreign {
		address := host(watcher.Addr)
		if owner != nil && slices.ContainsFunc(owner.Nodes, func(n ceph.Node) bool { return slices.Contains(n.Addresses, address) }) {
			continue
		}
		why := strings.ReplaceAll(watcher.Why, "this cluster", self.Name)
		lines = append(lines, fmt.Sprintf("%s (%s), %s", address, watcher.Client, why))
	}
	return lines
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// unknown is the text for a volume about which nothing can be found out.
func unknown(what string, err error) string {
	return fmt.Sprintf("cannot know whether %s is in use by another cluster: %v\n  do this   %s; nothing was changed", what, err, advice(err))
}

// notTaken is the text for a volume whose record cannot be written.
func notTaken(self ceph.Party, what string, err error) string {
	return fmt.Sprintf("%s cannot be taken for %s: %v\n  do this   %s; no pod was started", what, self.Name, err, advice(err))
}

func advice(err error) string {
	if known := ceph.Advice(err); known != "" {
		return known
	}
	return "fix that, then retry here"
}

// unguarded is the warning for a volume on CephFS.
func unguarded(namespace string, volume volumes.Unguarded) string {
	if volume.SingleWriter {
		return fmt.Sprintf("volume %s/%s is on CephFS and for a single writer, and nothing keeps a second cluster from writing to it; it is not guarded", namespace, volume.Claim)
	}
	return fmt.Sprintf("volume %s/%s is on CephFS, which several clusters may use at once; it is not guarded", namespace, volume.Claim)
}

func describe(volume volumes.Volume, image ceph.ImageSpec) string {
	return fmt.Sprintf("volume %s/%s (image %s)", volume.Namespace, volume.Claim, image)
}

// host is the address as people look for it, without port and nonce.
func host(addr string) string {
	if address, err := ceph.ParseAddress(addr); err == nil {
		return address.String()
	}
	return addr
}
