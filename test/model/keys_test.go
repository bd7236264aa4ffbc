package model

import (
	"slices"
	"sync"
	"testing"
)

// around are the ways around admission, with names as keys. There is one pod in each
// cluster, and clients look for watchers and resolve the name in one step.
func around() map[string]Config {
	two := Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Coarse: everyone}
	with := func(change func(*Config)) Config {
		config := two
		change(&config)
		return config
	}
	return map[string]Config{
		"boot elsewhere":       with(func(c *Config) { c.Persons, c.Move, c.Steady, c.NoRelease = []int{1}, east, true, everyone }),
		"restored etcd":        with(func(c *Config) { c.Restore, c.NoRelease = east, west }),
		"no webhook":           with(func(c *Config) { c.NoWebhook, c.NoRelease = east, west }),
		"no webhook, failover": with(func(c *Config) { c.NoWebhook, c.Persons, c.Steady, c.NoRelease = east, []int{1}, true, everyone }),
	}
}

var west = clusters{false, true}

// unseen is a failover that comes before east's leader has looked at the watchers. Nothing else
// than the machine's fence keeps off a map that is late, too.
var unseen = Config{
	Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone,
	Mapping: Exclusive, LateMaps: true, Slow: east, Reboot: east,
}

// replaced is a failover that fences the recorded client alone, while another one of the same boot
// may be about to open the image.
var replaced = Config{
	Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone,
	Mapping: Exclusive, LateMaps: true,
}

// trusted are what the names rest on, by how images are mapped: the first needs nothing. What
// each leaves out is in [TestKeysLeave].
var trusted = map[string]func(*Config){
	"mapped exclusively, Ceph's own entries last":                               func(c *Config) { c.Mapping, c.Lasting, c.LateMaps = Exclusive, true, true },
	"mapped exclusively, maps end in time":                                      func(c *Config) { c.Mapping = Exclusive },
	"not exclusive with the feature, maps end in time, and nobody falls silent": func(c *Config) { c.Mapping, c.Heard = Lock, true },
	"not exclusive, maps end in time, and nobody falls silent":                  func(c *Config) { c.Mapping, c.Heard = NoLock, true },
}

// withoutOnly are steps that come to something new only when a rule is missing; a refusal is
// like a request that fails. A node of the own cluster is cut off in TestOneNodeWrites and
// TestConfirmedNode.
var withoutOnly = []kind{refuseForeign, strayFails, openRestore, restoreName, seeNobody, fenceNode, confirmNode, takeNode}

// TestKeys goes around admission in one cluster: names alone keep two clusters from writing.
func TestKeys(t *testing.T) {
	type kept struct {
		config Config
		wrong  func(*Model, state) string
	}
	tests := map[string]kept{
		"nobody goes around":                    {Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Early: true}, Stranger},
		"no other name":                         {Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Coarse: everyone, Heard: true}, OtherName},
		"names are mended":                      {Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Coarse: everyone, NoRelease: west}, Stuck},
		"failover, mapped exclusively":          {Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone, Mapping: Exclusive, Reboot: east}, Stranger},
		"failover, not exclusive":               {Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone, Reboot: east}, Stranger},
		"renames that were given up land later": {Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone, NoWebhook: east, Heard: true, Stray: true}, TwoWriters},
		"the takeover finds nobody but its own": {Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone, Move: east, Heard: true}, Stranger},
	}
	tests["failover, no client was recorded, maps take any time"] = kept{unseen, Stranger}
	lasting := replaced
	lasting.Lasting = true
	tests["failover, another client than the recorded one maps late, Ceph's own entries last"] = kept{lasting, TwoWriters}
	late := around()["restored etcd"]
	late.Heard, late.LateMaps = true, true
	tests["a late map is fenced when it is seen"] = kept{late, Unfenced}
	for name, config := range around() {
		for on, trust := range trusted {
			config := config
			trust(&config)
			tests[name+", "+on] = kept{config, TwoWriters}
		}
	}
	var mu sync.Mutex
	var seen [kinds]bool
	t.Run("configurations", func(t *testing.T) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if *full {
					test.config.NoRelease = clusters{}
				}
				found, err := New(test.config).Explore(test.wrong, limit)
				if err != nil {
					t.Fatal(err)
				}
				if found.Wrong != "" {
					t.Fatalf("after %d states\n%s", found.States, found.Text())
				}
				t.Logf("%d states, %d records, the farthest after %d steps", found.States, len(found.model.records.all), found.Depth)
				if slices.Contains(carriedOver, name) {
					carryOver(t, found)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, step := range found.by[1:] {
					seen[step.Kind] = true
				}
			})
		}
	})
	for kind := claim; kind < kinds; kind++ {
		if !seen[kind] && !slices.Contains(withoutOnly, kind) {
			t.Errorf("in no configuration %s", words[kind])
		}
	}
}

