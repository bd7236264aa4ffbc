package ceph

import (
	"net/netip"
	"strings"
)

// IPs are the node's addresses, without what is none.
func (n Node) IPs() []netip.Addr {
	var all []netip.Addr
	for _, text := range n.Addresses {
		if address, err := netip.ParseAddr(text); err == nil {
			all = append(all, address.Unmap())
		}
	}
	return all
}

// ParseAddress reads the IP of a Ceph client's address, "ip:port/nonce", with IPv6
// in brackets and perhaps "v1:", "v2:" or "any:" before it.
func ParseAddress(text string) (netip.Addr, error) {
	text, _, _ = strings.Cut(text, "/")
	for _, protocol := range []string{"v1:", "v2:", "any:"} {
		text = strings.TrimPrefix(text, protocol)
	}
	address, err := netip.ParseAddrPort(text)
	return address.Addr().Unmap(), err
}
