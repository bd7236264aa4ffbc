package ceph

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is refused and what is not is in the conformance suite, where librbd
// agrees; here are the sentences.
func TestLayoutValidateSentences(t *testing.T) {
	tests := map[string]Layout{
		`feature "turbo" is not one of deep-flatten, exclusive-lock, fast-diff, journaling, layering, object-map`: {
			Features: []string{"layering", "turbo"}},
		`feature "object-map" needs feature "exclusive-lock"`: {
			Features: []string{"object-map"}},
		`feature "object-map" allows 256000000 objects, 1152921504606846976 bytes need more`: {
			Size: 1 << 60, Features: []string{"exclusive-lock", "object-map"}},
		`object size 3000000 is not a power of two from 4096 to 33554432`: {
			ObjectSize: 3_000_000},
		`stripe unit 4096 and stripe count 0: one is given without the other`: {
			StripeUnit: 4096},
		`stripe unit 8192 does not divide the object size 4096`: {
			ObjectSize: 4096, StripeUnit: 8192, StripeCount: 2},
	}
	for want, layout := range tests {
		err := layout.Validate()
		if !errors.Is(err, ErrLayout) || !strings.HasPrefix(err.Error(), want+": ") {
			t.Errorf("got %v; want %s", err, want)
		}
	}
	if err := (Layout{}).Validate(); err != nil {
		t.Errorf("the zero layout: %v", err)
	}
}

func TestChosenFeatures(t *testing.T) {
	tests := map[string]struct{ features, want []string }{
		"none":                  {nil, []string{}},
		"chosen ones":           {[]string{"exclusive-lock", "layering"}, []string{"exclusive-lock", "layering"}},
		"some of librbd's own":  {[]string{"data-pool", "layering", "operations", "striping"}, []string{"layering"}},
		"one of a later librbd": {[]string{"layering", "warp-drive"}, []string{"layering"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := Image{Features: test.features}.ChosenFeatures()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
