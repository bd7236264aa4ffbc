package model

import (
	"flag"
	"maps"
	"slices"
	"sync"
	"testing"
)

var full = flag.Bool("full", false, "explore the large configurations too: long, and over 11 GiB when several are explored at once")

// limit is more states than any configuration has.
const limit = 20_000_000

var (
	east     = clusters{true}
	everyone = clusters{true, true, true}
)

// configurations are what is explored with all rules in force.
func configurations() map[string]Config {
	return map[string]Config{
		"one node in each cluster":         {Nodes: []int{0, 1}, Pods: 1, Early: true},
		"every accident in both clusters":  {Nodes: []int{0, 1}, Pods: 1, Named: true, Force: everyone, Delete: everyone, Reboot: everyone},
		"two nodes, and force":             {Nodes: []int{0, 0, 1}, Pods: 1, Coarse: everyone, Force: east},
		"two pods":                         {Nodes: []int{0, 1}, Pods: 2, Named: true},
		"two pods with two volumes":        {Nodes: []int{0, 1}, Pods: 2, Volumes: true},
		"two pods, watchers first":         {Nodes: []int{0, 1}, Pods: 2, Early: true, Coarse: everyone},
		"failover, watchers first":         {Nodes: []int{0, 1}, Pods: 1, Early: true, Named: true, Persons: []int{1}, Steady: true, Coarse: everyone},
		"three clusters":                   {Nodes: []int{0, 1, 2}, Pods: 1},
		"equal addresses":                  {Nodes: []int{0, 1}, Pods: 1, SameAddress: true, Force: everyone},
		"in use before the first record":   {Nodes: []int{0, 1}, Pods: 1, Before: true, Force: east, Early: true},
		"failover":                         {Nodes: []int{0, 1}, Pods: 1, Named: true, Persons: []int{1}},
		"failover by two people":           {Nodes: []int{0, 1}, Pods: 1, Persons: []int{1, 1}},
		"failover to two clusters":         {Nodes: []int{0, 1}, Pods: 1, Persons: []int{1, 2}, NoLeaders: true},
		"failover, every accident":         {Nodes: []int{0, 1}, Pods: 1, Persons: []int{1}, Steady: true, NoLeaders: true, Coarse: everyone, Force: east, Reboot: east, Delete: east, Unfence: true},
		"failover, feature exclusive-lock": {Nodes: []int{0, 1}, Pods: 1, Persons: []int{1}, Steady: true, Coarse: everyone, Mapping: Lock},
		"failover, mapped exclusively":     {Nodes: []int{0, 1}, Pods: 1, Persons: []int{1}, Steady: true, Coarse: everyone, Mapping: Exclusive},
		"caches that lag":                  {Nodes: []int{0, 1}, Pods: 1, Caches: east, Reboot: east, Coarse: everyone, NoRelease: clusters{false, true}},
		"caches that lag, and a failover":  {Nodes: []int{0, 1}, Pods: 1, Named: true, Caches: east, Persons: []int{1}, Steady: true, Coarse: everyone, NoRelease: everyone},
		"pods are stored any time later":   {Nodes: []int{0, 1}, Pods: 1, Late: true, Persons: []int{1}, Steady: true, Coarse: everyone, Reboot: east},
	}
}

func large() map[string]Config {
	return map[string]Config{
		"two pods, two nodes":                      {Nodes: []int{0, 0, 1}, Pods: 2},
		"failover and failback":                    {Nodes: []int{0, 1}, Pods: 1, Persons: []int{1, 0}, Unfence: true},
		"failover from two nodes":                  {Nodes: []int{0, 0, 1}, Pods: 1, Persons: []int{1}},
		"failover, every accident, commands die":   {Nodes: []int{0, 1}, Pods: 1, Persons: []int{1}, Named: true, Force: east, Reboot: east, Delete: east, Unfence: true},
		"failover to two clusters, back and forth": {Nodes: []int{0, 1, 2}, Pods: 1, Persons: []int{1, 2}, Coarse: everyone, Steady: true, NoLeaders: true},
	}
}

// TestNobodyElseWrites explores every configuration with all rules in force: there is
// no state in which a client can write whose cluster is not the recorded owner, so
// there is none in which two clusters can write.
func TestNobodyElseWrites(t *testing.T) {
	all := configurations()
	if *full {
		maps.Copy(all, large())
	}
	var mu sync.Mutex
	var seen [kinds]bool
	t.Run("configurations", func(t *testing.T) {
		for name, config := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				wrong := Stranger
				if config.Before {
					wrong = TwoWriters // at first, nobody is recorded
				}
				found, err := New(config).Explore(wrong, limit)
				if err != nil {
					t.Fatal(err)
				}
				if found.Wrong != "" {
					t.Fatalf("after %d states\n%s", found.States, found.Text())
				}
				t.Logf("%d states, %d records, the farthest after %d steps", found.States, len(found.model.records.all), found.Depth)
				if sample, ok := samples[name]; ok {
					sample.replay(t, found)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, step := range found.by[1:] {
					seen[step.Kind] = true
				}
			})
		}
	})
	for kind := range kinds {
		if !seen[kind] && !slices.Contains(holesOnly, kind) && kind < claim {
			t.Errorf("in no configuration %s", words[kind])
		}
	}
}

// TestAssumptions takes away what the protocol cannot ensure by itself, and expects
// the shortest way to two writers.
func TestAssumptions(t *testing.T) {
	tests := map[string]struct {
		title  string
		config Config
	}{
		"assumption-stored-in-time": {
			"if the API server stored a pod that names its node after the time that a request may take",
			Config{Nodes: []int{0, 1}, Pods: 1, Named: true, Late: true},
		},
		"assumption-first-record": {
			"if a client that has used the image since before there were records were cut off when the first is made",
			Config{Nodes: []int{0, 1}, Pods: 1, Before: true, Silent: true},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counterExample(t, name, test.title, test.config, TwoWriters)
		})
	}
}

// TestWordsForEveryStep: every step can be told.
func TestWordsForEveryStep(t *testing.T) {
	if i := slices.Index(words[:], ""); i >= 0 {
		t.Errorf("step %d has no words", i)
	}
}