// TestKeysLeave shows what names leave open, and who would have to look.
func TestKeysLeave(t *testing.T) {
	tests := map[string]struct {
		title  string
		config Config
		change func(*Config)
	}{
		"keys-late-map": {
			"if a map that has resolved the old name opens the image after the watchers were listed; it is not mapped exclusively",
			around()["restored etcd"], func(c *Config) { c.Heard, c.LateMaps = true, true },
		},
		"keys-silent": {
			"if a client that nobody has recorded is silent while the watchers are listed; the image is not mapped exclusively",
			around()["boot elsewhere"], func(*Config) {},
		},
		"keys-late-map-exclusive": {
			"if a late map falls silent before anybody has fenced it, and krbd takes the lock from it: Ceph fences it for an hour",
			around()["restored etcd"], func(c *Config) { c.Mapping, c.LateMaps = Exclusive, true },
		},
		"keys-late-map-failover": {
			"if a failover fences the recorded client alone while another one of the same boot maps late, which then falls silent: Ceph fences that one for an hour",
			replaced, func(*Config) {},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.change(&test.config)
			counterExample(t, name, test.title, test.config, TwoWriters)
		})
	}
}

// TestWithoutKeyRules takes each rule about names away.
func TestWithoutKeyRules(t *testing.T) {
	heard := func(c *Config) { c.Heard = true }
	exclusive := func(c *Config) { c.Mapping = Exclusive }
	tests := map[string]struct {
		without Rule
		config  Config
		change  func(*Config)
		wrong   func(*Model, state) string
	}{
		"rule-8-first":       {Rule8First, around()["restored etcd"], heard, TwoWriters},
		"rule-8-again":       {Rule8Again, around()["restored etcd"], heard, TwoWriters},
		"rule-8-others":      {Rule8Others, around()["restored etcd"], heard, TwoWriters},
		"rule-8-repair":      {Rule8Repair, Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, NoRelease: everyone}, heard, Stuck},
		"rule-8-renamer":     {Rule8Renamer, Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Coarse: everyone}, heard, OtherName},
		"rule-8-fence-first": {Rule8FenceFirst, Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone}, exclusive, TwoWriters},
		"rule-8-look":        {Rule8Look, around()["boot elsewhere"], heard, Stranger},
		"rule-8-holder":      {Rule8Holder, Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone, Reboot: east}, exclusive, TwoWriters},
		"rule-8-keeper":      {Rule8Keeper, around()["restored etcd"], func(c *Config) { c.Heard, c.LateMaps = true, true }, Unfenced},
		"rule-8-unseen":      {Rule8Unseen, unseen, func(*Config) {}, TwoWriters},
		"rule-8-exact":       {Rule8Exact, Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Persons: []int{1}, Steady: true, NoRelease: everyone, Coarse: everyone, Reboot: east}, func(*Config) {}, TwoWriters},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.change(&test.config)
			test.config.Without = test.without
			counterExample(t, name, instead[test.without], test.config, test.wrong)
		})
	}
}
