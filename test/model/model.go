package model

import (
	"fmt"
	"net/netip"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
)

// Config bounds what is explored. Whatever it allows may happen any number of times.
type Config struct {
	// Nodes are the clusters of the nodes: 0 is east.
	Nodes []int
	// Pods is how many pods of each cluster there are at one time.
	Pods int
	// Persons are the clusters for which people fail over.
	Persons []int
	// Mapping is how images are mapped.
	Mapping Mapping

	// Volumes: pods have a second volume, which may be refused after this one was taken.
	Volumes bool
	// Named: pods may be created with a node's name.
	Named bool
	// Force: pods and VolumeAttachments of these clusters are deleted by force.
	Force clusters
	// Delete: their Node objects are deleted.
	Delete clusters
	// Reboot: their nodes reboot, or die and come back.
	Reboot clusters
	// Steady: commands do not die, and no failover is dropped.
	Steady bool
	// NoLeaders: the leaders are dead.
	NoLeaders bool
	// Caches: the leaders of these clusters keep the records by caches that lag, too.
	Caches clusters
	// NoRelease: the leaders of these clusters keep the records true, and release nothing.
	NoRelease clusters
	// Slow: the leaders of these clusters look before a node maps the image, and so late after it
	// that a failover comes first: they record pods and nodes, and no client.
	Slow clusters
	// Unfence: people take node-wide blocklist entries away.
	Unfence bool
	// Before: east has used the image since before anything was installed, so
	// that there is no record.
	Before bool

	// Unseen: bindings pass without the webhook of these clusters, which is down.
	Unseen clusters
	// NoWebhook: these clusters have no webhook configuration any more.
	NoWebhook clusters
	// Move: their nodes boot with other addresses.
	Move clusters
	// Readdress: the addresses of their nodes change without a boot.
	Readdress clusters
	// Anew: a node that was deleted registers again before its kubelet has reported
	// the volumes that it has in use.
	Anew clusters
	// Replace: another machine registers by the name of a node that was deleted.
	Replace clusters
	// Empty: their claims have no volume at first.
	Empty clusters
	// Restore: their etcd is restored from a backup.
	Restore clusters
	// Tenants: a tenant of theirs makes a claim that names another tenant's volume.
	Tenants clusters

	// Early: a webhook may list the watchers before it reads the record. It goes on if there are
	// none.
	Early bool

	// Keys: the name of the image says which cluster may open it.
	Keys bool
	// Stray: the caller of a rename may give up waiting for it, and it lands later.
	Stray bool
	// LateMaps: a map that has resolved the image's name may take any time to open the image.
	// Otherwise it has done so, or never will, when the watchers are listed after a rename.
	LateMaps bool
	// Heard: no client falls silent.
	Heard bool

	// Single: the volume is for one writer, so that Kubernetes attaches it to one node of a
	// cluster at a time. Lost: people cut off single nodes of these clusters.
	Single bool
	Lost   clusters
	// Objects: they confirm that a node of these clusters is cut off, and the leader does so later,
	// and again when it was interrupted.
	Objects clusters

	// Coarse: nodes of these clusters look for watchers and map in one step.
	Coarse clusters
	// SameAddress: all nodes have the same address.
	SameAddress bool

	// Lasting: the blocklist entries that Ceph makes by itself do not end.
	Lasting bool
	// Silent: what was in use before there was a record may be cut off then.
	Silent bool

	// Without takes a rule away.
	Without Rule
	// Late: the API server may store a pod any time after its admission.
	Late bool
}

// clusters are some of the clusters.
type clusters [maxClusters]bool

// Mapping is how images are mapped.
type Mapping int

const (
	// NoLock: images without the feature exclusive-lock.
	NoLock Mapping = iota
	// Lock: images with the feature, mapped by default.
	Lock
	// Exclusive: mapped with krbd's option exclusive.
	Exclusive
)

// Model steps from state to state.
type Model struct {
	Config
	clusters int
	records  *records
	plans    map[question]person
	losses   map[question]failover.Plan
	// sights, verdicts, labels, clients and uids are what was asked before.
	sights   map[watching]sight
	verdicts map[asked]guard.Verdict
	labels   [maxNodes]string
	clients  [maxNodes][4]string
	uids     [maxClusters][maxPods]string
	// emit is told of each next state.
	emit func(Step, state)
}

