package csiconfig

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// mappingKey is cluster-mapping.json, which stands beside config.json and may be
// missing. ceph-csi-operator writes it from its ClientProfileMappings.
const mappingKey = "cluster-mapping.json"

// storedMapping is an entry of cluster-mapping.json. Pool IDs are mapped there, too.
type storedMapping struct {
	ClusterIDMapping map[string]string `json:"clusterIDMapping"`
}

// mappedEntry returns the entry that clusterID is mapped to; nil if it is mapped to none.
//
// A mapping counts in either direction, because both sides of a disaster recovery get the same
// file, and once: what it leads to is not mapped again. What a clusterID is mapped to goes before
// its own entry, and what has no entry or no monitors is passed over (ceph-csi, internal/util:
// FetchMappedClusterIDAndMons). Of several in one element, ceph-csi takes any.
func mappedEntry(entries []Entry, data []byte, clusterID string) (*Entry, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var stored []storedMapping
	if err := json.Unmarshal(data, &stored); err != nil {
		return nil, fmt.Errorf("parse ceph-csi's cluster-mapping.json: %w", err)
	}
	for _, mapping := range stored {
		var to *Entry
		for _, id := range mapping.of(clusterID) {
			i := slices.IndexFunc(entries, func(e Entry) bool { return e.ClusterID == id })
			if i < 0 || len(entries[i].Monitors) == 0 {
				continue
			}
			if to != nil && !(Found{Entry: *to}).means(Found{Entry: entries[i]}) {
				return nil, fmt.Errorf("%w: clusterID %q is mapped to %q and to %q, which are not the same", ErrAmbiguous, clusterID, to.ClusterID, id)
			}
			if to == nil {
				to = &entries[i]
			}
		}
		if to != nil {
			return to, nil
		}
	}
	return nil, nil
}

// of returns what clusterID is mapped to.
func (m storedMapping) of(clusterID string) []string {
	var all []string
	for _, from := range slices.Sorted(maps.Keys(m.ClusterIDMapping)) {
		switch to := m.ClusterIDMapping[from]; clusterID {
		case from:
			all = append(all, to)
		case to:
			all = append(all, from)
		}
	}
	return all
}
