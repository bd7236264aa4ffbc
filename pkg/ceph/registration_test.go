package ceph

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const registeredStored = `{"version":1,"token":"t","uid":"u-east","name":"east","program":"v0.9.0",` +
	`"nodes":[{"name":"e1","addresses":["10.0.1.12"],"bootID":"b1","uid":"n1","machineID":"m1","systemUUID":"s1"}],"written":"2026-11-22T14:03:00Z"}`

func TestRegistrationRoundTrip(t *testing.T) {
	for name, test := range map[string]struct {
		registration Registration
		stored       string
	}{
		"of a node": {
			Registration{Token: "t", Party: east, Version: "v0.9.0", Nodes: []Node{{Name: "e1", Addresses: []string{"10.0.1.12"}, BootID: "b1", UID: "n1", MachineID: "m1", SystemUUID: "s1"}}, Written: testTime},
			registeredStored,
		},
		"of none": {
			Registration{Party: east, Written: testTime},
			`{"version":1,"token":"","uid":"u-east","name":"east","program":"","written":"2026-11-22T14:03:00Z"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.stored, string(test.registration.Encode())); diff != "" {
				t.Errorf("encoded, -want +got:\n%s", diff)
			}
			got, err := DecodeRegistration("u-east", []byte(test.stored))
			if diff := cmp.Diff(test.registration, got); diff != "" || err != nil {
				t.Errorf("%v, decoded, -want +got:\n%s", err, diff)
			}
		})
	}
}

func TestRegistrationsThatAreNotUnderstood(t *testing.T) {
	for name, test := range map[string]struct{ uid, stored, want string }{
		"nothing":            {"u-east", "", "unexpected end of JSON input"},
		"a later version":    {"u-east", strings.Replace(registeredStored, `"version":1`, `"version":2`, 1), "version 2, this program knows version 1"},
		"no version":         {"u-east", `{"token":"t"}`, "version 0"},
		"an unknown field":   {"u-east", strings.Replace(registeredStored, `"token"`, `"more":1,"token"`, 1), "unknown field"},
		"a node's":           {"u-east", strings.Replace(registeredStored, `"bootID"`, `"rack":"r1","bootID"`, 1), "unknown field"},
		"something after it": {"u-east", registeredStored + "{}", "invalid character"},
		"another form":       {"u-east", strings.Replace(registeredStored, `"version":1`, `"version": 1`, 1), "not the form in which this program writes it"},
		"cut off":            {"u-east", registeredStored[:100], "unexpected end of JSON input"},
		"another cluster's":  {"u-west", registeredStored, `it is of cluster "u-east", not "u-west"`},
		"nobody's":           {"", string(Registration{}.Encode()), `it is of cluster "", not ""`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeRegistration(test.uid, []byte(test.stored))
			if !errors.Is(err, ErrRegistrationUnknown) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v; want %s", err, test.want)
			}
			if diff := cmp.Diff(Registration{}, got); diff != "" {
				t.Errorf("half of it is understood:\n%s", diff)
			}
		})
	}
}
