package ceph

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	testTime  = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)
	east      = Party{UID: "u-east", Name: "east"}
	west      = Party{UID: "u-west", Name: "west"}
	testOwner = Owner{
		Party: east, Namespace: "shop", Claim: "data", Since: testTime,
		Nodes: []Node{{Name: "e1", Addresses: []string{"10.0.1.12"}, BootID: "b1"}}, Clients: []string{"10.0.1.12:0/33"},
	}
)

const (
	emptyStored = `{"version":3,"token":"","claimSize":0,"growTo":0,"exclusive":false,"state":"free","epoch":0,"admissions":0}`
	ownerStored = `"owner":{"uid":"u-east","name":"east","namespace":"shop","claim":"data","since":"2026-11-22T14:03:00Z","nodes":[{"name":"e1","addresses":["10.0.1.12"],"bootID":"b1"}],"clients":["10.0.1.12:0/33"]}`
	heldStored  = `{"version":3,"token":"t","claimSize":1,"growTo":0,"exclusive":false,"state":"held","epoch":1,"admissions":1,` + ownerStored + `}`
)

func TestRecordRoundTrip(t *testing.T) {
	tests := map[string]struct {
		record Record
		stored string
	}{
		"empty": {Record{}, emptyStored},
		"free": {
			Record{Token: "t1", ClaimSize: 10 << 30},
			`{"version":3,"token":"t1","claimSize":10737418240,"growTo":0,"exclusive":false,"state":"free","epoch":0,"admissions":0}`,
		},
		"the largest size": {
			Record{ClaimSize: math.MaxUint64, GrowTo: math.MaxUint64, Exclusive: true},
			`{"version":3,"token":"","claimSize":18446744073709551615,"growTo":18446744073709551615,"exclusive":true,"state":"free","epoch":0,"admissions":0}`,
		},
		"held":                 {Record{Token: "t", ClaimSize: 1, State: Held, Epoch: 1, Admissions: 1, Owner: &testOwner}, heldStored},
		"held, on no node yet": {Record{State: Held, Owner: &Owner{Party: east}, Pending: []string{"pod-1"}}, `{"version":3,"token":"","claimSize":0,"growTo":0,"exclusive":false,"state":"held","epoch":0,"admissions":0,"owner":{"uid":"u-east","name":"east","namespace":"","claim":"","since":"0001-01-01T00:00:00Z"},"pending":["pod-1"]}`},
		"held by a boot, and a pod without a node": {
			Record{State: Held, Owner: &Owner{Party: east, Since: testTime, Nodes: []Node{{
				Name: "e1", Addresses: []string{"10.0.1.12", "10.0.1.13"}, BootID: "b1", UID: "u1", MachineID: "m1", SystemUUID: "s1", Clients: []string{"10.0.1.12:0/33"},
			}}}, Pending: []string{"pod-1"}, Unbound: []string{"pod-1"}},
			`{"version":3,"token":"","claimSize":0,"growTo":0,"exclusive":false,"state":"held","epoch":0,"admissions":0,"owner":{"uid":"u-east","name":"east","namespace":"","claim":"","since":"2026-11-22T14:03:00Z",` +
				`"nodes":[{"name":"e1","addresses":["10.0.1.12","10.0.1.13"],"bootID":"b1","uid":"u1","machineID":"m1","systemUUID":"s1","clients":["10.0.1.12:0/33"]}]},"pending":["pod-1"],"unbound":["pod-1"]}`,
		},
		"keyed, with its owner's name": {
			Record{Exclusive: true, Keyed: true, Private: true, Named: true, Renamers: []string{"10.0.1.9:0/7"}, State: Held, Owner: &Owner{Party: east, Since: testTime}},
			`{"version":3,"token":"","claimSize":0,"growTo":0,"exclusive":true,"keyed":true,"private":true,"named":true,"renamers":["10.0.1.9:0/7"],` +
				`"state":"held","epoch":0,"admissions":0,"owner":{"uid":"u-east","name":"east","namespace":"","claim":"","since":"2026-11-22T14:03:00Z"}}`,
		},
		"fencing": {
			Record{State: Fencing, Owner: &testOwner, Takeover: &Takeover{Party: west, By: "ann", Since: testTime}},
			`{"version":3,"token":"","claimSize":0,"growTo":0,"exclusive":false,"state":"fencing","epoch":0,"admissions":0,` + ownerStored +
				`,"takeover":{"uid":"u-west","name":"west","by":"ann","since":"2026-11-22T14:03:00Z"}}`,
		},
		"with fenced nodes": {
			Record{Fenced: []FencedNode{{Cluster: east, Node: Node{Name: "e1", Addresses: []string{"10.0.1.12"}, BootID: "b1"}}, {Cluster: east, Node: Node{Addresses: []string{"10.0.1.13"}}}}},
			strings.TrimSuffix(emptyStored, "}") + `,"fenced":[{"cluster":{"uid":"u-east","name":"east"},"node":{"name":"e1","addresses":["10.0.1.12"],"bootID":"b1"}},{"cluster":{"uid":"u-east","name":"east"},"node":{"name":"","addresses":["10.0.1.13"]}}]}`,
		},
		"confined by OpenShift": {
			Record{SCC: &SCC{UIDRange: "1000650000/10000", MCS: "s0:c26,c5", SupplementalGroups: "1000650000/10000"}},
			strings.Replace(strings.TrimSuffix(emptyStored, "}"), `"version":3`, `"version":4`, 1) + `,"scc":{"uidRange":"1000650000/10000","mcs":"s0:c26,c5","supplementalGroups":"1000650000/10000"}}`,
		},
		"with a history": {
			Record{History: []Change{{At: testTime, Event: TakenOver, Party: west, By: "ann", From: &east, Fenced: []string{"10.0.1.12:0/33"}}, {At: testTime, Event: Released, Party: west}}},
			strings.TrimSuffix(emptyStored, "}") + `,"history":[{"at":"2026-11-22T14:03:00Z","event":"taken-over","uid":"u-west","name":"west","by":"ann","from":{"uid":"u-east","name":"east"},"fenced":["10.0.1.12:0/33"]},{"at":"2026-11-22T14:03:00Z","event":"released","uid":"u-west","name":"west"}]}`,
		},
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

// Nobody owned images when records had version 1.
func TestDecodeRecordOfVersion1(t *testing.T) {
	got, err := DecodeRecord([]byte(`{"version":1,"token":"t","claimSize":10737418240}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Record{Token: "t", ClaimSize: 10 << 30}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Records of version 2 did not say which pods had no node.
func TestDecodeRecordOfVersion2(t *testing.T) {
	for stored, want := range map[string]Record{
		heldStored: {Token: "t", ClaimSize: 1, State: Held, Epoch: 1, Admissions: 1, Owner: &testOwner},
		strings.TrimSuffix(heldStored, "}") + `,"pending":["pod-1"]}`: {
			Token: "t", ClaimSize: 1, State: Held, Epoch: 1, Admissions: 1, Owner: &testOwner, Pending: []string{"pod-1"}, Unbound: []string{"pod-1"},
		},
	} {
		got, err := DecodeRecord([]byte(strings.Replace(stored, `"version":3`, `"version":2`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestDecodeRecordUnknown(t *testing.T) {
	// with replaces a part of a good record.
	with := func(old, new string) string {
		t.Helper()
		if strings.Count(heldStored, old) != 1 {
			t.Fatalf("%q is not once in %s", old, heldStored)
		}
		return strings.Replace(heldStored, old, new, 1)
	}
	tests := map[string]string{
		"nothing":                        "",
		"no JSON":                        "cephferry",
		"a list":                         `[1]`,
		"null":                           `null`,
		"no version":                     with(`"version":3,`, ``),
		"version 0":                      with(`"version":3`, `"version":0`),
		"a later version":                with(`"version":3`, `"version":5`),
		"version 4 without what is new":  with(`"version":3`, `"version":4`),
		"version 3 with what is newer":   strings.TrimSuffix(heldStored, "}") + `,"scc":{"mcs":"s0:c26,c5"}}`,
		"version 2 with what is newer":   strings.TrimSuffix(strings.Replace(heldStored, `"version":3`, `"version":2`, 1), "}") + `,"scc":{"mcs":"s0:c26,c5"}}`,
		"a version in another format":    with(`"version":3`, `"version":"3"`),
		"an unknown field":               with(`"epoch":1`, `"epoch":1,"lease":1`),
		"an unknown field of the owner":  with(`"name":"east"`, `"name":"east","zone":"a"`),
		"a field is missing":             with(`"admissions":1,`, ``),
		"a field is null":                with(`"token":"t"`, `"token":null`),
		"a field is there twice":         with(`"token":"t"`, `"token":"s","token":"t"`),
		"a field in capitals":            with(`"token"`, `"TOKEN"`),
		"a space":                        with(`"token":"t"`, `"token": "t"`),
		"version 2 with what it had not": strings.Replace(with(`"bootID":"b1"`, `"bootID":"b1","uid":"u1"`), `"version":3`, `"version":2`, 1),
		"version 2 with a key":           strings.Replace(with(`"exclusive":false`, `"exclusive":false,"keyed":true`), `"version":3`, `"version":2`, 1),
		"a name without a key":           with(`"exclusive":false`, `"exclusive":false,"named":true`),
		"a name that nobody has":         strings.Replace(emptyStored, `"exclusive":false`, `"exclusive":false,"keyed":true,"named":true`, 1),
		"renamers of nobody":             strings.Replace(emptyStored, `"exclusive":false`, `"exclusive":false,"keyed":true,"renamers":["10.0.1.9:0/7"]`, 1),
		"an empty list":                  with(`"clients":["10.0.1.12:0/33"]`, `"clients":[]`),
		"a negative size":                with(`"claimSize":1`, `"claimSize":-1`),
		"a size that is too large":       with(`"claimSize":1`, `"claimSize":18446744073709551616`),
		"an unknown state":               with(`"state":"held"`, `"state":"leased"`),
		"a state that is a number":       with(`"state":"held"`, `"state":1`),
		"free with an owner":             with(`"state":"held"`, `"state":"free"`),
		"held by nobody":                 with(`,`+ownerStored, ``),
		"fencing without a takeover":     with(`"state":"held"`, `"state":"fencing"`),
		"a takeover while held":          with(ownerStored, ownerStored+`,"takeover":{"uid":"u","name":"n","by":"","since":"2026-11-22T14:03:00Z"}`),
		"an owner without uid":           with(`"uid":"u-east"`, `"uid":""`),
		"a time that is none":            with(`2026-11-22T14:03:00Z`, `yesterday`),
		"a second object":                heldStored + heldStored,
		"bytes after it":                 heldStored + "xyz",
		"a newline after it":             heldStored + "\n",
		"zero bytes after it":            heldStored + "\x00\x00",
		"cut off":                        strings.TrimSuffix(heldStored, `"]}}`),

		"version 1 with an owner":       `{"version":1,"token":"t","claimSize":1,"owner":null}`,
		"version 1 without token":       `{"version":1,"claimSize":1}`,
		"version 1 with token null":     `{"version":1,"token":null,"claimSize":1}`,
		"version 1 without size":        `{"version":1,"token":"t"}`,
		"version 1 and a second object": `{"version":1,"token":"t","claimSize":1}{"version":1,"token":"t","claimSize":2}`,
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

func TestStateString(t *testing.T) {
	for want, state := range map[string]State{"free": Free, "held": Held, "fencing": Fencing, "State(9)": 9, "State(-1)": -1} {
		if got := state.String(); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"token":"t","claimSize":1}`))
	f.Add([]byte(`{"version":3}`))
	f.Add([]byte(emptyStored))
	f.Add([]byte(heldStored))
	f.Fuzz(func(t *testing.T, data []byte) {
		record, err := DecodeRecord(data)
		if err != nil {
			if !errors.Is(err, ErrRecordUnknown) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		again, err := DecodeRecord(record.Encode())
		if err != nil || !cmp.Equal(again, record) {
			t.Errorf("%q is %+v, and written again %+v, %v", data, record, again, err)
		}
	})
}
