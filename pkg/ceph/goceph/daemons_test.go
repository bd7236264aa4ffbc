package goceph

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func TestParseDumps(t *testing.T) {
	at := func(name, addr string) ceph.Daemon { return ceph.Daemon{Name: name, Addr: netip.MustParseAddr(addr)} }
	const vec = `{"addrvec":[{"type":"v2","addr":"10.0.9.1:3300","nonce":0},{"type":"v1","addr":"10.0.9.1:6789","nonce":0}]}`
	tests := map[string]struct {
		command, answer string
		want            []ceph.Daemon
		fails           bool
	}{
		"monitors":              {"mon dump", `{"mons":[{"name":"a","public_addrs":` + vec + `}]}`, []ceph.Daemon{at("mon.a", "10.0.9.1")}, false},
		"no monitor":            {"mon dump", `{"mons":[]}`, nil, true},
		"monitors elsewhere":    {"mon dump", `{"monitors":[{"name":"a","public_addrs":` + vec + `}]}`, nil, true},
		"an OSD on two nets":    {"osd dump", `{"osds":[{"osd":3,"public_addrs":` + vec + `,"cluster_addrs":{"addrvec":[{"addr":"[fd00::3]:6800"}]}}]}`, []ceph.Daemon{at("osd.3", "10.0.9.1"), at("osd.3", "fd00::3")}, false},
		"an OSD that is down":   {"osd dump", `{"osds":[{"osd":3,"public_addrs":{"addrvec":[]},"cluster_addrs":{"addrvec":[{"addr":"0.0.0.0:0"}]}}]}`, nil, false},
		"not the blocklist":     {"osd dump", `{"osds":[],"blocklist":{"10.0.1.12:0/7":"2031-11-21T15:31:36.787000+0000"}}`, nil, false},
		"the manager":           {"mgr dump", `{"active_name":"x","active_addrs":` + vec + `,"standbys":[{"name":"y"}]}`, []ceph.Daemon{at("mgr.x", "10.0.9.1")}, false},
		"no manager":            {"mgr dump", `{"active_name":"","active_addrs":{"addrvec":[]}}`, nil, false},
		"metadata servers":      {"fs dump", `{"standbys":[{"name":"b","addrs":` + vec + `}],"filesystems":[{"mdsmap":{"info":{"gid_4":{"name":"a","addrs":{"addrvec":[{"addr":"10.0.9.2:6800"}]}}}}}]}`, []ceph.Daemon{at("mds.a", "10.0.9.2"), at("mds.b", "10.0.9.1")}, false},
		"no file system":        {"fs dump", `{"standbys":[],"filesystems":[]}`, nil, false},
		"an address of no form": {"mgr dump", `{"active_name":"x","active_addrs":{"addrvec":[{"addr":"x"}]}}`, nil, true},
		"no JSON":               {"fs dump", `e1`, nil, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, dump := range dumps {
				if dump.command != test.command {
					continue
				}
				got, err := dump.parse([]byte(test.answer))
				if diff := cmp.Diff(test.want, sortDaemons(got), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" || (err != nil) != test.fails {
					t.Errorf("error %v; want one: %v; -want +got:\n%s", err, test.fails, diff)
				}
			}
		})
	}
}
