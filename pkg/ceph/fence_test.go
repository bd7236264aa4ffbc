package ceph

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlanFence(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	const one, other = "10.0.1.12:0/7", "10.0.1.12:0/8"
	entry := func(addr string, remains time.Duration) BlocklistEntry {
		return BlocklistEntry{Addr: addr, Until: now.Add(remains)}
	}
	tests := map[string]struct {
		entries []BlocklistEntry
		addrs   []string
		lasting time.Duration
		want    Fence
		err     error
	}{
		"on no list":                      {nil, []string{one, other}, year, Fence{Add: []string{one, other}}, nil},
		"others are on it":                {[]BlocklistEntry{entry(other, time.Hour)}, []string{one}, year, Fence{Add: []string{one}}, nil},
		"long enough":                     {[]BlocklistEntry{entry(one, 2*year)}, []string{one}, year, Fence{}, nil},
		"put on it a moment ago":          {[]BlocklistEntry{entry(one, year-time.Minute)}, []string{one}, year, Fence{}, nil},
		"monitors whose clock is late":    {[]BlocklistEntry{entry(one, year-23*time.Hour)}, []string{one}, year, Fence{}, nil},
		"the hour of a takeover":          {[]BlocklistEntry{entry(one, time.Hour)}, []string{one}, year, Fence{}, ErrFenceShort},
		"over, and not removed yet":       {[]BlocklistEntry{entry(one, -time.Second)}, []string{one}, time.Second, Fence{}, ErrFenceShort},
		"one of several":                  {[]BlocklistEntry{entry(one, time.Hour)}, []string{other, one}, year, Fence{}, ErrFenceShort},
		"its machine is fenced":           {[]BlocklistEntry{entry(one, time.Hour), entry("10.0.1.12:0/0", time.Hour)}, []string{one, other}, year, Fence{Add: []string{other}, Renew: []string{one}}, nil},
		"its network is fenced":           {[]BlocklistEntry{entry(one, time.Hour), entry("10.0.1.0/24", time.Hour)}, []string{one}, year, Fence{Renew: []string{one}}, nil},
		"its machine, for a moment yet":   {[]BlocklistEntry{entry(one, time.Hour), entry("10.0.1.12:0/0", time.Minute)}, []string{one}, year, Fence{}, ErrFenceShort},
		"another machine":                 {[]BlocklistEntry{entry(one, time.Hour), entry("10.0.1.13:0/0", time.Hour)}, []string{one}, year, Fence{}, ErrFenceShort},
		"a machine does not cover itself": {[]BlocklistEntry{entry("10.0.1.12:0/0", time.Hour)}, []string{"10.0.1.12:0/0"}, year, Fence{}, ErrFenceShort},
		"not an address":                  {nil, []string{one, "10.0.1.12"}, year, Fence{}, ErrFenceAddress},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := PlanFence(test.entries, test.addrs, now, test.lasting)
			if diff := cmp.Diff(test.want, got); diff != "" || !errors.Is(err, test.err) {
				t.Errorf("error %v; want %v; -want +got:\n%s", err, test.err, diff)
			}
		})
	}
	for _, lasting := range []time.Duration{-year, 0, time.Millisecond, MaxFence + 1} {
		if _, err := PlanFence(nil, []string{one}, now, lasting); err == nil {
			t.Errorf("a fence for %v is accepted", lasting)
		}
	}
}

func TestCheckFence(t *testing.T) {
	tests := map[string]bool{
		"10.0.1.12:0/3311202721":      true,
		"10.0.1.12:0/0":               true,
		"[fd00::12]:0/7":              true,
		"":                            false,
		"10.0.1.12":                   false,
		"10.0.1.12:0":                 false,
		"10.0.1.12:0/":                false,
		"10.0.1.12/24":                false,
		"10.0.1.12:0/24 ":             false,
		"10.0.1.12:0/007":             false,
		"10.0.1.12:0/-1":              false,
		"10.0.1.12:0/4294967296":      false,
		"10.0.1.12:6800/91":           false,
		"v1:10.0.1.12:0/3311202721":   false,
		"[FD00::12]:0/7":              false,
		"fd00::12:0/7":                false,
		"node-1:0/3311202721":         false,
		"client.4153":                 false,
		"cidr:10.0.1.0:0/24":          false,
		"10.0.1.12:0/1\",\"expire\":": false,
	}
	for addr, want := range tests {
		err := CheckFence(addr)
		if (err == nil) != want || err != nil && !errors.Is(err, ErrFenceAddress) {
			t.Errorf("%q: %v; want accepted: %v", addr, err, want)
		}
	}
}

func TestBlocklistEntryCovers(t *testing.T) {
	tests := []struct {
		entry, addr string
		want        bool
	}{
		{"10.0.1.12:0/7", "10.0.1.12:0/7", true},
		{"10.0.1.12:0/7", "10.0.1.12:0/8", false},
		{"10.0.1.12:0/7", "10.0.1.1:0/7", false},
		{"10.0.1.12:0/0", "10.0.1.12:0/7", true},
		{"10.0.1.12:0/0", "10.0.1.13:0/7", false},
		{"[fd00::12]:0/0", "[fd00::12]:0/7", true},
		{"10.0.1.0/24", "10.0.1.12:0/7", true},
		{"10.0.1.0/24", "10.0.2.12:0/7", false},
		{"10.0.1.12:6800/91", "10.0.1.12:0/91", false},
		{"10.0.1.12:6800/0", "10.0.1.12:0/7", false},
		{"10.0.1.0/24", "client.4153", false},
	}
	for _, test := range tests {
		if got := (BlocklistEntry{Addr: test.entry}).Covers(test.addr); got != test.want {
			t.Errorf("%s covers %s: %v; want %v", test.entry, test.addr, got, test.want)
		}
	}
}
