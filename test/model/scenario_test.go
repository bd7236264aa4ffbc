package model

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestScenarios plays what people have written in testdata/scenarios.
func TestScenarios(t *testing.T) {
	files, err := fs.Glob(expected, "testdata/scenarios/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("there are %d scenarios", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(path.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := expected.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := play(file, string(text))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("%s (-want +got); go test ./test/model -run TestScenarios -update rewrites it:\n%s", file, diff)
			}
		})
	}
}

// TestAWrongScenarioSaysWhere: a mistake is told with its line, and cannot be updated away.
func TestAWrongScenarioSaysWhere(t *testing.T) {
	const begin = "# a test\ngiven nodes e1 w1\ngiven pods 1\n"
	tests := map[string]struct{ text, want string }{
		"a command that is not there":        {begin + "reviw db-0@east\n", `x.txt:4: there is no command "reviw"`},
		"a route's pod that is not there":    {begin + "start db-1@east e1\n", `x.txt:4: start: there is no "db-1@east"; there are db-0@east, db-0@west`},
		"a node that is not there":           {begin + "map e7\n", `x.txt:4: map: there is no "e7"; there are e1, w1`},
		"too few arguments":                  {begin + "bind db-0@east\n", `x.txt:4: "bind" is used as: bind {d} {m}`},
		"too few arguments of a route":       {begin + "start db-0@east\n", `x.txt:4: "start" is used as: start {d} {m}`},
		"a misspelt step that may happen":    {begin + "may reviw db-0@east\n", `x.txt:4: there is no command "reviw"`},
		"a misspelt step that is refused":    {begin + "refused reviw db-0@east\n", `x.txt:4: there is no command "reviw"`},
		"nothing that may happen":            {begin + "may\n", "x.txt:4: a command is missing"},
		"a step that cannot happen":          {begin + "review db-0@east\nstore db-0@east\n", "x.txt:5: store db-0@east: nothing of that can happen now; what may happen: admit db-0@east"},
		"a step that is refused is not":      {begin + "refused review db-0@east\n", "x.txt:4: refused review db-0@east: it is not refused"},
		"a step that may happen cannot":      {begin + "may admit db-0@east\n", "x.txt:4: may admit db-0@east: nothing of that can happen now; what may happen: review db-0@east"},
		"nothing is wrong":                   {begin + "wrong review db-0@east\n", "x.txt:4: wrong review db-0@east: nothing is wrong after it"},
		"an unknown field":                   {"# a test\ngiven nods e1 w1\n", `x.txt:2: given: there is no "nods"; there are nodes, pods,`},
		"an unknown rule":                    {begin + "given without rule-77\n", `x.txt:4: given without: "rule-77" is none of nothing, rule-1,`},
		"an unknown mapping":                 {begin + "given mapping excl\n", `x.txt:4: given mapping: "excl" is none of no-lock, lock, exclusive`},
		"an unknown cluster":                 {begin + "given force eats\n", `x.txt:4: given force: there is no cluster "eats"`},
		"a node whose number is wrong":       {"# a test\ngiven nodes e1 e3\n", `x.txt:2: given nodes: "e3" would be called e2`},
		"too many pods":                      {"# a test\ngiven pods 3\n", "x.txt:2: given pods: it takes a number from 1 to 2"},
		"something given to what takes none": {begin + "given keys yes\n", "x.txt:4: given keys: it takes nothing"},
		"a field after the first step":       {begin + "state\ngiven keys\n", "x.txt:5: given comes before the first step"},
		"no nodes":                           {"# a test\nstate\n", "x.txt:2: the nodes and the pods are missing"},
		"no comment":                         {"given nodes e1\n", "x.txt:1: the first line has to be a comment"},
		"no step":                            {begin, "x.txt: there is no step"},
		"a broken promise that nobody expects": {
			begin + "given without rule-1\nstart db-0@east e1\n",
			`x.txt:5: after "start db-0@east e1": broken: nobody can write but the recorded owner: e1 can write, and east is not the recorded owner; without rule 1: pods start without asking the record`,
		},
		"a step after something is wrong": {
			begin + "given without rule-1\nwrong start db-0@east e1\nfreeze e1\n",
			"x.txt:6: the scenario ends where something is wrong",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := play("x.txt", test.text)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v; want %s", err, test.want)
			}
		})
	}
}

// TestACommandForEveryStep: every step can be typed, and no two of them alike; every rule has a
// name.
func TestACommandForEveryStep(t *testing.T) {
	known := map[string]kind{}
	for kind := range kinds {
		command := commands[kind]
		if other, twice := known[command]; twice || command == "" {
			t.Errorf("%q is the command of %q and of %q", command, words[kind], words[other])
		}
		known[command] = kind
		verb := firstWord(command)
		if _, route := routes[verb]; route || slices.Contains([]string{"given", "state", "may", "refused", "wrong"}, verb) {
			t.Errorf("%q is something else too", verb)
		}
	}
	if i := slices.Index(ruleNames[:], ""); i >= 0 || len(ruleNames) != len(instead) {
		t.Errorf("rule %d has no name", i)
	}
}
