package ownership

import (
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// The annotations by which OpenShift confines the pods of a namespace. It gives each new
// namespace others, unless they are there already.
const (
	uidRange           = "openshift.io/sa.scc.uid-range"
	mcs                = "openshift.io/sa.scc.mcs"
	supplementalGroups = "openshift.io/sa.scc.supplemental-groups"
)

// SCCOf is how OpenShift confines the pods of a namespace with these annotations; nil
// elsewhere.
func SCCOf(annotations map[string]string) *ceph.SCC {
	scc := ceph.SCC{UIDRange: annotations[uidRange], MCS: annotations[mcs], SupplementalGroups: annotations[supplementalGroups]}
	if scc == (ceph.SCC{}) {
		return nil
	}
	return &scc
}

// OtherSCC is what to tell the people of a namespace whose pods are confined otherwise than
// those that had the image last: its files belong to other uids, and have another label. It is
// empty if they are confined alike, if OpenShift confines neither, or if nobody knows.
func OtherSCC(stored ceph.Record, namespace string, now *ceph.SCC) string {
	if stored.SCC == nil || now == nil {
		return ""
	}
	var others []string
	for _, one := range []struct{ annotation, last, now string }{
		{uidRange, stored.SCC.UIDRange, now.UIDRange},
		{mcs, stored.SCC.MCS, now.MCS},
		{supplementalGroups, stored.SCC.SupplementalGroups, now.SupplementalGroups},
	} {
		if one.last != "" && one.last != one.now {
			others = append(others, one.annotation+"="+one.last)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return "pods of namespace " + namespace + " may not be able to read the files: those that had the image last had another uid range or MCS label of OpenShift; " +
		"before its pods start, run `kubectl annotate namespace " + namespace + " --overwrite " + strings.Join(others, " ") + "`"
}
