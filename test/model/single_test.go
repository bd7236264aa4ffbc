package model

import (
	"cmp"
	"maps"
	"slices"
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
	holds(t, all, TwoNodes, fenceNode)
}

// holds explores the configurations: in none of them anything is wrong, and in each that step is made.
func holds(t *testing.T, all map[string]Config, wrong func(*Model, state) string, step kind) {
	t.Helper()
	for name, config := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := New(config).Explore(wrong, limit)
			if err != nil {
				t.Fatal(err)
			}
			if found.Wrong != "" {
				t.Fatalf("after %d states\n%s", found.States, found.Text())
			}
			if !slices.ContainsFunc(found.by[1:], func(by Step) bool { return by.Kind == step }) {
				t.Errorf("nobody does %q", commands[step])
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

// objects are a cluster whose people cut nodes off by objects. The leader keeps the record true.
func objects(change func(*Config)) Config {
	return single(func(c *Config) {
		c.Lost, c.Objects, c.Reboot = clusters{}, east, east
		if change != nil {
			change(c)
		}
	})
}

// TestConfirmedNode: what a leader cuts off of a node, however late and often, is what a person has
// confirmed, and not a boot or a client of it that came later.
func TestConfirmedNode(t *testing.T) {
	all := map[string]Config{
		"images without the feature exclusive-lock": objects(func(c *Config) { c.Nodes = []int{0} }),
		"mapped exclusively":                        objects(func(c *Config) { c.Nodes, c.Mapping = []int{0}, Exclusive }),
	}
	if *full {
		maps.Copy(all, map[string]Config{
			"two nodes":                     objects(nil),
			"two nodes, mapped exclusively": objects(func(c *Config) { c.Mapping, c.Lasting = Exclusive, true }),
			"the leader releases":           objects(func(c *Config) { c.Nodes, c.NoRelease = []int{0}, clusters{} }),
			"Node objects are deleted":      objects(func(c *Config) { c.Nodes, c.Delete = []int{0}, east }),
		})
	}
	holds(t, all, func(m *Model, s state) string { return cmp.Or(Harmed(m, s), TwoNodes(m, s)) }, takeNode)
}

// TestWithoutRule10 takes its parts away.
func TestWithoutRule10(t *testing.T) {
	for name, test := range map[string]struct {
		without Rule
		config  Config
	}{
		"rule-10-boot":   {Rule10Boot, objects(func(c *Config) { c.Nodes = []int{0} })},
		"rule-10-client": {Rule10Client, objects(func(c *Config) { c.Nodes, c.Mapping = []int{0}, Exclusive })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.Without = test.without
			counterExample(t, name, instead[test.without], test.config, Harmed)
		})
	}
}
