package staticpv_test

import (
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/staticpv"
)

const id = "0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002"

func TestIsID(t *testing.T) {
	for name, test := range map[string]struct {
		handle string
		want   bool
	}{
		"ceph-csi's own":               {id, true},
		"of a clusterID with dashes":   {"0001-0024-6f1d2a0b-aaaa-bbbb-cccc-0123456789ab-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002", true},
		"of one whose length is wrong": {strings.Replace(id, "0009", "0008", 1), false},
		"of a static pair":             {"shop.data~east", false},
		"without a uuid":               {strings.TrimSuffix(id, "-abfc0e9e4002"), false},
		"with more behind it":          {id + "-copy", false},
		"nothing":                      {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := staticpv.IsID(test.handle); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestWithClusterID(t *testing.T) {
	for name, test := range map[string]struct{ handle, clusterID, want, err string }{
		"another one":       {id, "storage", "0001-0007-storage-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002", ""},
		"the same":          {id, "rook-ceph", id, ""},
		"one that is long":  {id, strings.Repeat("c", 65), "", "it has 129 bytes, and ceph-csi reads 128"},
		"none":              {id, "", "", "the clusterID is empty"},
		"of another handle": {"shop.data", "storage", "", `"shop.data" is not an id of ceph-csi`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := staticpv.WithClusterID(test.handle, test.clusterID)
			if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %q, %v", got, err)
			}
			if err == nil && !staticpv.IsID(got) {
				t.Errorf("%q is no id", got)
			}
		})
	}
}
