package document

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const text = `# Performance

| is prose in no table

<!-- bench guard: Time of one answer
code: pkg/guard pkg/usage
measured: 0123 -->

| | p50 | times cat |
|---|---:|---:|
| pod | 0.64 ms | 1.94 |
| scale | 2 ms | |

- A pod is quick.

<!-- bench growth:
code: pkg/keeper
measured: -->

## Memory

<!-- bench guard: Memory of the webhook
code: cmd/webhook/serve.go
measured: -->

The end.
`

var document = strings.Replace(text, "| is prose in no table\n\n", "", 1)

func parse(t *testing.T, text string) *Document {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParseReadsMarksAndTables(t *testing.T) {
	d := parse(t, document)
	if diff := cmp.Diff(document, d.String()); diff != "" {
		t.Errorf("a document that is read and written (-want +got):\n%s", diff)
	}
	marks := []Mark{
		{Part: "guard", Title: "Time of one answer", Code: []string{"pkg/guard", "pkg/usage"}, Measured: "0123"},
		{Part: "growth", Code: []string{"pkg/keeper"}},
		{Part: "guard", Title: "Memory of the webhook", Code: []string{"cmd/webhook/serve.go"}},
	}
	if diff := cmp.Diff(marks, d.Marks()); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	table := Table{
		Title: "Time of one answer", Header: []string{"", "p50", "times cat"},
		Rows: [][]string{{"pod", "0.64 ms", "1.94"}, {"scale", "2 ms", ""}},
	}
	if diff := cmp.Diff(table, d.Table(table.Title)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	replaced := func(old, new string) string { return strings.Replace(document, old, new, 1) }
	for name, test := range map[string]struct{ text, want string }{
		"a table without a mark":          {text, `after "# Performance" there is a table without a mark`},
		"a mark that lacks its code":      {replaced("code: pkg/guard pkg/usage\n", ""), "there is a mark that cannot be read"},
		"a table that has no title":       {replaced(" Time of one answer", ""), "a table has a title and was measured once"},
		"a hash without a table":          {replaced("measured: -->", "measured: 45 -->"), "a table has a title and was measured once"},
		"a table that was never measured": {replaced("0123", ""), "a table has a title and was measured once"},
		"two tables with one title":       {replaced("Memory of the webhook", "Time of one answer"), "there are two with this title"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func hash(code []string) (string, error) { return "ab", nil }

func TestPutReplacesTablesAndKeepsProse(t *testing.T) {
	d := parse(t, document)
	if err := d.Put("guard", []Table{
		{Title: "Time of one answer", Header: []string{"", "p50"}, Rows: [][]string{{"pod", "0.5 ms"}}},
		{Title: "Memory of the webhook", Header: []string{"", "resident"}, Rows: [][]string{{"new", "5 MiB"}}},
	}, hash); err != nil {
		t.Fatal(err)
	}
	if err := d.Put("growth", []Table{
		{Title: "Survey", Header: []string{"images", "calls"}, Rows: [][]string{{"1000", "10"}}},
		{Title: "Status", Header: []string{"images", "calls"}, Rows: [][]string{{"1000", "20"}}},
	}, hash); err != nil {
		t.Fatal(err)
	}
	want := `# Performance

<!-- bench guard: Time of one answer
code: pkg/guard pkg/usage
measured: ab -->

| | p50 |
|---|---:|
| pod | 0.5 ms |

- A pod is quick.

<!-- bench growth: Survey
code: pkg/keeper
measured: ab -->

| images | calls |
|---|---:|
| 1000 | 10 |

<!-- bench growth: Status
code: pkg/keeper
measured: ab -->

| images | calls |
|---|---:|
| 1000 | 20 |

## Memory

<!-- bench guard: Memory of the webhook
code: cmd/webhook/serve.go
measured: ab -->

| | resident |
|---|---:|
| new | 5 MiB |

The end.
`
	if diff := cmp.Diff(want, d.String()); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	again := parse(t, d.String())
	if diff := cmp.Diff(d.Marks(), again.Marks()); diff != "" {
		t.Errorf("marks, read again (-want +got):\n%s", diff)
	}
}

func TestPutRefuses(t *testing.T) {
	one := Table{Title: "Time of one answer", Header: []string{"", "p50"}}
	two := Table{Title: "Memory of the webhook", Header: []string{"", "p50"}}
	for name, test := range map[string]struct {
		measured []Table
		want     string
	}{
		"a table that has no place":         {[]Table{one, two, {Title: "Another"}}, `put "Another": there is no mark`},
		"a table that is not measured":      {[]Table{one}, `does not measure "Memory of the webhook" any more`},
		"code that cannot be read any more": {[]Table{one, two}, "no such code"},
	} {
		t.Run(name, func(t *testing.T) {
			hash := hash
			if test.want == "no such code" {
				hash = func([]string) (string, error) { return "", os.ErrNotExist }
				test.want = os.ErrNotExist.Error()
			}
			if err := parse(t, document).Put("guard", test.measured, hash); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestTablesHaveTheLineBeforeAsTitle(t *testing.T) {
	// As text/tabwriter aligns them.
	printed := "\nTime of one answer\n\n|     |     p50|\n| --- |     ---|\n| pod | 0.64 ms|\n\nMemory\n\n|     | resident|\n| --- | ---|\n"
	want := []Table{
		{Title: "Time of one answer", Header: []string{"", "p50"}, Rows: [][]string{{"pod", "0.64 ms"}}},
		{Title: "Memory", Header: []string{"", "resident"}},
	}
	if diff := cmp.Diff(want, Tables(printed)); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

func TestBeside(t *testing.T) {
	header := []string{"", "p50", "times cat", "always-allow is faster by"}
	for name, test := range map[string]struct {
		measured, published, want []string
		slower                    []string
	}{
		"what is as published is shown once": {
			measured:  []string{"pod", "1 ms", "2.00", "3.00"},
			published: []string{"pod", "1 ms", "2.00", "3.00"},
			want:      []string{"pod", "1 ms", "2.00", "3.00"},
		},
		"a time is not compared, since it is the machine's": {
			measured:  []string{"pod", "9 ms", "2.00", ""},
			published: []string{"pod", "1 ms", "2.00", ""},
			want:      []string{"pod", "9 ms (1 ms)", "2.00", ""},
		},
		"a ratio may be half as large again": {
			measured:  []string{"pod", "1 ms", "3.00", "2.00"},
			published: []string{"pod", "1 ms", "2.00", "3.00"},
			want:      []string{"pod", "1 ms", "3.00 (2.00)", "2.00 (3.00)"},
		},
		"a larger one is marked": {
			measured:  []string{"pod", "1 ms", "3.01", "9.00"},
			published: []string{"pod", "1 ms", "2.00", "3.00"},
			want:      []string{"pod", "1 ms", "3.01 (2.00) !", "9.00 (3.00) !"},
			slower: []string{
				"T: pod: times cat is 3.01, published 2.00",
				"T: pod: always-allow is faster by is 9.00, published 3.00",
			},
		},
		"what was not published has nothing beside it": {
			measured:  []string{"scale", "1 ms", "3.00", "9.00"},
			published: []string{"pod", "1 ms", "2.00", "3.00"},
			want:      []string{"scale", "1 ms", "3.00", "9.00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, slower := Beside(Table{"T", header, [][]string{test.measured}}, Table{"T", header, [][]string{test.published}})
			if diff := cmp.Diff(Table{"T", header, [][]string{test.want}}, got); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.slower, slower); diff != "" {
				t.Errorf("slower (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBesideOtherTables: a ratio may stand behind its time, and a count of calls is one by
// itself; a row may have two names.
func TestBesideOtherTables(t *testing.T) {
	growth := Table{Title: "Ever more volumes; in brackets, times kubectl get of the same", Header: []string{"volumes", "status of all"}}
	steady := Table{Title: "Calls of the leader in a minute, while nothing happens", Header: []string{"volumes", "", "API server", "Ceph"}}
	leader := Table{Title: "The leader", Header: []string{"", "1000 volumes"}}
	for name, test := range map[string]struct {
		table                     Table
		measured, published, want [][]string
		slower                    []string
	}{
		"a time with its ratio": {
			table:     growth,
			measured:  [][]string{{"1000", "100 ms (2.00)"}, {"5000", "900 ms (3.01)"}},
			published: [][]string{{"1000", "10 ms (1.90)"}, {"5000", "900 ms (2.00)"}},
			want:      [][]string{{"1000", "100 ms (2.00) (10 ms (1.90))"}, {"5000", "900 ms (3.01) (900 ms (2.00)) !"}},
			slower:    []string{growth.Title + ": 5000: status of all is 900 ms (3.01), published 900 ms (2.00)"},
		},
		"counts in a minute, of rows with two names": {
			table:     steady,
			measured:  [][]string{{"400", "held by pods here", "6.0", "4.1"}, {"400", "another cluster's", "3.0", "400.0"}},
			published: [][]string{{"400", "held by pods here", "6.0", "2.0"}, {"400", "another cluster's", "2.0", "0.0"}},
			want:      [][]string{{"400", "held by pods here", "6.0", "4.1 (2.0) !"}, {"400", "another cluster's", "3.0 (2.0)", "400.0 (0.0) !"}},
			slower: []string{
				steady.Title + ": 400, held by pods here: Ceph is 4.1, published 2.0",
				steady.Title + ": 400, another cluster's: Ceph is 400.0, published 0.0",
			},
		},
		"rows that are counts in a minute, and others": {
			table:     leader,
			measured:  [][]string{{"requests to the API server in a minute of rest", "60"}, {"operations of the OSD in that minute", "30"}, {"processor time in a minute of rest", "900 ms"}, {"resident memory", "900 MiB"}},
			published: [][]string{{"requests to the API server in a minute of rest", "36"}, {"operations of the OSD in that minute", "20"}, {"processor time in a minute of rest", "300 ms"}, {"resident memory", "100 MiB"}},
			want:      [][]string{{"requests to the API server in a minute of rest", "60 (36) !"}, {"operations of the OSD in that minute", "30 (20)"}, {"processor time in a minute of rest", "900 ms (300 ms)"}, {"resident memory", "900 MiB (100 MiB)"}},
			slower:    []string{leader.Title + ": requests to the API server in a minute of rest: 1000 volumes is 60, published 36"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			measured, published := test.table, test.table
			measured.Rows, published.Rows = test.measured, test.published
			got, slower := Beside(measured, published)
			if diff := cmp.Diff(test.want, got.Rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.slower, slower); diff != "" {
				t.Errorf("slower (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHash(t *testing.T) {
	const code = "package p\n\nfunc f() int { return 1 }\n"
	write := func(files map[string]string) string {
		root := t.TempDir()
		for name, content := range files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return root
	}
	sum := func(files map[string]string, paths ...string) string {
		got, err := Hash(write(files), paths)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := sum(map[string]string{"p/p.go": code}, "p")
	for name, test := range map[string]struct {
		files map[string]string
		same  bool
	}{
		"a comment":              {map[string]string{"p/p.go": "// Package p.\npackage p // p\n\n/* f */ func f() int { return 1 }\n"}, true},
		"lines broken elsewhere": {map[string]string{"p/p.go": "package p\n\nfunc f(\n) int {\n\treturn 1\n}\n"}, true},
		"a test":                 {map[string]string{"p/p.go": code, "p/p_test.go": "package p\n"}, true},
		"a document":             {map[string]string{"p/p.go": code, "p/README.md": "p\n"}, true},
		"a folder in it":         {map[string]string{"p/p.go": code, "p/q/q.go": "package q\n"}, true},
		"another name":           {map[string]string{"p/q.go": code}, true},
		"another constant":       {map[string]string{"p/p.go": "package p\n\nfunc f() int { return 2 }\n"}, false},
		"another file":           {map[string]string{"p/p.go": code, "p/q.go": "package p\n"}, false},
		"C++":                    {map[string]string{"p/p.go": code, "p/p.cc": "int f() { return 1; }\n"}, false},
		"a directive":            {map[string]string{"p/p.go": "//go:build linux\n\n" + code}, false},
		"C":                      {map[string]string{"p/p.go": "package p\n\n// int f(void) { return 1; }\nimport \"C\"\n\nfunc f() int { return 1 }\n"}, false},
		"blank lines":            {map[string]string{"p/p.go": "package p\n\n\nfunc f() int { return 1 }\n\n"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sum(test.files, "p"); (got == want) != test.same {
				t.Errorf("hash %s, without it %s; want them the same: %t", got, want, test.same)
			}
		})
	}
	list := "package p\n\nvar x = []int{1, 2}\n"
	broken := "package p\n\nvar x = []int{\n\t1,\n\t2,\n}\n"
	if sum(map[string]string{"p/p.go": list}, "p") != sum(map[string]string{"p/p.go": broken}, "p") {
		t.Error("a list that is broken has another hash")
	}
	preamble := func(c string) string {
		return sum(map[string]string{"p/p.go": "package p\n\n// " + c + "\nimport \"C\"\n"}, "p")
	}
	if preamble("int f(void);") == preamble("int g(void);") {
		t.Error("other C code has the same hash")
	}
	if got := sum(map[string]string{"p/p.go": code}, "p/p.go"); got != want {
		t.Errorf("a file alone has hash %s, its folder %s", got, want)
	}
	if got := sum(map[string]string{"p/p.go": code, "p/q.go": "package p\n"}, "p", "-p/q.go"); got != want {
		t.Errorf("a folder without a file has hash %s, want %s", got, want)
	}
	for name, path := range map[string]string{"a folder without code": "q", "a file that is not there": "p/q.go", "a file left out that is not there": "-p/q.go"} {
		if got, err := Hash(write(map[string]string{"p/p.go": code}), []string{path}); err == nil {
			t.Errorf("%s has hash %s", name, got)
		}
	}
	if got, err := Hash(write(map[string]string{"p/p.go": "package p\n\nvar s = \"\n"}), []string{"p"}); err == nil {
		t.Errorf("what is no Go has hash %s", got)
	}
}
