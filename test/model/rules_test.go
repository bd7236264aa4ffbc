package model

import (
	"embed"
	"flag"
	"os"
	"path"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// expected is embedded, so that Go knows by its content whether these tests, which compute for
// a minute, have passed with it before.
//
//go:embed testdata
var expected embed.FS

var update = flag.Bool("update", false, "rewrite the traces in testdata")

// removed are the rules, each with a configuration in which its absence shows.
func removed() map[string]struct {
	without Rule
	config  Config
	wrong   func(*Model, state) string
} {
	plain := Config{Nodes: []int{0, 1}, Pods: 1}
	failover := Config{Nodes: []int{0, 1}, Pods: 1, Persons: []int{1}}
	return map[string]struct {
		without Rule
		config  Config
		wrong   func(*Model, state) string
	}{
		"rule-1":            {Rule1, plain, TwoWriters},
		"rule-2":            {Rule2, plain, LockedOut},
		"rule-3":            {Rule3, plain, TwoWriters},
		"rule-3-order":      {Rule3Order, plain, TwoWriters},
		"rule-3-in-use":     {Rule3InUse, Config{Nodes: []int{0, 1}, Pods: 1, Force: east}, TwoWriters},
		"rule-3-gone":       {Rule3Gone, Config{Nodes: []int{0, 1}, Pods: 1, Delete: east}, TwoWriters},
		"rule-3-pending":    {Rule3Pending, Config{Nodes: []int{0, 1}, Pods: 1, Named: true}, TwoWriters},
		"rule-3-admissions": {Rule3Admissions, plain, TwoWriters},
		"rule-3-cached":     {Rule3Cached, Config{Nodes: []int{0, 1}, Pods: 1, Caches: east}, TwoWriters},
		"rule-4":            {Rule4, plain, TwoWriters},
		"rule-5":            {Rule5, Config{Nodes: []int{0, 1}, Pods: 1, Before: true}, TwoWriters},
		"rule-5-early":      {Rule5Early, Config{Nodes: []int{0, 1}, Pods: 1, Before: true, Early: true}, TwoWriters},
		"rule-6-watchers":   {Rule6Watchers, failover, TwoWriters},
		"rule-6-verify":     {Rule6Verify, failover, TwoWriters},
		"rule-6-binding":    {Rule6Binding, Config{Nodes: []int{0, 1}, Pods: 1, Named: true, Persons: []int{1}}, TwoWriters},
		"rule-6-finish":     {Rule6Finish, Config{Nodes: []int{0, 1}, Pods: 1, Persons: []int{1, 1}, Unfence: true}, TwoWriters},
		"rule-7-hour":       {Rule7Hour, failover, TwoWriters},
		"rule-7-unfence":    {Rule7Unfence, Config{Nodes: []int{0, 1}, Pods: 1, Persons: []int{1}, Unfence: true}, TwoWriters},
	}
}

// TestWithoutRules takes each rule away, and expects the shortest way to what the
// rule is there to prevent.
func TestWithoutRules(t *testing.T) {
	for name, test := range removed() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.Without = test.without
			counterExample(t, name, instead[test.without], test.config, test.wrong)
		})
	}
}

// counterExample explores until something is wrong, and compares the way there with
// a file in testdata.
func counterExample(t *testing.T, name, title string, config Config, wrong func(*Model, state) string) {
	t.Helper()
	found, err := New(config).Explore(wrong, limit)
	if err != nil {
		t.Fatal(err)
	}
	text := title + "\n\n" + found.Text()
	t.Logf("%d states\n%s", found.States, text)
	if found.Wrong == "" {
		t.Fatal("nothing goes wrong")
	}
	file := path.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := expected.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got); go test ./test/model -update rewrites it:\n%s", file, diff)
	}
}

// TestExclusiveMapping is the third layer alone: krbd's option exclusive prevents two
// writers whatever rule is missing, for as long as the blocklist entry lasts that Ceph
// makes when the lock of a silent holder is broken; and no longer than that.
func TestExclusiveMapping(t *testing.T) {
	for name, test := range removed() {
		if test.without == Rule2 {
			continue // is not about writers
		}
		for _, lasting := range []bool{true, false} {
			config := test.config
			config.Without, config.Mapping, config.Lasting = test.without, Exclusive, lasting
			config.Coarse, config.Steady, config.NoLeaders = everyone, test.without != Rule6Finish, len(config.Persons) > 0
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				found, err := New(config).Explore(TwoWriters, limit)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("entries last: %v, %d states\n%s", lasting, found.States, found.Text())
				if prevented := found.Wrong == ""; prevented != lasting {
					t.Errorf("Ceph's own entries last: %v; two writers are prevented: %v", lasting, prevented)
				}
			})
		}
	}
}
