package ceph

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxFence is the longest that an entry may last. Monitors keep its end as 32-bit
// seconds since 1970, and one after February 2106 wraps into the past.
const MaxFence = 50 * 365 * 24 * time.Hour

// BlocklistEntry is an entry of Ceph's blocklist.
type BlocklistEntry struct {
	// Addr is who is fenced: a client instance, as in [Watcher], or all clients
	// and daemons of a machine, "10.0.1.12:0/0", or, made by others, a network,
	// "10.0.1.0/24", or a daemon, "10.0.1.3:6800/91".
	Addr string
	// Until is by the clock of the monitors.
	Until time.Time
}

// Covers says whether the entry fences that client instance, "ip:0/nonce".
func (e BlocklistEntry) Covers(addr string) bool {
	if e.Addr == addr {
		return true
	}
	ip, _, err := parseClientAddr(addr)
	if err != nil {
		return false
	}
	if network, err := netip.ParsePrefix(e.Addr); err == nil {
		return network.Contains(ip)
	}
	machine, nonce, err := parseClientAddr(e.Addr)
	return err == nil && nonce == 0 && machine == ip
}

// IsForGood reports whether the entry is one of those that outlive a client: it lasts longer
// than any that Ceph, csi-addons or a person makes for a while. A clock that is wrong by years
// is needed for another answer.
func (e BlocklistEntry) IsForGood(now time.Time) bool { return e.Until.After(now.Add(MaxFence / 4)) }

// Fencer cuts clients off. Ceph then refuses all that they do, with
// [ErrBlocklisted]; they lose their watches at once.
//
// What is fenced is the connection, not the program: when the entry ends, whether
// it was removed or its time is over, a client that still has the image open
// writes on as if nothing had been, and without a watcher that would show it. That
// holds for every kernel client, also for one that was mapped exclusively and has
// lost the lock. So an entry has to outlive the client, and ends only when that
// is known to have closed the image or to have rebooted.
type Fencer interface {
	// Blocklist puts every one of addrs on the blocklist, "ip:0/nonce" for a
	// client instance or "ip:0/0" for all clients and daemons of a machine, for at
	// most MaxFence. Other forms, which Ceph knows for daemons and networks, are
	// refused with ErrFenceAddress before anything is done. On another error some
	// may be on it and some not.
	//
	// An entry that is there already and ends too early is replaced if another one
	// covers the address meanwhile; else Blocklist returns ErrFenceShort and lets
	// it be, see [PlanFence].
	//
	// When it returns, the monitors have the entries, and the OSDs perhaps not yet:
	// writes may succeed for some more milliseconds, see Barrier.
	Blocklist(ctx context.Context, addrs []string, lasting time.Duration) error

	// Unblocklist takes every one of addrs off the blocklist; who is not on it is
	// no error. The forms are those of Blocklist.
	Unblocklist(ctx context.Context, addrs []string) error

	// Blocklisted returns the blocklist as the monitors have it, sorted by Addr.
	Blocklisted(ctx context.Context) ([]BlocklistEntry, error)

	// MayFence returns ErrPermission when the user may not put anybody on the blocklist. It
	// puts nobody there.
	MayFence(ctx context.Context) error

	// Barrier returns when what was put on the blocklist before is in force for
	// the image: no fenced client is among its watchers, or can write its header
	// or get its lock. An OSD that has other parts of the image takes part in it
	// from the first operation on that comes from the caller or from anybody who
	// connects afterwards; so nothing that such a client has read or written can
	// change behind its back. It returns ErrImageNotFound.
	Barrier(ctx context.Context, spec ImageSpec) error
}

// Fence is what has to be done so that addresses are on the blocklist.
type Fence struct {
	// Add are those that are not on it.
	Add []string
	// Renew have to be taken off it and put on it again.
	Renew []string
}

const (
	// clocks is how far the clocks of the caller and of the monitors may differ.
	clocks = 24 * time.Hour
	// renewal is more than it takes to replace an entry.
	renewal = 10 * time.Minute
)

// PlanFence decides what to do so that addrs are on the blocklist, which has
// these entries now, for that long.
//
// Ceph has no way to prolong an entry: `ceph osd blocklist add` for an address that
// is on the list succeeds and changes nothing. That matters for the entry of an hour
// that Ceph makes by itself when somebody takes over the lock of a dead client. To
// take it off and put it on again would let the client write in between, unless an
// entry for its machine or network covers it meanwhile. So without such an entry
// the answer is ErrFenceShort.
func PlanFence(entries []BlocklistEntry, addrs []string, now time.Time, lasting time.Duration) (Fence, error) {
	if lasting < time.Second || lasting > MaxFence {
		return Fence{}, fmt.Errorf("a time of %v is not from 1s to %v", lasting, MaxFence)
	}
	// There may be thousands of entries, one for each volume that was ever taken.
	ends := make(map[string]time.Time, len(addrs))
	for _, addr := range addrs {
		if err := CheckFence(addr); err != nil {
			return Fence{}, err
		}
		ends[addr] = time.Time{}
	}
	for _, e := range entries {
		if _, wanted := ends[e.Addr]; wanted {
			ends[e.Addr] = e.Until
		}
	}
	var fence Fence
	for _, addr := range addrs {
		until := ends[addr]
		covered := func() bool {
			return slices.ContainsFunc(entries, func(e BlocklistEntry) bool {
				return e.Addr != addr && e.Until.After(now.Add(renewal)) && e.Covers(addr)
			})
		}
		switch {
		case until.IsZero():
			fence.Add = append(fence.Add, addr)
		case !until.Before(now.Add(lasting - min(clocks, lasting/2))):
		case covered():
			fence.Renew = append(fence.Renew, addr)
		default:
			return Fence{}, fmt.Errorf("%s, until %s: %w", addr, until.Format(time.RFC3339), ErrFenceShort)
		}
	}
	return fence, nil
}

// CheckFence returns ErrFenceAddress when addr is neither a client instance nor a
// machine as [Fencer] wants them.
func CheckFence(addr string) error {
	_, _, err := parseClientAddr(addr)
	return err
}

// parseClientAddr takes "10.0.1.12:0/3311202721" or "[fd00::12]:0/3311202721"
// apart. It accepts the form that Ceph prints only, so that equal addresses are
// equal strings, and only port 0: daemons have others.
func parseClientAddr(addr string) (netip.Addr, uint32, error) {
	host, nonceText, _ := strings.Cut(addr, "/")
	endpoint, err := netip.ParseAddrPort(host)
	nonce, nonceErr := strconv.ParseUint(nonceText, 10, 32)
	if err != nil || nonceErr != nil || endpoint.Port() != 0 || fmt.Sprintf("%s/%d", endpoint, nonce) != addr {
		return netip.Addr{}, 0, fmt.Errorf("%q: %w", addr, ErrFenceAddress)
	}
	return endpoint.Addr(), uint32(nonce), nil
}
