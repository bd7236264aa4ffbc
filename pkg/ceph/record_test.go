package ceph

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecordRoundTrip(t *testing.T) {
	tests := map[string]struct {
		record Record
		stored string
	}{
		"usual":            {Record{Token: "t1", ClaimSize: 10 << 30}, `{"version":1,"token":"t1","claimSize":10737418240}`},
		"empty":            {Record{}, `{"version":1,"token":"","claimSize":0}`},
		"the largest size": {Record{ClaimSize: math.MaxUint64}, `{"version":1,"token":"","claimSize":18446744073709551615}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			stored := test.record
			stored.Revision = 7 // where it stands is not part of what is stored
			if diff := cmp.Diff(test.stored, string(stored.Encode())); diff != "" {
				t.Errorf("encoded -want +got:\n%s", diff)
			}
			got, err := DecodeRecord([]byte(test.stored))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.record, got); diff != "" {
				t.Errorf("decoded -want +got:\n%s", diff)
			}
		})
	}
}

func TestDecodeRecordUnknown(t *testing.T) {
	tests := map[string]string{
		"nothing":                     "",
		"no JSON":                     "cephferry",
		"a list":                      `[1]`,
		"null":                        `null`,
		"no version":                  `{"token":"t","claimSize":1}`,
		"version 0":                   `{"version":0,"token":"t","claimSize":1}`,
		"a later version":             `{"version":2,"token":"t","claimSize":1}`,
		"a version in another format": `{"version":"1","token":"t","claimSize":1}`,
		"an unknown field":            `{"version":1,"token":"t","claimSize":1,"epoch":1}`,
		"no token":                    `{"version":1,"claimSize":1}`,
		"token null":                  `{"version":1,"token":null,"claimSize":1}`,
		"no size":                     `{"version":1,"token":"t"}`,
		"a negative size":             `{"version":1,"token":"t","claimSize":-1}`,
		"a size that is too large":    `{"version":1,"token":"t","claimSize":18446744073709551616}`,
		"a second object":             `{"version":1,"token":"t","claimSize":1}{"version":1,"token":"t","claimSize":2}`,
		"bytes after it":              `{"version":1,"token":"t","claimSize":1}xyz`,
		"zero bytes after it":         "{\"version\":1,\"token\":\"t\",\"claimSize\":1}\x00\x00",
		"cut off":                     `{"version":1,"token":"t","claimSize"`,
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeRecord([]byte(data))
			if !errors.Is(err, ErrRecordUnknown) {
				t.Errorf("got %+v, %v; want %v", got, err, ErrRecordUnknown)
			}
		})
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"token":"t","claimSize":1}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		record, err := DecodeRecord(data)
		if err != nil {
			if !errors.Is(err, ErrRecordUnknown) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		again, err := DecodeRecord(record.Encode())
		if err != nil || again != record {
			t.Errorf("%q is %+v, and written again %+v, %v", data, record, again, err)
		}
	})
}
