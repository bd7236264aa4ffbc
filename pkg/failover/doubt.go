package failover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// doubt is a way in which a record leaves open who may have the image mapped.
type doubt struct {
	what string
	// told: the register may tell.
	told bool
}

// doubts are why the record alone does not say whom to fence. Nothing is "nobody" because
// nothing is written.
//
//	a pod was admitted and has no node        it may have been bound to any, while no webhook answered
//	a node has no address                      its Node object was gone
//	a node has no client, and clients of its   it reaches Ceph from an address that nobody knows,
//	cluster come from no node's address        as on a storage network. So many addresses of such
//	                                           clients as there are such nodes are taken for theirs
func (s Situation) doubts() []doubt {
	var all []doubt
	owner := *s.Record.Owner
	if n := len(s.Record.Unbound); n > 0 {
		all = append(all, doubt{fmt.Sprintf("%s admitted, and the record does not say on which node", pods(n)), true})
	}
	var unseen []string
	for _, node := range s.alive(owner.Nodes) {
		switch {
		case len(node.Addresses) == 0:
			all = append(all, doubt{fmt.Sprintf("the record has no address of node %s", node.Name), true})
		case len(node.Clients) == 0:
			unseen = append(unseen, node.Name)
		}
	}
	apart := s.reachesApart(owner)
	if apart != "" && len(unseen) > len(addresses(owner.Clients)) {
		all = append(all, doubt{fmt.Sprintf("not every client of node %s was seen, and clients of cluster %s come from addresses of no node (%s)",
			strings.Join(unseen, ", "), owner.Name, apart), false})
	}
	return all
}

// addresses are those that the clients came from, each once.
func addresses(clients []string) []string {
	var all []string
	for _, client := range clients {
		if address, err := ceph.ParseAddress(client); err == nil {
			all = append(all, address.String())
		}
	}
	return unique(all)
}

func pods(n int) string {
	if n == 1 {
		return "a pod was"
	}
	return "pods were"
}

// reachesApart is a client of the owner that came from the address of no node that a
// record of the owner names.
func (s Situation) reachesApart(owner ceph.Owner) string {
	if len(owner.Clients) > 0 {
		return owner.Clients[0]
	}
	return s.indexed().apart[owner.UID]
}

// alive are the nodes whose boot is not known to be over: a cluster that was built anew on
// the same machines has seen them boot.
func (s Situation) alive(nodes []ceph.Node) []ceph.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(node ceph.Node) bool {
		return slices.ContainsFunc(s.Nodes, func(own ceph.Node) bool { return ownership.IsOver(node, own) })
	})
}

// registered are the nodes of a cluster by the register, or those of them that the person
// names. When the register cannot settle what the record leaves open, it refuses, or leaves
// it to the person who names addresses.
func (s Situation) registered(cluster ceph.Party, names []string, open []doubt, addressed bool) ([]ceph.Node, error) {
	var whys []string
	told := true
	for _, doubt := range open {
		whys = append(whys, doubt.what)
		told = told && doubt.told
	}
	why := strings.Join(whys, "; ")
	var nodes []ceph.Node
	for _, registration := range s.Clusters {
		if registration.UID == cluster.UID {
			nodes = append(nodes, registration.Nodes...)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(nodes, func(n ceph.Node) bool { return n.Name == name }) {
			return nil, refuse("look at `kubectl cephferry clusters`", "cluster %s has registered no node %s", cluster.Name, name)
		}
	}
	var chosen []ceph.Node
	var unknown []string
	for _, node := range s.alive(nodes) {
		switch {
		case len(names) > 0 && !slices.Contains(names, node.Name):
		case len(node.Addresses) == 0:
			unknown = append(unknown, node.Name)
		default:
			node.Clients = nil
			chosen = append(chosen, node)
		}
	}
	if addressed {
		return chosen, nil
	}
	address := "name the addresses from which the nodes of cluster " + cluster.Name + " reach Ceph with --also-fence"
	switch {
	case !told:
		return nil, refuse(address, "%s", why)
	case s.unread(cluster) != nil:
		return nil, refuse("use a version that understands it, or "+address, "%s, and the register cannot tell: %v", why, s.unread(cluster))
	case len(nodes) == 0:
		return nil, refuse(address, "%s, and cluster %s has not registered its nodes", why, cluster.Name)
	case len(unknown) > 0:
		return nil, refuse(address, "%s, and cluster %s has registered no address of node %s", why, cluster.Name, strings.Join(unknown, ", "))
	}
	for _, holder := range s.alive(s.Record.Owner.Nodes) {
		if len(holder.Addresses) == 0 && !slices.ContainsFunc(nodes, func(n ceph.Node) bool { return n.Name == holder.Name }) {
			return nil, refuse(address, "%s, and cluster %s has not registered that node", why, cluster.Name)
		}
	}
	return chosen, nil
}

// unread is why a registration of the cluster cannot be read, if there is such a one.
func (s Situation) unread(cluster ceph.Party) error {
	for _, of := range s.Unread {
		if of.UID == cluster.UID {
			return of.Err
		}
	}
	return nil
}
