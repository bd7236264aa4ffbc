package guard

import (
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// mostAudited bounds the volumes that an audit annotation names.
const mostAudited = 8

// Basis is what an answer rests on, of one volume.
type Basis struct {
	// Volume names the claim and the image.
	Volume string
	// Record is the image's record on which the decision rests, that is, before a pod has acquired
	// the image.
	Record ceph.Record
	// Known is false if the record could not be read.
	Known bool
}

// basis is what was seen of one volume.
func (s sight) basis() Basis {
	unknown := s.answer.Reason == CephUnknown
	return Basis{Volume: describe(s.volume, s.spec), Record: s.record, Known: !unknown}
}

func basesOf(sights []sight) []Basis {
	var all []Basis
	for _, s := range sights {
		all = append(all, s.basis())
	}
	return all
}

// audited are the annotations of an answer in the API server's audit log: what was decided,
// and what that rests on, a line for each volume. The API server puts the webhook's name
// before the keys.
func audited(answer Answer) map[string]string {
	all := map[string]string{"result": string(answer.Result), "reason": string(answer.Reason)}
	if len(answer.Bases) == 0 {
		return all
	}
	var volumes, owners, records []string
	for _, of := range answer.Bases[:min(mostAudited, len(answer.Bases))] {
		volumes, owners, records = append(volumes, of.Volume), append(owners, of.owner()), append(records, of.record())
	}
	if more := len(answer.Bases) - len(volumes); more > 0 {
		volumes = append(volumes, fmt.Sprintf("and %d more", more))
	}
	all["volume"], all["owner"], all["record"] = strings.Join(volumes, "\n"), strings.Join(owners, "\n"), strings.Join(records, "\n")
	if answer.Acquired > 0 {
		all["acquired"] = fmt.Sprint(answer.Acquired)
	}
	return all
}

func (b Basis) owner() string {
	switch {
	case !b.Known:
		return "unknown"
	case b.Record.Owner == nil:
		return "nobody"
	}
	return fmt.Sprintf("%s (%s)", b.Record.Owner.Name, b.Record.Owner.UID)
}

func (b Basis) record() string {
	switch {
	case !b.Known:
		return "unknown"
	case b.Record.Revision == 0:
		return "none"
	}
	return fmt.Sprintf("%s, epoch %d, revision %d", b.Record.State, b.Record.Epoch, b.Record.Revision)
}
