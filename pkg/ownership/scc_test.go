package ownership_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

func TestOtherSCC(t *testing.T) {
	east := map[string]string{"openshift.io/sa.scc.uid-range": "1000650000/10000", "openshift.io/sa.scc.mcs": "s0:c26,c5", "openshift.io/sa.scc.supplemental-groups": "1000650000/10000", "a": "b"}
	const copied = "pods of namespace shop may not be able to read the files: those that had the image last had another uid range or MCS label of OpenShift; before its pods start, run `kubectl annotate namespace shop --overwrite "
	for name, test := range map[string]struct {
		last, now map[string]string
		want      string
	}{
		"the same":             {last: east, now: east},
		"never on OpenShift":   {},
		"for the first time":   {now: east},
		"not on OpenShift now": {last: east},
		"all others": {east, map[string]string{"openshift.io/sa.scc.uid-range": "1000700000/10000", "openshift.io/sa.scc.mcs": "s0:c27,c4", "openshift.io/sa.scc.supplemental-groups": "1000700000/10000"},
			copied + "openshift.io/sa.scc.uid-range=1000650000/10000 openshift.io/sa.scc.mcs=s0:c26,c5 openshift.io/sa.scc.supplemental-groups=1000650000/10000`"},
		"another label": {east, map[string]string{"openshift.io/sa.scc.uid-range": "1000650000/10000", "openshift.io/sa.scc.mcs": "s0:c27,c4", "openshift.io/sa.scc.supplemental-groups": "1000650000/10000"},
			copied + "openshift.io/sa.scc.mcs=s0:c26,c5`"},
		"what is none of OpenShift's values": {last: map[string]string{"openshift.io/sa.scc.mcs": "s0$(id)", "openshift.io/sa.scc.uid-range": "1/2; id"}, now: east},
		"one of them is not there": {map[string]string{"openshift.io/sa.scc.mcs": "s0:c26,c5"}, map[string]string{"openshift.io/sa.scc.uid-range": "1000650000/10000"},
			copied + "openshift.io/sa.scc.mcs=s0:c26,c5`"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ownership.OtherSCC(ceph.Record{SCC: ownership.SCCOf(test.last)}, "shop", ownership.SCCOf(test.now)); got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestAcquireNotesTheSCC: what the record says is how the pods were confined that had the image
// last. A cluster without OpenShift changes nothing of it, nor does a release, nor a pod that
// does not start.
func TestAcquireNotesTheSCC(t *testing.T) {
	acquire := func(stored ceph.Record, by ceph.Party, scc *ceph.SCC) ceph.Record {
		t.Helper()
		next, err := ownership.Acquire(stored, ownership.Request{Cluster: by, Namespace: "shop", Claim: "data", SCC: scc})
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	release := func(stored ceph.Record, by ceph.Party) ceph.Record {
		t.Helper()
		next, err := ownership.Release(stored, by, "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	first, second := &ceph.SCC{MCS: "s0:c26,c5"}, &ceph.SCC{UIDRange: "1000700000/10000"}
	check := func(record ceph.Record, want *ceph.SCC) {
		t.Helper()
		if diff := cmp.Diff(want, record.SCC); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	record := acquire(ceph.Record{}, east, nil)
	check(record, nil)
	record = release(acquire(record, east, first), east)
	check(record, first)
	record = release(acquire(record, west, nil), west)
	check(record, first)
	check(ownership.Undo(acquire(record, west, second), record), first)
	check(acquire(record, west, second), second)
}
