package model

import "testing"

func TestRules8Try(t *testing.T) {
	two := Config{Nodes: []int{0, 1}, Pods: 1, Keys: true, Coarse: everyone, Lasting: true, Heard: true}
	with := func(change func(*Config)) Config {
		config := two
		change(&config)
		return config
	}
	tests := map[string]Config{
		"first":  with(func(c *Config) { c.Without, c.Restore = Rule8First, east }),
		"again":  with(func(c *Config) { c.Without, c.Restore = Rule8Again, east }),
		"others": with(func(c *Config) { c.Without, c.Restore = Rule8Others, east }),
		"renamer": with(func(c *Config) {
			c.Without, c.Persons, c.Move, c.Steady, c.NoRelease = Rule8Renamer, []int{1}, east, true, true
		}),
		"renamer, restored": with(func(c *Config) { c.Without, c.Restore = Rule8Renamer, east }),
		"fence-first": with(func(c *Config) {
			c.Without, c.Mapping, c.Lasting, c.Heard, c.Persons, c.Steady, c.NoRelease = Rule8FenceFirst, Exclusive, false, false, []int{1}, true, true
		}),
		"look": with(func(c *Config) {
			c.Without, c.Persons, c.Move, c.Steady, c.NoRelease = Rule8Look, []int{1}, east, true, true
		}),
		"lasting": with(func(c *Config) {
			c.Without, c.Mapping, c.Lasting, c.Heard, c.Persons, c.Reboot, c.Steady, c.NoRelease = Rule8Lasting, Exclusive, false, false, []int{1}, east, true, true
		}),
		"exact": with(func(c *Config) {
			c.Without, c.Heard, c.Persons, c.Reboot, c.Steady, c.NoRelease = Rule8Exact, false, []int{1}, east, true, true
		}),
	}
	for name, config := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := New(config).Explore(TwoWriters, 6_000_000)
			if err != nil {
				t.Logf("RULE %s: %v", name, err)
				return
			}
			t.Logf("RULE %s: %d states\n%s", name, found.States, found.Text())
		})
	}
}
