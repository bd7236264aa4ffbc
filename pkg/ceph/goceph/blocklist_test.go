package goceph

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func TestParseBlocklist(t *testing.T) {
	until := time.Date(2031, 11, 21, 15, 31, 36, 787_000_000, time.UTC)
	const text = "2031-11-21T15:31:36.787000+0000"
	tests := map[string]struct {
		answer string
		want   []ceph.BlocklistEntry
		fails  bool
	}{
		"empty": {"[][]\n", nil, false},
		"addresses": {`[{"addr":"10.0.1.12:0/9","until":"` + text + `"},{"addr":"10.0.1.12:0/0","until":"` + text + `"}][]`,
			[]ceph.BlocklistEntry{{Addr: "10.0.1.12:0/0", Until: until}, {Addr: "10.0.1.12:0/9", Until: until}}, false},
		"networks": {`[][{"range":"cidr:10.0.1.0:0/24","until":"` + text + `"},{"range":"cidr:[fd00::]:0/64","until":"` + text + `"}]`,
			[]ceph.BlocklistEntry{{Addr: "10.0.1.0/24", Until: until}, {Addr: "fd00::/64", Until: until}}, false},
		"cut off":       {`[{"addr":"10.0.1.12:0/9",`, nil, true},
		"another form":  {`{"blocklist":[]}`, nil, true},
		"a new field":   {`[{"addr":"10.0.1.12:0/9","until":"` + text + `","unless":"x"}]`, nil, true},
		"no address":    {`[{"until":"` + text + `"}]`, nil, true},
		"another clock": {`[{"addr":"10.0.1.12:0/9","until":"tomorrow"}]`, nil, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseBlocklist([]byte(test.answer))
			if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != test.fails {
				t.Errorf("error %v; want one: %v; -want +got:\n%s", err, test.fails, diff)
			}
		})
	}
}

func TestPlainAddr(t *testing.T) {
	tests := map[string]string{
		"v1:10.0.1.12:0/7":      "10.0.1.12:0/7",
		"v2:[2001:db8::1]:0/7":  "[2001:db8::1]:0/7",
		"any:10.0.1.12:0/7":     "10.0.1.12:0/7",
		"10.0.1.12:0/331120272": "10.0.1.12:0/331120272",
	}
	for given, want := range tests {
		if got := plainAddr(given); got != want {
			t.Errorf("%s: got %s; want %s", given, got, want)
		}
		if got := firstAddr(given); got != want {
			t.Errorf("first of %s: got %s; want %s", given, got, want)
		}
		if got := firstAddr("[" + given + ",v1:10.0.9.9:0/7]"); got != want {
			t.Errorf("first of %s and another: got %s; want %s", given, got, want)
		}
	}
}
