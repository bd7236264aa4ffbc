package model

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// recordID stands for a record in a state.
type recordID uint16

// records are all records that were ever stored, without what no decision rests on:
// tokens, times, and counts that only rise. Who holds a token of an older record has
// lost; the model notes that by setting back whoever had read the record, see
// [Model.write].
//
// The transitions are the real functions of package ownership. They are pure, so
// each question is asked once.
type records struct {
	all  []ceph.Record
	ids  map[string]recordID
	memo map[question]answer
}

type question struct {
	record recordID
	what   byte
	who    uint8
	about  uint64
}

type answer struct {
	record recordID
	// refused: the transition returned an error.
	refused bool
	// raised: the record's admissions rose.
	raised bool
	step   ownership.Step
}

func newRecords() *records {
	r := &records{ids: map[string]recordID{}, memo: map[question]answer{}}
	r.id(ceph.Record{}) // no record is recordID 0
	return r
}

// id is the number of a record.
func (r *records) id(record ceph.Record) recordID {
	record = canonical(record)
	key := fmt.Sprint(record.Revision) + string(record.Encode())
	id, known := r.ids[key]
	if !known {
		id = recordID(len(r.all))
		r.ids[key] = id
		r.all = append(r.all, record)
	}
	return id
}

// ask returns what a transition makes of a record.
func (r *records) ask(q question, transition func(ceph.Record) (ceph.Record, ownership.Step, error)) answer {
	if known, ok := r.memo[q]; ok {
		return known
	}
	stored := r.all[q.record]
	next, step, err := transition(stored)
	a := answer{record: q.record, refused: err != nil, step: step}
	if err == nil {
		a.raised = next.Admissions != stored.Admissions
		a.record = r.id(next)
	}
	r.memo[q] = a
	return a
}

// canonical is the record without tokens, times and counts, and of its history what
// [ownership.Keep] looks at.
func canonical(record ceph.Record) ceph.Record {
	record.Token, record.Epoch, record.Admissions = "", 0, 0
	record.Revision = min(record.Revision, 1)
	record.Fenced = nil // is asked about by hand only
	if record.State != ceph.Free || len(record.History) > 0 {
		record.Revision = 1 // as it will be when it is written
	}
	if record.Owner != nil {
		owner := *record.Owner
		owner.Since = time.Time{}
		owner.Nodes = oncePerBoot(owner.Nodes)
		for i := range owner.Nodes {
			owner.Nodes[i].Addresses, owner.Nodes[i].Clients = set(owner.Nodes[i].Addresses), set(owner.Nodes[i].Clients)
		}
		owner.Clients = set(owner.Clients)
		record.Owner = &owner
	}
	if record.Takeover != nil {
		takeover := *record.Takeover
		takeover.Since = time.Time{}
		record.Takeover = &takeover
	}
	record.Pending, record.Unbound = set(record.Pending), set(record.Unbound)
	record.History = lastWords(record.History)
	return record
}

// oncePerBoot is the nodes, of which those that are the same boot by now are one.
func oncePerBoot(nodes []ceph.Node) []ceph.Node {
	var once []ceph.Node
	for _, node := range nodes {
		i := slices.IndexFunc(once, func(n ceph.Node) bool { return n.BootID == node.BootID })
		if i < 0 {
			once = append(once, node)
			continue
		}
		once[i].Addresses = slices.Concat(once[i].Addresses, node.Addresses)
		once[i].Clients = slices.Concat(once[i].Clients, node.Clients)
	}
	slices.SortFunc(once, func(a, b ceph.Node) int { return strings.Compare(a.BootID, b.BootID) })
	return once
}

// set is each of the names once, sorted.
func set(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// lastWords are the changes by which clusters lost the image and have not had it since.
func lastWords(history []ceph.Change) []ceph.Change {
	had := map[string]bool{}
	var kept []ceph.Change
	for _, change := range slices.Backward(history) {
		if change.Event == ceph.TakenOver && !had[change.From.UID] {
			kept = append(kept, ceph.Change{Event: change.Event, From: change.From})
			had[change.From.UID] = true
		}
		if change.Event == ceph.Acquired {
			had[change.UID] = true
		}
	}
	slices.SortFunc(kept, func(a, b ceph.Change) int { return strings.Compare(a.From.UID, b.From.UID) })
	return kept
}

// rename replaces names of client instances, addresses, boots and pods wherever the record
// has them.
func (r *records) rename(id recordID, what byte, who int, names func() map[string]string) recordID {
	return r.ask(question{record: id, what: what, who: uint8(who)}, func(record ceph.Record) (ceph.Record, ownership.Step, error) {
		to := names()
		replace := func(names []string) []string {
			names = slices.Clone(names)
			for i, name := range names {
				if other, ok := to[name]; ok {
					names[i] = other
				}
			}
			return names
		}
		record.Pending, record.Unbound = replace(record.Pending), replace(record.Unbound)
		if record.Owner != nil {
			owner := *record.Owner
			owner.Clients = replace(owner.Clients)
			owner.Nodes = slices.Clone(owner.Nodes)
			for i := range owner.Nodes {
				owner.Nodes[i].BootID = replace([]string{owner.Nodes[i].BootID})[0]
				owner.Nodes[i].Addresses, owner.Nodes[i].Clients = replace(owner.Nodes[i].Addresses), replace(owner.Nodes[i].Clients)
			}
			record.Owner = &owner
		}
		return record, "", nil
	}).record
}
