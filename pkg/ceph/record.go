package ceph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// RecordVersion is the newest format that this version writes, of a record that has what
// came with it; of others it writes the one before, which older programs read. It also reads
// version 1, which had the size only, and version 2, which knew nodes by their names.
const RecordVersion = 4

// Record is what the project remembers of an image: how it was made, and which
// Kubernetes cluster may use it now. It is stored as one RADOS object beside the
// image, named by [RecordObject], and changed only by compare-and-swap. RBD image
// metadata would be the wrong place: setting it is not atomic, needs the exclusive
// lock, and concurrent writers abort the process inside librbd 16.2.
//
// The stored bytes are one JSON object, "version" first; the example of package
// ownership shows them. The zero value is the record of an image that nobody owns.
type Record struct {
	// Token is unique to one write: a write that timed out may have happened,
	// and only a token read back tells.
	Token string `json:"token"`
	// ClaimSize is the storage request of the PVC in bytes, fixed when the image
	// is made. Kubernetes cannot resize a static PVC, so PV and PVC keep this
	// size while the image grows.
	ClaimSize uint64 `json:"claimSize"`
	// GrowTo is the size in bytes that was asked for while the image could not
	// grow. 0: there is no such wish.
	GrowTo uint64 `json:"growTo"`
	// Exclusive says that every mapping of the image uses krbd's option exclusive.
	Exclusive bool `json:"exclusive"`
	// Keyed says that the image carries its owner's name, and Private that
	// every mapping of it is a client of its own, by krbd's option noshare. Both are fixed
	// when the image is made, as Exclusive is.
	Keyed   bool `json:"keyed,omitempty"`
	Private bool `json:"private,omitempty"`
	// Named: since it became the owner's, the image was given its name, and no other name
	// leads to it.
	Named bool `json:"named,omitempty"`
	// Renamers are the client instances with which the owner began to give the image its
	// name, and that may be at it yet: a rename that was only slow goes on where it was.
	// They are put on the blocklist before the image gets another owner.
	Renamers []string `json:"renamers,omitempty"`

	State State `json:"state"`
	// Epoch is raised whenever the image gets an owner.
	Epoch uint64 `json:"epoch"`
	// Admissions is raised whenever the owner lets a pod start. It never falls.
	Admissions uint64 `json:"admissions"`
	// Owner is the cluster that may start pods on the image; nil while it is free.
	Owner *Owner `json:"owner,omitempty"`
	// Takeover is there while the state is Fencing.
	Takeover *Takeover `json:"takeover,omitempty"`
	// Fenced are nodes that the image was taken from. Their addresses are on the
	// blocklist until it is known that they cannot write any more.
	Fenced []FencedNode `json:"fenced,omitempty"`
	// Pending are the UIDs of pods that the owner admitted and has not seen at its
	// API server yet.
	Pending []string `json:"pending,omitempty"`
	// Unbound are the UIDs of pods that the owner admitted and whose node is not
	// recorded yet. While there is one, any node of the owner may have the image mapped:
	// a pod may be bound while no webhook answers.
	Unbound []string `json:"unbound,omitempty"`
	// History are the last changes, the latest last.
	History []Change `json:"history,omitempty"`
	// SCC is how OpenShift confined the pods that had the image last; nil: it did not. With
	// it the record is one of version 4.
	SCC *SCC `json:"scc,omitempty"`

	// Revision is where the record stood when it was read: the object's RADOS
	// version. Zero means that there was no record.
	Revision uint64 `json:"-"`
}

// Party is a Kubernetes cluster.
type Party struct {
	// UID is that of the namespace kube-system, which lives as long as the cluster.
	UID string `json:"uid"`
	// Name is for people.
	Name string `json:"name"`
}

// SCC is what OpenShift's security context constraints take from annotations of a namespace:
// who its pods are, and so whose the files are that they write. Nothing is decided by it.
type SCC struct {
	// UIDRange and SupplementalGroups are first id and length, such as 1000650000/10000.
	UIDRange string `json:"uidRange,omitempty"`
	// MCS is the SELinux level, such as s0:c26,c5.
	MCS                string `json:"mcs,omitempty"`
	SupplementalGroups string `json:"supplementalGroups,omitempty"`
}

