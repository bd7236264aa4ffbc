package model

import "testing"

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
		"boot elsewhere":       with(func(c *Config) { c.Persons, c.Move, c.Steady, c.NoRelease = []int{1}, east, true, true }),
		"restored etcd":        with(func(c *Config) { c.Restore = east }),
		"no webhook":           with(func(c *Config) { c.NoWebhook = east }),
		"no webhook, failover": with(func(c *Config) { c.NoWebhook, c.Persons, c.Steady, c.NoRelease = east, []int{1}, true, true }),
	}
}

func TestKeysTry(t *testing.T) {
	for name, config := range around() {
		for i := range 3 {
			config := config
			config.LateMaps, config.Mapping = true, Exclusive
			switch i {
			case 0:
				config.Lasting = true
			case 2:
				config.Heard, config.LateMaps, config.Mapping = true, false, NoLock
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				found, err := New(config).Explore(TwoWriters, 8_000_000)
				if err != nil {
					t.Logf("KEYS %s mapping %d heard %v late %v lasting %v: %v", name, config.Mapping, config.Heard, config.LateMaps, config.Lasting, err)
					return
				}
				t.Logf("KEYS %s mapping %d heard %v late %v lasting %v: %d states\n%s", name, config.Mapping, config.Heard, config.LateMaps, config.Lasting, found.States, found.Text())
			})
		}
	}
}
