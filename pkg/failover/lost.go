package failover

import (
	"context"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Lost is a node of the cluster that asks, as its API server shows it.
type Lost struct {
	// Exists: there is a Node object of that name, and Node is from it. Reporting: its kubelet
	// reports, that it is ready or that it is not. Containers of one that is not write on.
	Exists, Reporting bool
	Node              ceph.Node
	// Uses: the API server shows that the node uses the volume.
	Uses bool
}

// lost is the plan for an image that is this cluster's and stays so: one node of the cluster
// is cut off from it.
//
//	the image is not this cluster's                        nothing to do
//	no boot of the node has it                             nothing to do
//	its kubelet reports                                    refused, unless the person says that it is lost
//	an address, or how it reaches Ceph, is not known       refused, unless the person names addresses
//	the fence hits another node, cluster, or Ceph          refused, unless that machine is spared
//
// The client instances are enough if each mapping is exclusive and a client of its own, and
// one was seen of each boot: a client that nobody recorded has the image's lock then, or
// cannot write. A pod without a node matters less than between clusters: where it went, the
// API server shows.
func (s Situation) lost(plan Plan) (Plan, error) {
	name := plan.Wish.Lost
	switch {
	case s.Record.State == ceph.Fencing:
		return Plan{}, refuseTaken(s.Record, plan.Wish)
	case !ownership.Owns(s.Record, plan.Wish.Cluster):
		plan.Done, plan.Why = true, "it is not this cluster's"
		return plan, nil
	}
	owner := *s.Record.Owner
	for _, holder := range owner.Nodes {
		switch {
		case holder.Name != name:
		case len(s.alive([]ceph.Node{holder})) > 0:
			plan.Nodes = append(plan.Nodes, holder)
		default:
			plan.Over = append(plan.Over, holder.BootID)
		}
	}
	if s.Lost.Uses {
		plan.Nodes = ownership.WithBoot(plan.Nodes, s.Lost.Node)
	}
	if len(plan.Nodes) == 0 {
		plan.Done, plan.Why = true, "node "+name+" does not have it"
		return plan, nil
	}
	if s.Lost.Reporting && !plan.Wish.AlthoughReporting {
		return Plan{}, refuse("delete its pods, or stop it; if it is lost all the same, say so with --although-reporting",
			"node %s of this cluster reports to its API server, and would be cut off while it works", name)
	}
	if err := errors.Join(s.mistaken(name, plan.Nodes), s.gateways(name, plan.Wish.Also)); err != nil {
		return Plan{}, err
	}
	plan.Ours, plan.From = true, owner.Party
	if plan.Because = s.inexactNode(plan.Nodes); plan.Because == "" {
		plan.Exact = true
	} else if err := s.reaches(plan); err != nil {
		return Plan{}, err
	}
	s = s.about(name, plan.Nodes)
	plan.Theirs = s.theirs(Plan{Nodes: plan.Nodes, From: plan.From, Wish: plan.Wish})
	plan.Fence = s.nodeFence(plan)
	s.coverShort(&plan)
	if err := errors.Join(s.collisions(plan.Fence, owner)...); err != nil {
		return Plan{}, err
	}
	plan.Fence = plan.Fence.withThere(s.opened())
	plan.Carried, plan.Unknown = s.carried(plan.Fence, owner)
	return plan, nil
}

// mistaken refuses a client of the boots that may be another node's: where a node has got the
// address that a lost one had, what comes from there is recorded at both.
func (s Situation) mistaken(name string, boots []ceph.Node) error {
	for _, boot := range boots {
		for _, client := range boot.Clients {
			other := ""
			for _, holder := range s.Record.Owner.Nodes {
				if holder.Name != name && slices.Contains(holder.Clients, client) {
					other = holder.Name
				}
			}
			if address, err := ceph.ParseAddress(client); err == nil && other == "" {
				if at := s.nodeAt(address); at != name {
					other = at
				}
			}
			if other != "" {
				return refuse("run rbd device list on node "+other+" to see whether the client is its own; if it is, drain that node first",
					"client %s may be that of node %s, which has the address that node %s had", client, other, name)
			}
		}
	}
	return nil
}

// gateways refuses an address that a person names and that others of this cluster come from.
func (s Situation) gateways(name string, also []string) error {
	fence := alsoFence(also)
	for _, client := range s.comeFromElsewhere(name) {
		if fence.covers(client) {
			return refuse("name an address of node "+name+" alone", "--also-fence: it cuts off client %s of this cluster, too, which is not known to be of node %s", client, name)
		}
	}
	return nil
}

// comeFromElsewhere are the clients of this cluster that are not known to be the node's alone.
func (s Situation) comeFromElsewhere(name string) []string {
	var own, others []string
	for _, holder := range s.Record.Owner.Nodes {
		if holder.Name == name {
			own = append(own, holder.Clients...)
		} else {
			others = append(others, holder.Clients...)
		}
	}
	for _, client := range s.Explained {
		address, err := ceph.ParseAddress(client)
		if !slices.Contains(own, client) && (err != nil || s.nodeAt(address) != name) {
			others = append(others, client)
		}
	}
	return others
}

// about is the situation in which the record is about these boots of the node only, and the
// node is none of this cluster's.
func (s Situation) about(name string, boots []ceph.Node) Situation {
	owner := *s.Record.Owner
	owner.Nodes, owner.Clients = boots, nil
	s.Record.Owner = &owner
	// Another machine may have got the name, and the address.
	s.Nodes = slices.DeleteFunc(slices.Clone(s.Nodes), func(n ceph.Node) bool {
		return n.Name == name && slices.ContainsFunc(boots, func(boot ceph.Node) bool { return ownership.Same(n, boot) })
	})
	s.Clusters = slices.DeleteFunc(slices.Clone(s.Clusters), func(r ceph.Registration) bool { return r.UID == owner.UID })
	s.Local, s.Explained = nil, nil
	return s
}

// inexactNode is why the client instances of the boots are not enough, or empty.
func (s Situation) inexactNode(boots []ceph.Node) string {
	unseen := slices.ContainsFunc(boots, func(n ceph.Node) bool { return len(n.Clients) == 0 })
	switch record := s.Record; {
	case !record.Exclusive:
		return "the image is not mapped exclusively, so an unrecorded client could write unseen"
	case !record.Private:
		return "its mappings are not clients of their own, so fencing them cuts off the other volumes of their node as well"
	case unseen:
		return "no client of node " + boots[0].Name + " was seen"
	}
	return ""
}

// reaches is nil if it is known from where the boots reach Ceph, or the person says so.
func (s Situation) reaches(plan Plan) error {
	if len(plan.Wish.Also) > 0 {
		return nil
	}
	do := "name the addresses from which node " + plan.Wish.Lost + " reaches Ceph with --also-fence"
	apart := s.reachesApart(*s.Record.Owner)
	for _, boot := range plan.Nodes {
		switch {
		case len(boot.IPs()) == 0:
			return refuse(do, "neither the record nor a Node object has an address of node %s", boot.Name)
		case len(boot.Clients) == 0 && apart != "":
			return refuse(do, "no client of node %s was seen, and clients of this cluster come from addresses of no node (%s)", boot.Name, apart)
		}
	}
	return nil
}

// nodeFence is what cuts the boots off.
func (s Situation) nodeFence(plan Plan) Fence {
	fence := alsoFence(plan.Wish.Also)
	for _, boot := range plan.Nodes {
		addresses := boot.IPs()
		for _, client := range boot.Clients {
			fence.Instances = append(fence.Instances, client)
			if address, err := ceph.ParseAddress(client); err == nil {
				addresses = append(addresses, address)
			}
		}
		for _, address := range addresses {
			if !plan.Exact && !slices.Contains(plan.Wish.Spare, address.Unmap()) {
				fence.Machines = append(fence.Machines, machineOf(address))
			}
		}
	}
	for _, client := range s.opened() {
		if plan.isTheirs(client.Addr) {
			fence.Instances = append(fence.Instances, client.Addr)
		}
	}
	return Fence{unique(fence.Machines), unique(fence.Instances)}
}

// beginLost is the record in which the machines stand that are about to be fenced, or a
// [*Refusal] if a boot of the node has opened the image since the plan was made.
func (p Plan) beginLost(stored ceph.Record) (ceph.Record, error) {
	const again = "run the same command again, and check whom it names"
	if stored.State != ceph.Held || !ownership.Owns(stored, p.Wish.Cluster) {
		return ceph.Record{}, refuse(again, "image %s: this cluster no longer owns it", p.Image)
	}
	for _, holder := range stored.Owner.Nodes {
		if holder.Name != p.Wish.Lost || slices.ContainsFunc(p.Record.Owner.Nodes, func(n ceph.Node) bool { return ownership.Same(n, holder) && noMoreThan(holder, n) }) {
			continue
		}
		return ceph.Record{}, refuse(again, "image %s: node %s has written to the record in the meantime: is it really lost?", p.Image, holder.Name)
	}
	return ownership.NoteFenced(stored, p.Fenced()), nil
}

// noMoreThan reports whether a boot has no address or client that the other one has not.
func noMoreThan(holder, planned ceph.Node) bool {
	more := func(now, then []string) bool {
		return slices.ContainsFunc(now, func(one string) bool { return !slices.Contains(then, one) })
	}
	return !more(holder.Addresses, planned.Addresses) && !more(holder.Clients, planned.Clients)
}

// finishLost waits until nobody whom the plan cuts off has the image open, or its lock, and
// notes that in the record.
func (t *takeover) finishLost(ctx context.Context, did func(Step)) error {
	if err := t.lookLost(ctx); err != nil {
		return err
	}
	_, err := ownership.Change(ctx, t.storage, t.image, func(stored ceph.Record) (ceph.Record, error) {
		if _, err := t.Plan.beginLost(stored); err != nil {
			return ceph.Record{}, err
		}
		return ownership.NoteNodeFenced(stored, t.Wish.Taker, t.fence.all()), nil
	})
	if err != nil {
		return err
	}
	did(NodeFenced)
	return nil
}

// lookLost is the look of [takeover.look] for one node: other nodes of the cluster may open the
// image meanwhile, and harm nobody. A client of the node that is not in the plan is not fenced: nothing
// keeps the node from booting and working, and nobody has confirmed that it is cut off again.
func (t *takeover) lookLost(ctx context.Context) error {
	var left string
	err := wait.PollUntilContextTimeout(ctx, settlePoll, settleLimit, true, func(ctx context.Context) (bool, error) {
		left = ""
		opened, err := t.storage.Watchers(ctx, t.Image)
		if err != nil {
			return false, err
		}
		if t.Record.Keyed {
			holder, err := t.storage.LockHolder(ctx, t.Image)
			if err != nil {
				return false, err
			}
			if holder != nil && !t.fence.covers(holder.Addr) {
				opened = append(opened, ceph.Watcher{Addr: holder.Addr, Client: holder.Client})
			}
		}
		for _, client := range opened {
			switch {
			case t.fence.covers(client.Addr):
				left = client.Addr
			case t.isTheirs(client.Addr):
				return false, refuse("run the same command again, and check whom it names",
					"image %s: node %s has opened the image since the plan was made (client %s): is it really lost?", t.Image, t.Wish.Lost, client.Addr)
			}
		}
		return left == "", nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil && left != "" {
		return refuse("look at `ceph osd blocklist ls` and at the image with `rbd status`, then run the same command again",
			"image %s: client %s is on the blocklist, and still has the image open %s later", t.Image, left, settleLimit)
	}
	if err != nil {
		return err
	}
	return t.checkEntries()
}
