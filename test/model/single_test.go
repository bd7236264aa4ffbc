package model

import (
	"maps"
	"testing"
)

// single are a cluster with two nodes and a volume for one writer, whose pods and attachments are
// taken away by force, and one of whose nodes a person may cut off.
func single(change func(*Config)) Config {
	config := Config{Nodes: []int{0, 0}, Pods: 1, Single: true, Force: east, Lost: east, Coarse: everyone, NoRelease: east}
	if change != nil {
		change(&config)
	}
	return config
}

// TestOneNodeWrites: no two nodes of one cluster can write to a volume for a single writer. If it is
// mapped exclusively, Ceph sees to that for as long as its own entries last.
func TestOneNodeWrites(t *testing.T) {
	all := map[string]Config{
		"images without the feature exclusive-lock": single(nil),
		"mapped exclusively, Ceph's entries last":   single(func(c *Config) { c.Mapping, c.Lasting = Exclusive, true }),
	}
	if *full {
		maps.Copy(all, map[string]Config{
			"images with it":            single(func(c *Config) { c.Mapping = Lock }),
			"the leader releases":       single(func(c *Config) { c.NoRelease = clusters{} }),
			"a node reboots":            single(func(c *Config) { c.Reboot = east }),
			"two pods of one claim":     single(func(c *Config) { c.Pods = 2 }),
			"pods that name their node": single(func(c *Config) { c.Named = true }),
		})
	}
	for name, config := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := New(config).Explore(TwoNodes, limit)
			if err != nil {
				t.Fatal(err)
			}
			if found.Wrong != "" {
				t.Fatalf("after %d states\n%s", found.States, found.Text())
			}
			cut := false
			for _, by := range found.by[1:] {
				cut = cut || by.Kind == fenceNode
			}
			if !cut {
				t.Error("nobody cuts a node off")
			}
			t.Logf("%d states, %d records", found.States, len(found.model.records.all))
		})
	}
}

// TestWithoutRule9 takes its parts away, and shows what an exclusive mapping rests on.
func TestWithoutRule9(t *testing.T) {
	for name, test := range map[string]struct {
		title   string
		without Rule
		config  Config
	}{
		"rule-9":            {"", Rule9, single(nil)},
		"rule-9-attachment": {"", Rule9Attachment, single(nil)},
		"rule-9-flight":     {"", Rule9Flight, single(func(c *Config) { c.Pods = 2 })},
		"single-exclusive":  {"if the entry ends that Ceph makes when the lock of a lost node is taken over", AllRules, single(func(c *Config) { c.Mapping, c.Lost = Exclusive, clusters{} })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.Without = test.without
			if test.title == "" {
				test.title = instead[test.without]
			}
			counterExample(t, name, test.title, test.config, TwoNodes)
		})
	}
}