// New is a model.
func New(config Config) *Model {
	m := &Model{Config: config, records: newRecords(), plans: map[question]person{}, losses: map[question]failover.Plan{}}
	m.sights, m.verdicts = map[watching]sight{}, map[asked]guard.Verdict{}
	for c, name := range clusterNames {
		for p := range m.uids[c] {
			m.uids[c][p] = fmt.Sprintf("%s-%d", name, p)
		}
	}
	for n, c := range config.Nodes {
		m.clusters = max(m.clusters, c+1)
		m.labels[n] = nodeName(config.Nodes, n)
		for i := range m.clients[n] {
			m.clients[n][i] = m.clientOf(n, i&1 != 0, i&2 != 0)
		}
	}
	return m
}

// initial is the state that everything begins with: an image that nobody uses.
func (m *Model) initial() state {
	var s state
	if m.Before {
		s.pods[0][0] = pod{phase: bound, node: 1}
		s.nodes[0] = node{attached: true, inUse: true, mount: mapped, watch: registered}
		if m.Mapping != NoLock {
			s.lock = 1
		}
	}
	s.empty = m.Empty
	if m.Keys {
		s.keys.names = 1 << base
	}
	return s
}

// Step is what happens between two states. Of what the numbers are depends on the
// kind.
type Step struct {
	Kind    kind
	A, B, C int8
}

// next emits every state that may come after s.
func (m *Model) next(s state, emit func(Step, state)) {
	m.emit = emit
	if m.Caches != (clusters{}) {
		m.emit = func(by Step, t state) { emit(by, m.remembered(by, t)) }
	}
	for c := range m.clusters {
		for p := range m.Pods {
			m.admission(s, c, p)
			m.apiServer(s, c, p)
			m.unasked(s, c, p)
		}
		m.volume(s, c)
		m.tenant(s, c)
		if !m.NoLeaders {
			m.leader(s, c)
		}
		m.outwait(s, c)
		m.keyed(s, c)
	}
	for n := range m.Nodes {
		m.kubelet(s, n)
		m.client(s, n)
		m.faults(s, n)
		m.lostNode(s, n)
		m.takeoverOfNode(s, n)
	}
	for who := range m.Persons {
		m.failover(s, who)
	}
}

// party is a cluster as records name it.
func party(c int) ceph.Party {
	return ceph.Party{UID: clusterNames[c], Name: clusterNames[c]}
}

// request is what a cluster asks with.
func request(c int) ownership.Request {
	return ownership.Request{Cluster: party(c), Namespace: ownersNamespace, Claim: "data"}
}

// uid is that of a pod in this place. Where a pod has ended without having been seen
// by the leader, the record goes on naming it as formerPod.
func (m *Model) uid(c, p int) string { return m.uids[c][p] }

const formerPod = "former"

// address is a node's.
func (m *Model) address(n int) netip.Addr {
	if m.SameAddress {
		return netip.AddrFrom4([4]byte{10, 0, 0, 1})
	}
	return netip.AddrFrom4([4]byte{10, 0, byte(m.Nodes[n] + 1), byte(n + 1)})
}

// formerAddress is the one that the node had before.
func (m *Model) formerAddress(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 1, byte(m.Nodes[n] + 1), byte(n + 1)})
}

// instance is the client instance that has the image mapped on a node now, or, dead,
// one that had; moved, it came from the address that the node had before.
func (m *Model) instance(n int, dead, moved bool) string {
	return m.clients[n][bit(dead)|bit(moved)<<1]
}

func (m *Model) clientOf(n int, dead, moved bool) string {
	address, number := m.address(n), 2*n+2
	if moved {
		address = m.formerAddress(n)
	}
	if dead {
		number--
	}
	return fmt.Sprintf("%s:0/%d", address, number)
}

// dies is the state once the instance that has the image mapped on a node is one
// that had it mapped, and never will again.
func (m *Model) dies(s state, n int) state {
	what, moved := byte('c'), s.nodes[n].moved
	if moved {
		what = 'm'
	}
	s.record = m.records.rename(s.record, what, n, func() map[string]string {
		return map[string]string{m.instance(n, false, moved): m.instance(n, true, moved)}
	})
	s.nodes[n].confirmed = s.nodes[n].confirmed.after(confirmedClient, confirmedFormerClient)
	for who := range m.Persons {
		s.persons[who].instances &^= 1 << n
	}
	if s.nodes[n].watch != registered {
		s.nodes[n].moved, s.nodes[n].former = false, noEntry
	}
	return s
}

func (m *Model) node(n int) ceph.Node {
	name := m.name(n)
	return ceph.Node{
		Name: name, Addresses: []string{m.address(n).String()},
		BootID: m.boot(n, false), UID: "object of " + name, MachineID: "machine of " + name,
	}
}

