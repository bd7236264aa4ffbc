package ownership

import (
	"regexp"
	"strings"
	"sync"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// The annotations by which OpenShift confines the pods of a namespace. It gives each new
// namespace others, unless they are there already.
const (
	uidRange           = "openshift.io/sa.scc.uid-range"
	mcs                = "openshift.io/sa.scc.mcs"
	supplementalGroups = "openshift.io/sa.scc.supplemental-groups"
)

// ranged and labelled are what OpenShift writes. People of other clusters get the values in a
// command, so nothing else is taken into a record or out of it.
var (
	ranged   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]+[/-][0-9]+(,[0-9]+[/-][0-9]+)*$`) })
	labelled = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^s[0-9]+(:c[0-9]+([.,]c[0-9]+)*)?$`) })
)

func onlyIf(form *regexp.Regexp, value string) string {
	if form.MatchString(value) {
		return value
	}
	return ""
}

// SCCOf is how OpenShift confines the pods of a namespace with these annotations; nil
// elsewhere.
func SCCOf(annotations map[string]string) *ceph.SCC {
	scc := plain(ceph.SCC{UIDRange: annotations[uidRange], MCS: annotations[mcs], SupplementalGroups: annotations[supplementalGroups]})
	if scc == (ceph.SCC{}) {
		return nil
	}
	return &scc
}

func plain(scc ceph.SCC) ceph.SCC {
	return ceph.SCC{
		UIDRange: onlyIf(ranged(), scc.UIDRange), MCS: onlyIf(labelled(), scc.MCS), SupplementalGroups: onlyIf(ranged(), scc.SupplementalGroups),
	}
}

// OtherSCC is what to tell the people of a namespace whose pods are confined otherwise than
// those that had the image last: its files belong to other uids, and have another label. It is
// empty if they are confined alike, if OpenShift confines neither, or if nobody knows.
func OtherSCC(stored ceph.Record, namespace string, now *ceph.SCC) string {
	if stored.SCC == nil || now == nil {
		return ""
	}
	last := plain(*stored.SCC)
	var others []string
	for _, one := range []struct{ annotation, last, now string }{
		{uidRange, last.UIDRange, now.UIDRange},
		{mcs, last.MCS, now.MCS},
		{supplementalGroups, last.SupplementalGroups, now.SupplementalGroups},
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
