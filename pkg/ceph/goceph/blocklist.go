package goceph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// parseBlocklist reads the monitors' answer: one JSON array for addresses and
// after it another one for networks.
func parseBlocklist(answer []byte) ([]ceph.BlocklistEntry, error) {
	var entries []ceph.BlocklistEntry
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.DisallowUnknownFields()
	for {
		var listed []struct{ Addr, Range, Until string }
		switch err := decoder.Decode(&listed); {
		case errors.Is(err, io.EOF):
			slices.SortFunc(entries, func(a, b ceph.BlocklistEntry) int { return cmp.Compare(a.Addr, b.Addr) })
			return entries, nil
		case err != nil:
			return nil, fmt.Errorf("understand %q: %w", answer, err)
		}
		for _, l := range listed {
			addr := cmp.Or(l.Addr, plainNetwork(l.Range))
			if addr == "" {
				return nil, fmt.Errorf("understand %q: an entry has no address", answer)
			}
			until, err := time.Parse("2006-01-02T15:04:05.999999-0700", l.Until)
			if err != nil {
				return nil, fmt.Errorf("understand the end of %s: %w", addr, err)
			}
			entries = append(entries, ceph.BlocklistEntry{Addr: addr, Until: until.UTC()})
		}
	}
}

// plainNetwork makes "10.0.1.0/24" of "cidr:10.0.1.0:0/24", and "fd00::/64" of
// "cidr:[fd00::]:0/64".
func plainNetwork(text string) string {
	text = strings.TrimPrefix(text, "cidr:")
	return strings.NewReplacer(":0/", "/", "[", "", "]", "").Replace(text)
}

// plainAddr makes "10.0.1.12:0/7" of "v1:10.0.1.12:0/7", as the owner of a lock is shown.
func plainAddr(text string) string {
	for _, protocol := range []string{"v1:", "v2:", "any:"} {
		if plain, ok := strings.CutPrefix(text, protocol); ok {
			return plain
		}
	}
	return text
}

// firstAddr is the address in "v2:10.0.1.12:0/331", or the first in
// "[v2:10.0.1.12:0/331,v1:10.0.1.12:0/331]": that of IPv6 begins with a bracket as well.
func firstAddr(text string) string {
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		text, _, _ = strings.Cut(strings.TrimSuffix(inner, "]"), ",")
	}
	return plainAddr(text)
}