// boot is the boot id of a node, or that of the boot before.
func (m *Model) boot(n int, former bool) string {
	if former {
		return "former boot of " + m.name(n)
	}
	return "boot of " + m.name(n)
}

// object is a node as its Node object shows it.
func (m *Model) object(n int, stale bool, names names) ceph.Node {
	node := m.node(n)
	node.BootID = names.boot(n, stale)
	return node
}

// watchers are those of the image.
func (m *Model) watchers(s state) []ceph.Watcher {
	var all []ceph.Watcher
	for n := range m.Nodes {
		if s.nodes[n].watch == registered {
			all = append(all, ceph.Watcher{Addr: s.watching(n, m), Client: "client." + m.name(n), Cookie: 1})
		}
	}
	return all
}

// watched: there is a watcher.
func (m *Model) watched(s state) bool {
	for n := range m.Nodes {
		if s.nodes[n].watch == registered {
			return true
		}
	}
	return false
}

// names are what client instances, boots and pods are called.
type names interface {
	uid(c, p int) string
	instance(n int, dead, moved bool) string
	boot(n int, former bool) string
}

// watching is the client instance that a node's watch belongs to: the one that has
// the image mapped, or one that is dead and whose watch has not expired.
func (s state) watching(n int, names names) string {
	return names.instance(n, s.nodes[n].mount != mapped, s.nodes[n].moved)
}

// verdict is the guard's, in cluster c.
func (m *Model) verdict(s state, c int) guard.Verdict {
	key := asked{s.record, m.watching(s, c)}
	verdict, known := m.verdicts[key]
	if !known {
		verdict = m.decides(s, c)
		m.verdicts[key] = verdict
	}
	return verdict
}

// asked is all that the guard's verdict rests on.
type asked struct {
	record recordID
	watching
}

// watching is all that a cluster's account of the watchers rests on: the cluster, and what
// [Model.watchers] and [Model.local] look at of each node.
type watching struct {
	c     uint8
	nodes uint32
}

func (m *Model) watching(s state, c int) watching {
	all := watching{c: uint8(c)}
	for n := range m.Nodes {
		x := &s.nodes[n]
		all.nodes = all.nodes<<5 | uint32(bit(x.watch == registered)|bit(x.mount == mapped)<<1|bit(x.moved)<<2|bit(x.gone)<<3|bit(x.attached)<<4)
	}
	return all
}

func (m *Model) decides(s state, c int) guard.Verdict {
	var record ceph.Record
	if m.Without != Rule1 {
		record = m.records.all[s.record]
	}
	return guard.Decide(m.watchers(s), record, party(c), m.local(s, c))
}

// local is what cluster c knows of itself.
func (m *Model) local(s state, c int) usage.Local {
	local := usage.Local{Nodes: map[string][]netip.Addr{}}
	for n, owner := range m.Nodes {
		if owner != c {
			continue
		}
		if !s.nodes[n].gone {
			local.Nodes[m.name(n)] = []netip.Addr{m.address(n)}
		}
		if s.nodes[n].attached {
			local.Using = append(local.Using, m.name(n))
		}
	}
	return local
}

// write puts a new record in the place of the one that everybody has read. Whoever
// did so begins again: their swaps would fail.
func (m *Model) write(s state, a answer) state {
	s.record = a.record
	for c := range m.clusters {
		for p := range m.Pods {
			switch s.pods[c][p].phase {
			case looked:
				s.pods[c][p] = pod{}
			case taken:
				s.pods[c][p].phase, s.pods[c][p].before = admitted, 0 // cannot be undone
			case claimed, named:
				s.pods[c][p].fresh, s.pods[c][p].before = false, 0 // nor can this
			}
		}
		s.leaders[c].proof = 0
		if a.raised || !m.owns(a.record, c) {
			s.leaders[c].quiet = notWaiting
		}
	}
	for who := range m.Persons {
		if m.Without != Rule6Finish {
			s.persons[who] = person{}
		}
	}
	return s
}

// owns: the record says that the cluster may start pods.
func (m *Model) owns(id recordID, c int) bool {
	record := &m.records.all[id]
	return record.State == ceph.Held && record.Owner.UID == clusterNames[c]
}

// mayWrite: the record says that the cluster's clients may write.
func (m *Model) mayWrite(id recordID, c int) bool {
	owner := m.records.all[id].Owner
	return owner != nil && owner.UID == clusterNames[c]
}
