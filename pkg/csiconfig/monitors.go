package csiconfig

import (
	"net"
	"slices"
	"strings"
)

// The ports of a monitor: of the messenger v2, and of the first one.
const portV2, portV1 = "3300", "6789"

// SameCeph reports whether two lists of monitors are of one Ceph cluster. They need not be equal:
// Rook's import names one monitor only, and lists change while monitors move. A monitor belongs
// to one Ceph cluster, so one that is in both lists is enough.
func SameCeph(a, b []string) bool {
	theirs := addresses(b)
	return slices.ContainsFunc(addresses(a), func(address string) bool { return slices.Contains(theirs, address) })
}

// addresses are those of monitors, as host:port. ceph-csi's list has what ceph.conf's mon_host may
// have: 10.0.0.1, 10.0.0.1:6789, v2:10.0.0.1:3300, [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0].
func addresses(monitors []string) []string {
	var all []string
	for _, text := range strings.FieldsFunc(strings.Join(monitors, ","), func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		address, _ := address(text)
		switch host, port, err := net.SplitHostPort(address); {
		case address == "":
		case err != nil: // without a port, librados tries both
			host = strings.Trim(address, "[]")
			all = append(all, net.JoinHostPort(host, portV2), net.JoinHostPort(host, portV1))
		default:
			all = append(all, net.JoinHostPort(host, port))
		}
	}
	return all
}

// address takes one address out of its list, and returns the messenger that it is for, if it says so.
func address(text string) (address, messenger string) {
	for strings.HasPrefix(text, "[v") {
		text = text[1:]
	}
	for _, prefix := range []string{"v1", "v2"} {
		if rest, ok := strings.CutPrefix(text, prefix+":"); ok {
			text, messenger = rest, prefix
		}
	}
	text, _, _ = strings.Cut(text, "/")
	// What is left of a list's end; the bracket of an IPv6 address has its partner.
	if strings.Count(text, "]") > strings.Count(text, "[") {
		text = strings.TrimSuffix(text, "]")
	}
	return text, messenger
}

// OnlyV2 reports whether every monitor is named by its port for messenger v2, or as such. The
// kernel's CephFS client then needs the mount option ms_mode, because it speaks v1 otherwise.
func OnlyV2(monitors []string) bool {
	found := false
	for _, text := range strings.FieldsFunc(strings.Join(monitors, ","), func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		address, messenger := address(text)
		_, port, _ := net.SplitHostPort(address)
		if messenger != "v2" && (messenger == "v1" || port != portV2) {
			return false
		}
		found = true
	}
	return found
}
