package model

import "fmt"

// The bounds of the state. A [Config] uses as many of each as it needs.
const (
	maxClusters = 3
	maxNodes    = 3
	maxPods     = 2
	maxPersons  = 2
)

// state is everything at one moment. It is comparable, and small: millions of them
// are kept.
type state struct {
	// record is what is stored.
	record recordID
	// pods of each cluster, from the admission review to the end.
	pods    [maxClusters][maxPods]pod
	nodes   [maxNodes]node
	leaders [maxClusters]leader
	persons [maxPersons]person
	// empty: the cluster's claim has no volume yet. unnamed: there is one for it, which it does
	// not name yet; a webhook that asks by names may miss it, and no node mounts it.
	empty, unnamed [maxClusters]bool
	// lock is the node that holds the image's exclusive lock, counted from one.
	lock uint8
	keys keys
}

// pod is how far a pod has come, and the node that it goes to.
type pod struct {
	phase phase
	// node is there from bindingAdmitted on, and before for a pod that is created with
	// a node's name; counted from one.
	node uint8
	// stale: the review of a pod with a node's name has read a boot of it that is over.
	stale bool
	// before is the record before it was taken; fresh: that was free, and what was written
	// then stands there yet.
	before recordID
	fresh  bool
	// binding: what is claimed is for the binding of a pod that is stored already.
	binding bool
}

type phase uint8

const (
	noPod phase = iota
	// looked: a webhook is reviewing the pod; it has read the record and then looked at
	// the watchers. Both are one step: an admission only comes to something while
	// the record stays as it was read.
	looked
	// claimed: the record is written, and the image's name not looked at yet.
	claimed
	// named: the image has the cluster's name and no other; the watchers are not listed yet.
	named
	// taken: the record is written, and was free before; another volume of the pod may
	// be refused yet.
	taken
	// admitted: the record is written; the API server may store the pod, now or later.
	admitted
	// stored: the API server has the pod.
	stored
	// bindingAdmitted: the binding's record is written; the API server may store that.
	bindingAdmitted
	// bound: the pod is on its node.
	bound
	// unread: a webhook is reviewing the pod; it has seen no watcher, and has not read the
	// record yet.
	unread
)

// node is a node with its kubelet, ceph-csi and krbd.
type node struct {
	// forced: the kubelet runs a pod that its API server has forgotten.
	forced bool
	// attached: there is a VolumeAttachment.
	attached bool
	// inUse: the node's status.volumesInUse lists the volume.
	inUse bool
	// gone: the Node object was deleted.
	gone bool
	// anew: the node has registered again, and its kubelet has not reported volumes yet.
	anew bool
	// replaced: the Node object is that of another machine, which runs nothing here.
	replaced bool
	// stale: the node has booted, and its Node object shows the boot before.
	stale bool
	// used: a pod was bound to the node at some time, as an old copy of etcd has it.
	used bool

	mount mount
	watch watch
	// instance and address are blocklist entries, of the client instance that has
	// the image mapped now, and of the node's address.
	instance, address entry
	// moved: the client that has the image mapped, or whose watch has not expired, came
	// from the address that the node had before; former is the entry of that address.
	moved  bool
	former entry
	// readdressed: its address changed without a boot. It maps nothing from the new one:
	// that would be as after a boot elsewhere.
	readdressed bool
	// confirmed is what a person has confirmed to cut off, because the cluster has lost the node.
	// harmed: a boot or a client was cut off that was not there then.
	confirmed confirmed
	harmed    bool
}

// confirmed are parts of a node's past and present.
type confirmed uint8

const (
	confirmedMachine confirmed = 1 << iota
	confirmedClient
	confirmedFormerClient
	confirmedBoot
	confirmedFormerBoot
)

func (a confirmed) has(part confirmed) bool { return a&part != 0 }

// after is what was confirmed once what is now has become what was. Of what was before that,
// nothing is left.
func (a confirmed) after(now, former confirmed) confirmed {
	if a.has(now) {
		return a&^now | former
	}
	return a &^ former
}

// mount is how far the node has come with mounting.
type mount uint8

const (
	notMounted mount = iota
	// ready: the kubelet has reported the volume in use and seen the attachment.
	ready
	// checked: ceph-csi has seen no watcher, and maps next.
	checked
	// resolved: krbd knows which image the name leads to, and will open it by its id.
	resolved
	mapped
)

// watch is the node's watch of the image's header.
type watch uint8

const (
	noWatch watch = iota
	registered
	// expired: the client was silent for 30 seconds; it lives, and registers again.
	expired
	// lost: the client was on the blocklist. It never registers again, not even
	// when the entry has ended and it writes.
	lost
)

// entry is an entry on the blocklist. What is added takes effect when the OSDs have
// the new map.
type entry uint8

const (
	noEntry entry = iota
	// hour: an entry of Ceph's default duration.
	hourAdded
	hour
	yearsAdded
	years
)

func (e entry) effective() bool { return e == hour || e == years }

// added is the entry after adding one that lasts for years, or ends.
func (e entry) added(lasting bool) entry {
	switch {
	case lasting && e == hour:
		return years
	case lasting && e != years:
		return yearsAdded
	case e == noEntry:
		return hourAdded
	}
	return e
}

// propagated is the entry once the OSDs have it.
func (e entry) propagated() entry {
	switch e {
	case hourAdded:
		return hour
	case yearsAdded:
		return years
	}
	return e
}

// leader is a cluster's reconciler.
type leader struct {
	// proof is how many parts of a release's proof there are, about the record as it
	// is, see [Model.order].
	proof uint8
	quiet quiet
	cache cached
}

// quiet is the leader's waiting for admissions that do not change.
type quiet uint8

const (
	notWaiting quiet = iota
	waiting
	waited
)

// person is how far a person has come with a failover, and which nodes the plan puts
// on the blocklist, as bits: by their address, and by their client instance.
type person struct {
	phase step
	// machines has former addresses too, earlier bits higher.
	machines, instances uint8
}

type step uint8

const (
	nobody step = iota
	// begun: the record says so, and holders are being put on the blocklist.
	begun
	// sawNobody: without [Rule8Look], nobody watched before the rename.
	sawNobody
	// renamed: the holders are on the blocklist, and the image has the new owner's name and
	// no other.
	renamed
	// verified: every holder is on the blocklist, the OSDs have the map, an operation
	// of our own has passed, and nobody watches.
	verified
)

// canWrite: the node has the image mapped and Ceph would take its writes, now or
// when they arrive. Being cut off changes nothing: writes wait.
func (n node) canWrite() bool { return n.mount == mapped && !n.fenced() }

// fenced: an entry covers the client that has the image mapped.
func (n node) fenced() bool {
	return n.instance.effective() || !n.moved && n.address.effective() || n.moved && n.former.effective()
}

// name is what a node is called: e1, e2, w1.
func (m *Model) name(n int) string { return m.labels[n] }

func nodeName(nodes []int, n int) string {
	number := 1
	for _, other := range nodes[:n] {
		if other == nodes[n] {
			number++
		}
	}
	return fmt.Sprintf("%c%d", clusterNames[nodes[n]][0], number)
}

var clusterNames = [maxClusters]string{"east", "west", "north"}
