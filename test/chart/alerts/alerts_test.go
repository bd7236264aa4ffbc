package alerts

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAlerts: each alert has a case in which it fires, one moment before, and one in which all is
// well.
func TestAlerts(t *testing.T) {
	const (
		leads = `cephferry_leader{instance="a"} 1+0x2000
cephferry_leader{instance="b"} 0+0x2000
`
		min = time.Minute
	)
	cases := map[string][]struct {
		series string
		at     time.Duration
		want   []string
	}{
		"CephferryDown": {
			{"other 1+0x20\n", 4 * min, nil},
			{"other 1+0x20\n", 5 * min, []string{"No pod of cephferry's webhook is scraped."}},
			{leads, 20 * min, nil},
		},
		"CephferryNoLeader": {
			{leads, 20 * min, nil},
			{"cephferry_leader 0+0x20\n", 4 * min, nil},
			{"cephferry_leader 0+0x20\n", 5 * min, []string{"No replica of cephferry's webhook is the leader."}},
		},
		"CephferryCephDown": {
			{leads + `cephferry_ceph_up{instance="a", cluster_id="near"} 1 1 0+0x20
cephferry_ceph_up{instance="a", cluster_id="far"} 1+0x20
`, 3 * min, nil},
			{leads + `cephferry_ceph_up{instance="a", cluster_id="near"} 1 1 0+0x20
cephferry_ceph_up{instance="a", cluster_id="far"} 1+0x20
`, 4 * min, []string{"Ceph does not answer cephferry (clusterID near)."}},
			// Who is not the leader has not asked since.
			{leads + `cephferry_ceph_up{instance="a", cluster_id="near"} 1+0x20
cephferry_ceph_up{instance="b", cluster_id="near"} 0+0x20
`, 20 * min, nil},
		},
		"CephferryAnswersUnknown": {
			{`cephferry_decisions_total{endpoint="pod", result="denied", reason="owned-elsewhere"} 0+1x30
cephferry_decisions_total{endpoint="pod", result="unknown", reason="malformed"} 0+1x30
`, 30 * min, nil},
			{`cephferry_decisions_total{endpoint="pod", result="unknown", reason="ceph-unknown"} 0+1x30
`, 20 * min, []string{"cephferry refuses because it cannot know (pod, ceph-unknown)."}},
			{`cephferry_decisions_total{endpoint="pod", result="unknown", reason="ceph-unknown"} 7+0x30
`, 20 * min, nil},
		},
		"CephferryUsedHereOwnedElsewhere": {
			{`cephferry_volumes_owned_elsewhere{instance="a"} 0 2+0x9
cephferry_volumes_owned_elsewhere{instance="b"} 0+0x9
`, 1 * min, nil},
			{`cephferry_volumes_owned_elsewhere{instance="a"} 0 2+0x9
cephferry_volumes_owned_elsewhere{instance="b"} 0+0x9
`, 2 * min, []string{"Volumes that this cluster uses and another cluster owns: 2"}},
		},
		"CephferryVolumesUnknown": {
			{`cephferry_volumes{state="unknown"} 3+0x30
cephferry_volumes{state="held", owner="east"} 9+0x30
`, 10 * min, []string{"Volumes whose records cannot be read: 3"}},
			{`cephferry_volumes{state="held", owner="east"} 9+0x30
`, 30 * min, nil},
		},
		"CephferryTakeoverUnfinished": {
			{`cephferry_volumes{state="fencing", owner="east"} 1+0x14 _x10
`, 24 * min, nil},
			{`cephferry_volumes{state="fencing", owner="east"} 1+0x30
`, 15 * min, []string{"Volumes whose failover was begun and is not finished: 1"}},
		},
		"CephferryFencedNodes": {
			{"cephferry_fenced_nodes 2+0x1500\n", 1439 * min, nil},
			{"cephferry_fenced_nodes 2+0x1500\n", 1440 * min, []string{"Machines that are cut off from Ceph since a failover: 2"}},
		},
		"CephferryRegistrationOld": {
			{`cephferry_registration_written_seconds{instance="a", cluster_id="rook-ceph", pool="p"} 0+60x30
`, 30 * min, nil},
			{`cephferry_registration_written_seconds{instance="a", cluster_id="rook-ceph", pool="p"} 0+0x30
`, 10 * min, nil},
			{`cephferry_registration_written_seconds{instance="a", cluster_id="rook-ceph", pool="p"} 0+0x30
`, 11 * min, []string{"This cluster does not register itself in pool p (clusterID rook-ceph)."}},
		},
		"CephferryClusterSilent": {
			{`cephferry_registration_heard_seconds{cluster="east"} 0+0x30
cephferry_registration_heard_seconds{cluster="west"} 0+60x30
`, 15 * min, nil},
			{`cephferry_registration_heard_seconds{cluster="east"} 0+0x30
cephferry_registration_heard_seconds{cluster="west"} 0+60x30
`, 16 * min, []string{"Cluster east, which shares this Ceph, has not registered itself for ten minutes."}},
		},
		"CephferryWorkloadsWait": {
			{`cephferry_refused_workloads{instance="a"} 0+0x70
cephferry_refused_workloads{instance="b"} 1+0x70
`, 59 * min, nil},
			{`cephferry_refused_workloads{instance="a"} 0+0x70
cephferry_refused_workloads{instance="b"} 1+0x70
`, 60 * min, []string{"Workloads have waited for an hour for volumes that another cluster has."}},
			{"cephferry_waiting_claims 1+0x70\n", 60 * min, []string{"Workloads have waited for an hour for volumes that another cluster has."}},
			{"cephferry_waiting_claims 0+0x70\ncephferry_refused_workloads 0+0x70\n", 70 * min, nil},
		},
		"CephferryCertificateEnds": {
			{"cephferry_certificate_expiry_seconds 604801+0x70\n", 59 * min, nil},
			{"cephferry_certificate_expiry_seconds 608400+0x70\n", 121 * min, nil}, // an hour more than a week: for an hour, nothing
			{"cephferry_certificate_expiry_seconds 86400+0x70\n", 60 * min, []string{"The webhook's serving certificate ends in 23h 0m 0s."}},
			{"cephferry_certificate_expiry_seconds 0+0x70\n", 70 * min, nil}, // there is none
		},
	}
	for _, rule := range load(t) {
		t.Run(rule.Alert, func(t *testing.T) {
			fired := false
			for _, test := range cases[rule.Alert] {
				got := fires(t, rule, test.series, test.at)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("at %s (-want +got):\n%s", test.at, diff)
				}
				fired = fired || len(test.want) > 0
			}
			if !fired || len(cases[rule.Alert]) < 2 {
				t.Error("it is not tried")
			}
			delete(cases, rule.Alert)
		})
	}
	for name := range cases {
		t.Errorf("there is no alert %s", name)
	}
}
