package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Sight is what the cluster of a fenced node says about it now.
type Sight struct {
	// Cluster is the one that was asked.
	Cluster ceph.Party
	// Exists: there is a Node object of the same machine, or else of that name. Node is
	// from it.
	Exists bool
	Node   ceph.Node
	// Uses are the pods that are bound to the node, the VolumeAttachments there and
	// what kubelet has in status.volumesInUse, as "pod shop/db-0", whose volume that
	// cluster does not own. kubelet would mount it as soon as it can: no admission is
	// asked about a pod that is there already. And a boot between the last writing of
	// the record and the fence may have it mapped.
	Uses []string
}

// MayLift says whether the fence of a node may be lifted, or refuses.
//
//	the cluster that was asked is another one          refused, unless it has the machine
//	its boot was not recorded, or the Node is gone     refused
//	it is still the boot that was fenced               refused
//	the Node is not known to be the same machine       refused
//	kubelet would mount what the cluster does not own  refused
//	otherwise                                          its old mappings are gone
func MayLift(fenced ceph.FencedNode, sight Sight) error {
	node, cluster := fenced.Node, "cluster "+fenced.Cluster.Name
	const word = "if you know that every machine that had the address has been switched off since, confirm that with --without-proof"
	switch {
	case node.Name == "":
		return refuse(word, "%s was fenced by its address only, and no Node object can show that it rebooted", strings.Join(node.Addresses, ", "))
	case sight.Cluster.UID != fenced.Cluster.UID && !ownership.IsOver(node, sight.Node):
		return refuse("run this command with --context for "+cluster, "node %s belongs to %s, and this is another cluster", node.Name, cluster)
	case !sight.Exists:
		return refuse(word, "%s no longer has a Node %s to show that it rebooted", cluster, node.Name)
	case node.BootID == "" || sight.Node.BootID == "":
		return refuse(word, "status.nodeInfo.bootID of node %s was not known when it was fenced, or is not known now", node.Name)
	case sight.Node.BootID == node.BootID:
		return refuse("reboot the node, then run the same command again",
			"node %s has not rebooted since it was fenced (bootID %s): what is mapped there would write again", node.Name, node.BootID)
	case !ownership.IsOver(node, sight.Node):
		return refuse(word, "nothing proves that the current Node %s is the machine that was fenced (machineID and systemUUID then %s, now %s)", node.Name, machine(node), machine(sight.Node))
	case len(sight.Uses) > 0:
		return refuse("delete these in "+cluster+", then run the same command again",
			"node %s would mount volumes that %s does not own, for %s", node.Name, cluster, strings.Join(sight.Uses, ", "))
	}
	return nil
}

func machine(node ceph.Node) string {
	if node.MachineID == "" {
		return "not known"
	}
	return node.MachineID + " " + node.SystemUUID
}

// Fenced is a node that is fenced as a whole, and the images that say so.
type Fenced struct {
	ceph.FencedNode
	Images []ceph.ImageSpec
}

// Find returns the fenced nodes that have one of these names or addresses, out of
// the records, or refuses when one is not there.
func Find(records []ceph.RecordOf, names []string) ([]Fenced, error) {
	var all []Fenced
	known := map[string]bool{}
	for _, of := range records {
		for _, node := range of.Record.Fenced {
			matches := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
				return name != node.Node.Name && !slices.Contains(node.Node.Addresses, name)
			})
			if len(matches) == 0 {
				continue
			}
			for _, name := range matches {
				known[name] = true
			}
			if i := slices.IndexFunc(all, func(f Fenced) bool { return same(f.FencedNode, node) }); i >= 0 {
				all[i].Images = append(all[i].Images, of.Image)
			} else {
				all = append(all, Fenced{node, []ceph.ImageSpec{of.Image}})
			}
		}
	}
	var unknown []error
	for _, name := range names {
		if !known[name] {
			unknown = append(unknown, refuse("if it is in `ceph osd blocklist ls` all the same, find out who put it there",
				"no record says that %s is fenced", name))
		}
	}
	return all, errors.Join(unknown...)
}

func same(a, b ceph.FencedNode) bool {
	return a.Cluster == b.Cluster && a.Node.Name == b.Node.Name && a.Node.BootID == b.Node.BootID &&
		slices.Equal(a.Node.Addresses, b.Node.Addresses)
}

// Lift takes nodes off the blocklist that may be lifted, and out of the records. The
// entries of client instances stay: none of them comes back. It refuses when another
// node that is fenced, or that somebody is fencing now, has one of the addresses.
// Killed at any point, it can be called again.
func Lift(ctx context.Context, storage Ceph, spaces []Space, nodes []Fenced) error {
	records, err := Records(ctx, storage, spaces)
	if err != nil {
		return err
	}
	var lifted []ceph.FencedNode
	var machines []string
	for _, node := range nodes {
		lifted = append(lifted, node.FencedNode)
		for _, address := range node.Node.IPs() {
			machines = append(machines, machineOf(address))
		}
	}
	machines = unique(machines)
	if err := needed(records, lifted, machines); err != nil {
		return err
	}
	if err := storage.Unblocklist(ctx, machines); err != nil {
		return err
	}
	// A failover that was begun meanwhile may have found the entries, and counts on
	// them.
	if records, err = Records(ctx, storage, spaces); err == nil {
		err = needed(records, lifted, machines)
	}
	if err != nil {
		return errors.Join(err, storage.Blocklist(context.WithoutCancel(ctx), machines, ceph.MaxFence))
	}
	for _, of := range records {
		if len(ownership.NoteLifted(of.Record, lifted).Fenced) == len(of.Record.Fenced) {
			continue
		}
		image, err := storage.Image(ctx, of.Image)
		if err != nil {
			return err
		}
		if _, err := ownership.Change(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
			return ownership.NoteLifted(stored, lifted), nil
		}); err != nil {
			return fmt.Errorf("take the nodes out of the record of image %s: %w", of.Image, err)
		}
	}
	return nil
}

// needed refuses when a record wants one of the machines fenced, other than for what
// is lifted, or cannot be read.
func needed(records []ceph.RecordOf, lifted []ceph.FencedNode, machines []string) error {
	var all []error
	at := func(node ceph.Node) (string, bool) {
		for _, address := range node.IPs() {
			if slices.Contains(machines, machineOf(address)) {
				return address.String(), true
			}
		}
		return "", false
	}
	for _, of := range records {
		if of.Err != nil {
			all = append(all, refuse("use the version of cephferry that wrote it, or a later one",
				"the record of image %s cannot be read, so nobody can say whether the fence is needed for it", of.Image))
			continue
		}
		for _, fenced := range of.Record.Fenced {
			address, hit := at(fenced.Node)
			if hit && !slices.ContainsFunc(lifted, func(n ceph.FencedNode) bool { return same(n, fenced) }) {
				all = append(all, refuse("name that one too, or leave this one fenced",
					"%s is fenced for node %q of cluster %s, too, from which image %s was taken", address, fenced.Node.Name, fenced.Cluster.Name, of.Image))
			}
		}
		if of.Record.State != ceph.Fencing {
			continue
		}
		for _, node := range of.Record.Owner.Nodes {
			if address, hit := at(node); hit {
				all = append(all, refuse("wait until that has ended",
					"%s is being fenced now: %s takes image %s from cluster %s", address, of.Record.Takeover.By, of.Image, of.Record.Owner.Name))
			}
		}
	}
	return errors.Join(all...)
}