// Owner is who may use an image.
type Owner struct {
	Party
	// Namespace and Claim name the PVC in that cluster.
	Namespace string `json:"namespace"`
	Claim     string `json:"claim"`
	// Since and the other times of a record are for people, in whole seconds of UTC.
	// Nothing is decided by them, because no two machines' clocks agree.
	Since time.Time `json:"since"`
	// Nodes are the holders: boots of nodes that have or may have the image mapped. One
	// goes when it is proven that it has let go, or that its boot is over.
	Nodes []Node `json:"nodes,omitempty"`
	// Clients have the image open, from an address of none of the nodes, as behind NAT
	// or on a storage network.
	Clients []string `json:"clients,omitempty"`
}

// Instances are all client instances of the owner that were seen, as [Watcher.Addr],
// sorted: a fence names them.
func (o Owner) Instances() []string {
	all := slices.Clone(o.Clients)
	for _, node := range o.Nodes {
		all = append(all, node.Clients...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Node is one boot of a node of a Kubernetes cluster: a machine, from when its kernel
// starts until it ends. The Node object tells all of it but the clients.
type Node struct {
	// Name is for people, and for where nothing better is known.
	Name string `json:"name"`
	// Addresses are all that the node had during this boot.
	Addresses []string `json:"addresses,omitempty"`
	// BootID is that of the running kernel (/proc/sys/kernel/random/boot_id), empty if
	// the Node object had none.
	BootID string `json:"bootID,omitempty"`
	// UID is that of the Node object with which the boot was recorded first.
	UID string `json:"uid,omitempty"`
	// MachineID (/etc/machine-id) and SystemUUID (SMBIOS) stay the same over boots, and
	// under another name. Virtual machines that are made from one template often share
	// the first, so both count together.
	MachineID  string `json:"machineID,omitempty"`
	SystemUUID string `json:"systemUUID,omitempty"`
	// Clients are the client instances, as [Watcher.Addr], that have opened the image
	// from one of the addresses during this boot.
	Clients []string `json:"clients,omitempty"`
}

// FencedNode is a node that was fenced as a whole.
type FencedNode struct {
	// Cluster is the Kubernetes cluster that the node belongs to.
	Cluster Party `json:"cluster"`
	// Node is as it was when the image was taken. Without a name it stands for the
	// addresses that a person named.
	Node Node `json:"node"`
}

// Takeover is a person's decision to take an image from its owner.
type Takeover struct {
	// Party takes the image over.
	Party
	// By is the person.
	By    string    `json:"by"`
	Since time.Time `json:"since"`
}

// Change is one line of a record's history.
type Change struct {
	At    time.Time `json:"at"`
	Event Event     `json:"event"`
	// Party is the cluster that did it.
	Party
	// By is the person who did it, if it was one.
	By string `json:"by,omitempty"`
	// From is the cluster that the image is taken from.
	From *Party `json:"from,omitempty"`
	// Fenced are the client instances that were put on the blocklist.
	Fenced []string `json:"fenced,omitempty"`
}

// Event is what happened to an image's owner.
type Event string

// The events.
const (
	Acquired     Event = "acquired"
	Released     Event = "released"
	FenceBegun   Event = "fence-begun"
	FenceDropped Event = "fence-dropped"
	TakenOver    Event = "taken-over"
	// NodeFenced: a node of the owner was cut off for good, and the image stays the owner's.
	NodeFenced Event = "node-fenced"
)

// RecordStore reads and swaps records.
type RecordStore interface {
	// Record returns the image's record, ErrRecordNotFound when there is none,
	// and ErrRecordUnknown when it has another format.
	Record(ctx context.Context, image Image) (Record, error)
	// PutRecord stores record if the stored one still is at record.Revision, and
	// returns it with its new Token and Revision. Otherwise it changes nothing
	// and returns ErrRecordChanged. The caller's Token is ignored.
	PutRecord(ctx context.Context, image Image, record Record) (Record, error)
}

// RecordObject is the name of the RADOS object that holds the record of the
// image with that ID, in the image's pool and rados namespace.
func RecordObject(imageID string) string { return "cephferry." + imageID }

// storedRecord is the JSON form.
type storedRecord struct {
	Version int `json:"version"`
	Record
}

// Encode returns the bytes to store.
func (r Record) Encode() []byte { return storedRecord{r.version(), r}.encode() }

// version is the oldest format that says all of the record.
func (r Record) version() int {
	if r.SCC != nil {
		return 4
	}
	return 3
}

func (s storedRecord) encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers, strings and times always marshal
	}
	return data
}

// DecodeRecord parses stored bytes; Revision stays zero. Anything but exactly
// what Encode writes is ErrRecordUnknown: writing back a record of which a part was
// not understood would drop that part, and half an owner is none.
func DecodeRecord(data []byte) (Record, error) {
	stored, ok := decodeWritten(data)
	if !ok {
		return decodeOther(data)
	}
	if err := stored.check(); err != nil {
		return Record{}, unknownRecord("%w", err)
	}
	if stored.Version > 2 && stored.Version != stored.version() {
		return Record{}, unknownRecord("version %d with what makes version %d", stored.Version, stored.version())
	}
	if stored.Version == 2 {
		if stored.hasVersion3() {
			return Record{}, unknownRecord("version 2 with fields of a later one")
		}
		// It did not say which pods had no node. Those that were not seen may have any.
		stored.Unbound = slices.Clone(stored.Pending)
	}
	return stored.Record, nil
}

// decodeWritten reads at once what Encode writes, and reports whether data is that. What it
// passes over, such as a field that it does not know, is not among what it would write.
func decodeWritten(data []byte) (storedRecord, bool) {
	var stored storedRecord
	err := json.Unmarshal(data, &stored)
	ok := err == nil && stored.Version >= 2 && stored.Version <= RecordVersion && bytes.Equal(stored.encode(), data)
	if !ok {
		return storedRecord{}, false
	}
	return stored, true
}

// decodeOther reads version 1, and says what is wrong with everything else.
func decodeOther(data []byte) (Record, error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Record{}, unknownRecord("%w", err)
	}
	switch version.Version {
	case 1:
		return decodeVersion1(data)
	case 2, 3, RecordVersion:
	default:
		return Record{}, unknownRecord("version %d, this program knows version %d", version.Version, RecordVersion)
	}
	if err := decodeExactly(data, &storedRecord{}); err != nil {
		return Record{}, unknownRecord("%w", err)
	}
	return Record{}, unknownRecord("not the form in which this program writes it")
}

