package model

import "testing"

// hole is a way in which the promise was broken, with steps that the model did not
// have. Closed is the rule that closes it; while it is [AllRules], there is none.
type hole struct {
	title  string
	closed Rule
	config Config
	wrong  func(*Model, state) string
}

// holes are those that the model knows, by the file in testdata that shows it. Where it
// is closed, the file shows it without the rule.
func holes() map[string]hole {
	two := Config{Nodes: []int{0, 1}, Pods: 1}
	with := func(change func(*Config)) Config {
		config := two
		change(&config)
		return config
	}
	return map[string]hole{
		"hole-unseen-binding": {
			"if a binding passes while no webhook answers, and somebody fails over: the record names no node",
			Rule6Unbound, with(func(c *Config) { c.Persons, c.Unseen = []int{1}, east }), TwoWriters,
		},
		"hole-boot-elsewhere": {
			"if a node boots with another address: the fence is about the recorded one, and nobody asks for bound pods",
			AllRules, with(func(c *Config) { c.Persons, c.Move = []int{1}, east }), TwoWriters,
		},
		"hole-other-address": {
			"if a node gets another address while it has the image mapped: the record forgets the client that has it",
			Rule3Grows, with(func(c *Config) { c.Persons, c.Readdress = []int{1}, east }), TwoWriters,
		},
		"hole-registered-anew": {
			"if a node that was deleted registers again before its kubelet has reported: it counts as one that let go",
			Rule3Anew, with(func(c *Config) { c.Delete, c.Anew = east, east }), TwoWriters,
		},
		"hole-other-machine": {
			"if another machine registers by the name of a node that was deleted: it counts as that one, which let go",
			Rule3Machine, with(func(c *Config) { c.Delete, c.Replace = east, east }), TwoWriters,
		},
		"hole-volume-after-pod": {
			"if a pod that names its node is admitted before its claim has a volume, and stored after that was looked at",
			Rule1Named, with(func(c *Config) { c.Empty = east }), TwoWriters,
		},
		"hole-late-cache": {
			"if those who admit a pod and its binding miss the volume that its claim names, because their cache is late",
			Rule1Live, with(func(c *Config) { c.Empty = east }), TwoWriters,
		},
		"hole-restored-etcd": {
			"if an etcd is restored: its bound pods are there again, and nobody asks for them",
			AllRules, with(func(c *Config) { c.Restore = east }), TwoWriters,
		},
		"hole-no-webhook": {
			"if a cluster has no webhook configuration any more: nobody asks for its pods",
			AllRules, with(func(c *Config) { c.NoWebhook = east }), TwoWriters,
		},
		"hole-tenant": {
			"if a claim names the volume of another tenant: its cluster takes the image for it",
			Rule1Whose, with(func(c *Config) { c.Tenants = east }), Usurped,
		},
	}
}

// holesOnly are the steps after which the promise is broken.
var holesOnly = []kind{timeBreaks, admitWaiting, admitEarly, bringVolume, nameVolume, bindMissing, bindUnseen, createUnseen, bootElsewhere, moveAddress, registerAnew, replaceNode, firstReport, restore, usurp}

// TestHoles shows each hole by the shortest way through it. One that a rule closes is
// not there while the rule is in force.
func TestHoles(t *testing.T) {
	for name, hole := range holes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if hole.closed != AllRules {
				found, err := New(hole.config).Explore(hole.wrong, limit)
				if err != nil {
					t.Fatal(err)
				}
				if found.Wrong != "" {
					t.Fatalf("with every rule in force, after %d states\n%s", found.States, found.Text())
				}
				t.Logf("with every rule in force %d states, and nothing goes wrong", found.States)
				hole.title = instead[hole.closed]
			}
			hole.config.Without = hole.closed
			counterExample(t, name, hole.title, hole.config, hole.wrong)
		})
	}
}
