package guard

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/usage"
)

func addresses(all ...string) []netip.Addr {
	var parsed []netip.Addr
	for _, address := range all {
		parsed = append(parsed, netip.MustParseAddr(address))
	}
	return parsed
}

func prefixes(all ...string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, prefix := range all {
		parsed = append(parsed, netip.MustParsePrefix(prefix))
	}
	return parsed
}

// at are watchers at these addresses.
func at(all ...string) []ceph.Watcher {
	var watchers []ceph.Watcher
	for i, address := range all {
		watchers = append(watchers, ceph.Watcher{Addr: address, Client: "client.4153", Cookie: uint64(i)})
	}
	return watchers
}

func TestDecide(t *testing.T) {
	nodes := map[string][]netip.Addr{
		"west-1": addresses("10.0.2.11", "fd00:2::11"),
		"west-2": addresses("10.0.2.12"),
	}
	const (
		elsewhere = "not a node of this cluster"
		idle      = "the address of node west-1, which does not use the volume"
		unused    = "an address of this cluster, which uses the volume on no node"
		garbled   = "an address that cannot be read"
	)
	free := Verdict{Allowed: true, Reason: NoWatcher}
	own := Verdict{Allowed: true, Reason: OwnWatchers}
	refused := func(watchers []ceph.Watcher, why ...string) Verdict {
		verdict := Verdict{Reason: ForeignWatchers}
		for i, watcher := range watchers {
			node := ""
			if why[i] == idle {
				node = "west-1"
			}
			verdict.Foreign = append(verdict.Foreign, Foreign{watcher, why[i], node})
		}
		return verdict
	}

	tests := map[string]struct {
		watchers []ceph.Watcher
		local    usage.Local
		want     Verdict
	}{
		"nobody watches": {nil, usage.Local{Nodes: nodes}, free},
		"nobody watches, and nothing is known of this cluster": {nil, usage.Local{}, free},
		"nobody watches what this cluster uses":                {nil, usage.Local{Nodes: nodes, Using: []string{"west-1"}}, free},
		"a node of ours that uses the volume": {
			at("10.0.2.11:0/3311202721"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own,
		},
		"a node of ours that uses the volume, by another of its addresses": {
			at("[fd00:2::11]:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own,
		},
		"several clients of a node of ours that uses the volume": {
			at("10.0.2.11:0/1", "10.0.2.11:0/2"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own,
		},
		"two nodes of ours that use the volume": {
			at("10.0.2.11:0/1", "10.0.2.12:0/2"), usage.Local{Nodes: nodes, Using: []string{"west-1", "west-2"}}, own,
		},
		"a node of ours, or one with equal address, while nobody here uses the volume": {
			at("10.0.2.11:0/1"), usage.Local{Nodes: nodes}, refused(at("10.0.2.11:0/1"), idle),
		},
		"a node of ours, or one with equal address, while another node uses the volume": {
			at("10.0.2.11:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-2"}}, refused(at("10.0.2.11:0/1"), idle),
		},
		"a node that is gone still has the attachment, and the address is nobody's": {
			at("10.0.2.13:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-3"}}, refused(at("10.0.2.13:0/1"), elsewhere),
		},
		"a node without addresses uses the volume": {
			at("10.0.2.13:0/1"), usage.Local{Nodes: map[string][]netip.Addr{"west-3": nil}, Using: []string{"west-3"}}, refused(at("10.0.2.13:0/1"), elsewhere),
		},
		"an address of no node": {
			at("10.0.1.12:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1", "west-2"}}, refused(at("10.0.1.12:0/1"), elsewhere),
		},
		"nothing is known of this cluster": {
			at("10.0.1.12:0/1"), usage.Local{}, refused(at("10.0.1.12:0/1"), elsewhere),
		},
		"two nodes of ours have one address, and the second by name uses the volume": {
			at("10.0.2.11:0/1"),
			usage.Local{Nodes: map[string][]netip.Addr{"west-1": addresses("10.0.2.11"), "west-2": addresses("10.0.2.11")}, Using: []string{"west-2"}},
			own,
		},
		"two nodes of ours have one address, and neither uses the volume": {
			at("10.0.2.11:0/1"),
			usage.Local{Nodes: map[string][]netip.Addr{"west-2": addresses("10.0.2.11"), "west-1": addresses("10.0.2.11")}, Using: []string{"west-3"}},
			refused(at("10.0.2.11:0/1"), idle),
		},
		"a range of ours, and this cluster uses the volume": {
			at("100.64.0.5:0/1"), usage.Local{Nodes: nodes, CIDRs: prefixes("100.64.0.0/16"), Using: []string{"west-1"}}, own,
		},
		"a range of ours, and this cluster does not use the volume": {
			at("100.64.0.5:0/1"), usage.Local{Nodes: nodes, CIDRs: prefixes("100.64.0.0/16")}, refused(at("100.64.0.5:0/1"), unused),
		},
		"next to a range of ours": {
			at("100.65.0.0:0/1"), usage.Local{Nodes: nodes, CIDRs: prefixes("100.64.0.0/16"), Using: []string{"west-1"}}, refused(at("100.65.0.0:0/1"), elsewhere),
		},
		// What is known of the node goes before the range that it is in.
		"a range of ours, and the address of a node that does not use the volume": {
			at("10.0.2.11:0/1"), usage.Local{Nodes: nodes, CIDRs: prefixes("10.0.0.0/8"), Using: []string{"west-2"}}, refused(at("10.0.2.11:0/1"), idle),
		},
		"an exempt range": {
			at("10.9.0.1:0/1"), usage.Local{Nodes: nodes, Exempt: prefixes("10.9.0.1/32")}, own,
		},
		"an exempt range goes before what is known of the node": {
			at("10.0.2.11:0/1"), usage.Local{Nodes: nodes, Exempt: prefixes("10.0.2.11/32")}, own,
		},
		"next to an exempt range": {
			at("10.9.0.2:0/1"), usage.Local{Nodes: nodes, Exempt: prefixes("10.9.0.1/32")}, refused(at("10.9.0.2:0/1"), elsewhere),
		},
		"IPv6 in another spelling": {
			at("[fd00:0002:0::0011]:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own,
		},
		"IPv6 of no node": {
			at("[fd00:1::12]:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, refused(at("[fd00:1::12]:0/1"), elsewhere),
		},
		"IPv6 of a range": {
			at("[fd00:64::5]:0/1"), usage.Local{CIDRs: prefixes("fd00:64::/32"), Using: []string{"west-1"}}, own,
		},
		"IPv6 of a link, which means nothing elsewhere": {
			at("[fd00:2::11%eth0]:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, refused(at("[fd00:2::11%eth0]:0/1"), elsewhere),
		},
		"IPv4 written as IPv6": {
			at("[::ffff:10.0.2.11]:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own,
		},
		"messenger version 1":          {at("v1:10.0.2.11:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own},
		"messenger version 2":          {at("v2:10.0.2.11:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own},
		"messenger version 2 and IPv6": {at("v2:[fd00:2::11]:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own},
		"any messenger version":        {at("any:10.0.2.11:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, own},
		"a messenger version does not hide a foreign address": {
			at("v1:10.0.1.12:0/1"), usage.Local{Nodes: nodes, Using: []string{"west-1"}}, refused(at("v1:10.0.1.12:0/1"), elsewhere),
		},
		"addresses that cannot be read": {
			at("", "-", ":/0", "10.0.2.11", "10.0.2.11/1", "west-1:0/1", "fd00:2::11:0/1", "[v2:10.0.2.11:0/1,v1:10.0.2.11:0/1]"),
			usage.Local{Nodes: nodes, Using: []string{"west-1"}, CIDRs: prefixes("0.0.0.0/0", "::/0"), Exempt: prefixes("0.0.0.0/0", "::/0")},
			refused(
				at("", "-", ":/0", "10.0.2.11", "10.0.2.11/1", "west-1:0/1", "fd00:2::11:0/1", "[v2:10.0.2.11:0/1,v1:10.0.2.11:0/1]"),
				garbled, garbled, garbled, garbled, garbled, garbled, garbled, garbled,
			),
		},
		"one of several is foreign": {
			at("10.0.2.11:0/1", "10.9.0.1:0/1", "10.0.1.12:0/1"),
			usage.Local{Nodes: nodes, Using: []string{"west-1"}, Exempt: prefixes("10.9.0.1/32")},
			Verdict{Reason: ForeignWatchers, Foreign: []Foreign{{at("", "", "10.0.1.12:0/1")[2], elsewhere, ""}}},
		},
		"every kind of watcher at once": {
			at("10.0.1.12:0/1", "10.0.2.11:0/1", "10.0.2.12:0/1", "10.9.0.1:0/1", "100.64.0.5:0/1", "?"),
			usage.Local{Nodes: nodes, Using: []string{"west-2"}, CIDRs: prefixes("100.64.0.0/16"), Exempt: prefixes("10.9.0.1/32")},
			Verdict{Reason: ForeignWatchers, Foreign: []Foreign{
				{ceph.Watcher{Addr: "10.0.1.12:0/1", Client: "client.4153", Cookie: 0}, elsewhere, ""},
				{ceph.Watcher{Addr: "10.0.2.11:0/1", Client: "client.4153", Cookie: 1}, idle, "west-1"},
				{ceph.Watcher{Addr: "?", Client: "client.4153", Cookie: 5}, garbled, ""},
			}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// Maps are in another order each time.
			for range 10 {
				if diff := cmp.Diff(test.want, Decide(test.watchers, ceph.Record{}, party, test.local), compareAddresses); diff != "" {
					t.Fatalf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

var party = ceph.Party{UID: "u-west", Name: "west"}

// TestDecideByOwner: a record adds reasons to refuse, and takes none away.
func TestDecideByOwner(t *testing.T) {
	east := ceph.Party{UID: "u-east", Name: "west"} // names prove nothing
	ours := at("10.0.2.11:0/1")
	local := usage.Local{Nodes: map[string][]netip.Addr{"west-1": addresses("10.0.2.11")}, Using: []string{"west-1"}}
	held := func(by ceph.Party) ceph.Record { return ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: by}} }
	fencing := func(from, by ceph.Party) ceph.Record {
		return ceph.Record{State: ceph.Fencing, Owner: &ceph.Owner{Party: from}, Takeover: &ceph.Takeover{Party: by}}
	}
	tests := map[string]struct {
		watchers []ceph.Watcher
		record   ceph.Record
		allowed  bool
		reason   Reason
	}{
		"free":                                 {nil, ceph.Record{}, true, NoWatcher},
		"free, our watcher":                    {ours, ceph.Record{}, true, OwnWatchers},
		"free, another watcher":                {at("10.0.1.12:0/1"), ceph.Record{}, false, ForeignWatchers},
		"ours":                                 {nil, held(party), true, NoWatcher},
		"ours under another name":              {nil, held(ceph.Party{UID: "u-west", Name: "occident"}), true, NoWatcher},
		"ours, our watcher":                    {ours, held(party), true, OwnWatchers},
		"ours, another watcher":                {at("10.0.1.12:0/1"), held(party), false, ForeignWatchers},
		"another's":                            {nil, held(east), false, OwnedElsewhere},
		"another's, our watcher":               {ours, held(east), false, OwnedElsewhere},
		"another's, another watcher":           {at("10.0.1.12:0/1"), held(east), false, ForeignWatchers},
		"being taken by us":                    {nil, fencing(east, party), false, BeingFenced},
		"being taken from us":                  {nil, fencing(party, east), false, BeingFenced},
		"being taken from us, our watcher":     {ours, fencing(party, east), false, BeingFenced},
		"being taken from us, another watcher": {at("10.0.1.12:0/1"), fencing(party, east), false, ForeignWatchers},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := Decide(test.watchers, test.record, party, local)
			if got.Allowed != test.allowed || got.Reason != test.reason {
				t.Errorf("got %+v; want %v, %s", got, test.allowed, test.reason)
			}
		})
	}
}

var compareAddresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestWorst(t *testing.T) {
	yes := Answer{Result: Allowed, Reason: NoWatcher}
	own := Answer{Result: Allowed, Reason: OwnWatchers}
	no := func(message string) Answer { return Answer{Result: Denied, Reason: ForeignWatchers, Message: message} }
	unclear := func(message string) Answer { return Answer{Result: Unknown, Reason: CephUnknown, Message: message} }

	tests := map[string]struct {
		answers []Answer
		want    Answer
	}{
		"no volume":                            {nil, Answer{Result: Allowed, Reason: NothingGuarded}},
		"nobody watches":                       {[]Answer{yes, yes}, yes},
		"this cluster watches one":             {[]Answer{own, yes}, own},
		"this cluster watches one, the last":   {[]Answer{yes, own}, own},
		"one is refused":                       {[]Answer{own, no("a"), yes}, no("a")},
		"two are refused, in the given order":  {[]Answer{no("b"), yes, no("a")}, no("b\na")},
		"one is not known":                     {[]Answer{yes, unclear("a"), own}, unclear("a")},
		"two are not known":                    {[]Answer{unclear("a"), unclear("b")}, unclear("a\nb")},
		"a refusal goes before the unknown":    {[]Answer{unclear("a"), no("b"), unclear("c")}, no("b")},
		"a refusal goes before later unknowns": {[]Answer{no("b"), unclear("a")}, no("b")},
		"an answer that is none is not a yes":  {[]Answer{yes, {}, yes}, Answer{}},
		"nor hides a refusal":                  {[]Answer{{}, no("a"), {}}, no("a")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, worst(test.answers)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
