package goceph

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// dumps are the monitors' commands that say where daemons are, and how to read
// their answers. The optional ones are refused to users with the monitors' profile
// rbd, as ceph-csi's.
var dumps = []struct {
	command  string
	optional bool
	parse    func(answer []byte) ([]ceph.Daemon, error)
}{
	{"mon dump", false, parseMonDump},
	{"osd dump", false, parseOSDDump},
	{"mgr dump", true, parseMgrDump},
	{"fs dump", true, parseFSDump},
}

// addresses is how Ceph writes those of one daemon.
type addresses struct {
	AddrVec []struct{ Addr string }
}

// of are the daemon's addresses. One that is down may have "-" or ":/0".
func (a addresses) of(name string) ([]ceph.Daemon, error) {
	var daemons []ceph.Daemon
	for _, at := range a.AddrVec {
		endpoint, err := netip.ParseAddrPort(at.Addr)
		if err != nil {
			return nil, fmt.Errorf("the address %q of %s: %w", at.Addr, name, err)
		}
		if address := endpoint.Addr().Unmap(); !address.IsUnspecified() {
			daemons = append(daemons, ceph.Daemon{Name: name, Addr: address})
		}
	}
	return daemons, nil
}

func parseMonDump(answer []byte) ([]ceph.Daemon, error) {
	var dump struct {
		Mons []struct {
			Name        string
			PublicAddrs addresses `json:"public_addrs"`
		}
	}
	if err := understand(answer, &dump); err != nil {
		return nil, err
	}
	var all []ceph.Daemon
	for _, mon := range dump.Mons {
		found, err := mon.PublicAddrs.of("mon." + mon.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("understand %q: it has no monitor", answer)
	}
	return all, nil
}

func parseOSDDump(answer []byte) ([]ceph.Daemon, error) {
	var dump struct {
		OSDs []struct {
			OSD          int
			PublicAddrs  addresses `json:"public_addrs"`
			ClusterAddrs addresses `json:"cluster_addrs"`
		}
	}
	if err := understand(answer, &dump); err != nil {
		return nil, err
	}
	var all []ceph.Daemon
	for _, osd := range dump.OSDs {
		for _, at := range []addresses{osd.PublicAddrs, osd.ClusterAddrs} {
			found, err := at.of(fmt.Sprint("osd.", osd.OSD))
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// The addresses of managers that stand by are not in their map.
func parseMgrDump(answer []byte) ([]ceph.Daemon, error) {
	var dump struct {
		ActiveName  string    `json:"active_name"`
		ActiveAddrs addresses `json:"active_addrs"`
	}
	if err := understand(answer, &dump); err != nil {
		return nil, err
	}
	return dump.ActiveAddrs.of("mgr." + dump.ActiveName)
}

func parseFSDump(answer []byte) ([]ceph.Daemon, error) {
	type mds struct {
		Name  string
		Addrs addresses
	}
	var dump struct {
		Standbys    []mds
		Filesystems []struct {
			MDSMap struct{ Info map[string]mds } `json:"mdsmap"`
		}
	}
	if err := understand(answer, &dump); err != nil {
		return nil, err
	}
	servers := dump.Standbys
	for _, filesystem := range dump.Filesystems {
		servers = slices.AppendSeq(servers, maps.Values(filesystem.MDSMap.Info))
	}
	var all []ceph.Daemon
	for _, server := range servers {
		found, err := server.Addrs.of("mds." + server.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func understand(answer []byte, into any) error {
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("understand %.200q: %w", answer, err)
	}
	return nil
}

// sortDaemons is one daemon once per address.
func sortDaemons(all []ceph.Daemon) []ceph.Daemon {
	slices.SortFunc(all, func(a, b ceph.Daemon) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Addr.Compare(b.Addr))
	})
	return slices.Compact(all)
}