// hasVersion3 reports whether the record has what version 2 had not.
func (r Record) hasVersion3() bool {
	nodes := make([]Node, 0, len(r.Fenced))
	for _, fenced := range r.Fenced {
		nodes = append(nodes, fenced.Node)
	}
	if r.Owner != nil {
		nodes = append(nodes, r.Owner.Nodes...)
	}
	keys := r.Keyed || r.Private || r.Named || len(r.Renamers) > 0
	return keys || r.SCC != nil || len(r.Unbound) > 0 || slices.ContainsFunc(nodes, func(n Node) bool {
		return n.UID != "" || n.MachineID != "" || n.SystemUUID != "" || len(n.Clients) > 0
	})
}

// decodeVersion1 reads {"version":1,"token":"t","claimSize":10737418240}: nobody
// owned images then.
func decodeVersion1(data []byte) (Record, error) {
	var stored struct {
		Version   int     `json:"version"`
		Token     *string `json:"token"`
		ClaimSize *uint64 `json:"claimSize"`
	}
	if err := decodeExactly(data, &stored); err != nil {
		return Record{}, unknownRecord("%w", err)
	}
	if stored.Token == nil || stored.ClaimSize == nil {
		return Record{}, unknownRecord("token or claimSize is missing")
	}
	return Record{Token: *stored.Token, ClaimSize: *stored.ClaimSize}, nil
}

// decodeExactly reads one JSON object that has no other fields than into.
func decodeExactly(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("bytes after the object")
	}
	return nil
}

func unknownRecord(format string, arguments ...any) error {
	return fmt.Errorf("decode record: %w: %w", fmt.Errorf(format, arguments...), ErrRecordUnknown)
}

// check is about what belongs together.
func (r Record) check() error {
	switch {
	case (r.State == Free) != (r.Owner == nil):
		return fmt.Errorf("state %s does not fit the owner", r.State)
	case (r.State == Fencing) != (r.Takeover != nil):
		return fmt.Errorf("state %s does not fit the takeover", r.State)
	case (r.Named || len(r.Renamers) > 0) && (r.Owner == nil || !r.Keyed):
		return fmt.Errorf("a name that is an owner's does not fit state %s, or an image without keys", r.State)
	case r.Owner != nil && r.Owner.UID == "", r.Takeover != nil && r.Takeover.UID == "":
		return fmt.Errorf("a cluster has no uid")
	}
	return nil
}
