package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/manifest"
)

// path is "a.b.0" as a path.
func path(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ".")
}

func set(object, field, value string) manifest.Edit {
	return manifest.Set(path(object), path(field), value)
}

func remove(object, field string) manifest.Edit {
	return manifest.Remove(path(object), path(field))
}

// TestEdit compares all bytes of a document after edits.
func TestEdit(t *testing.T) {
	item := map[string]any{"kind": "PV", "list": []any{"a"}}
	tests := map[string]struct {
		body  string
		edits []manifest.Edit
		want  string
	}{
		"a value, with the comment behind it": {
			body: "a: 1\nb: old # why\nc: 2\n", edits: []manifest.Edit{set("", "b", "new")},
			want: "a: 1\nb: \"new\" # why\nc: 2\n",
		},
		"a value in quotes": {
			body: "a: 'it''s'\nb: \"q\\\"\" # x\n", edits: []manifest.Edit{set("", "a", "x"), set("", "b", "y")},
			want: "a: \"x\"\nb: \"y\" # x\n",
		},
		"a value that is so already": {
			body: "a: x\n", edits: []manifest.Edit{set("", "a", "x")}, want: "a: x\n",
		},
		"a number that has to be a text": {
			body: "a: 1\n", edits: []manifest.Edit{set("", "a", "1")}, want: "a: \"1\"\n",
		},
		"a null, written or implied": {
			body: "a: ~\nb:\nc: 1\n", edits: []manifest.Edit{set("", "a", "x"), set("", "b", "y")},
			want: "a: \"x\"\nb: \"y\"\nc: 1\n",
		},
		"a new field comes first, with the margin of the mapping": {
			body: "m:\n  # first\n  b: 1\n", edits: []manifest.Edit{set("", "m.a", "x")},
			want: "m:\n  # first\n  a: \"x\"\n  b: 1\n",
		},
		"new fields, with the mapping that they are in": {
			body: "m:\n  b: 1\n", edits: []manifest.Edit{set("", "m.x.k", "1"), set("", "m.x.z", "2")},
			want: "m:\n  x:\n    k: \"1\"\n    z: \"2\"\n  b: 1\n",
		},
		"a new field in an item of a list": {
			body: "l:\n- b: 1\n  c: 2\n", edits: []manifest.Edit{set("l.0", "a", "x")},
			want: "l:\n- a: \"x\"\n  b: 1\n  c: 2\n",
		},
		"a new field in braces": {
			body: "m: {b: 1} # x\no: {}\n", edits: []manifest.Edit{set("", "m.a", "x"), set("", "o.a", "x")},
			want: "m: {a: \"x\", b: 1} # x\no: {\"a\": \"x\"}\n",
		},
		"a field goes, with its line": {
			body: "m:\n  a: 1 # one\n  b: 2\n", edits: []manifest.Edit{remove("", "m.a"), remove("", "m.none"), remove("", "none.b")},
			want: "m:\n  b: 2\n",
		},
		"a field goes, and another comes in its place": {
			body: "m:\n  a: 1\n  b: 2\n", edits: []manifest.Edit{remove("", "m.a"), set("", "m.c", "x")},
			want: "m:\n  c: \"x\"\n  b: 2\n",
		},
		"a field in braces goes": {
			body: "m: {a: 1, b: 2, c: 3}\n", edits: []manifest.Edit{remove("", "m.a"), remove("", "m.c")},
			want: "m: {b: 2}\n",
		},
		"CRLF, in the lines of the edit": {
			body: "# Source: x\na: 1\r\nb: 2\r\n", edits: []manifest.Edit{set("", "c", "x")},
			want: "# Source: x\nc: \"x\"\r\na: 1\r\nb: 2\r\n",
		},
		"a text block at the very end keeps its end": {
			body: "b: |\n  line1\n  line2", edits: []manifest.Edit{set("", "a", "x")},
			want: "a: \"x\"\nb: |\n  line1\n  line2",
		},
		"text beyond ASCII, on the line and before it": {
			body: "\ufeffg: grüße 😀\nm: {ü: ß, b: old}\n", edits: []manifest.Edit{set("", "m.b", "new")},
			want: "\ufeffg: grüße 😀\nm: {ü: ß, b: \"new\"}\n",
		},
		"JSON, with escapes before": {
			body: `{"a": "\/\ud83d\ude00", "b": "old", "c": {}}`, edits: []manifest.Edit{set("", "b", "new"), set("", "c.d", "x")},
			want: `{"a": "\/\ud83d\ude00", "b": "new", "c": {"d": "x"}}`,
		},
		"JSON of many lines": {
			body: "{\n  \"b\": 1\n}\n", edits: []manifest.Edit{set("", "a", "x")},
			want: "{\n  \"a\": \"x\",\n  \"b\": 1\n}\n",
		},
		"an item before another": {
			body: "l:\n  - a: 1\n  # why\n  - b: 2\n", edits: []manifest.Edit{manifest.Insert(path("l.1"), item)},
			want: "l:\n  - a: 1\n  # why\n  - kind: PV\n    list:\n    - a\n  - b: 2\n",
		},
		"items in brackets, and the edit of the one behind them": {
			body: "l: [{a: 1}, {b: 2}]\n", edits: []manifest.Edit{manifest.Insert(path("l.0"), "x", "y"), set("l.0", "a", "z")},
			want: "l: [\"x\", \"y\", {a: \"z\"}, {b: 2}]\n",
		},
		"merge keys elsewhere stay what they are": {
			body: "x: &x {t: 1}\ny: &y\n  <<: *x\n  h: 2\nz:\n  t: 3\n  <<: *y\nc: old\n", edits: []manifest.Edit{set("", "c", "new")},
			want: "x: &x {t: 1}\ny: &y\n  <<: *x\n  h: 2\nz:\n  t: 3\n  <<: *y\nc: \"new\"\n",
		},
		"a mapping from an alias is written out, in its object only": {
			body:  "s: &s\n  a: 1 # one\nl:\n- k: 1\n  m: *s\n# end\nz: 'x'\n",
			edits: []manifest.Edit{set("l.0", "m.b", "x")},
			want:  "s: &s\n  a: 1 # one\nl:\n- k: 1\n  m:\n    a: 1\n    b: x\n# end\nz: 'x'\n",
		},
		"a value that others point to is no place to write": {
			body:  "l:\n- m: &m\n    a: 1\n- m: *m\n",
			edits: []manifest.Edit{set("l.0", "m.b", "x")},
			want:  "l:\n- m:\n    a: 1\n    b: x\n- m:\n    a: 1\n",
		},
		"a value over several lines": {
			body: "# head\nb: \"one\n  two\"\na: 1 # x\n", edits: []manifest.Edit{set("", "b", "x")},
			want: "# head\na: 1\nb: x\n",
		},
		"two keys of a name, of which the last counts": {
			body: "m: {a: 1, a: 2}\nb: 1\n", edits: []manifest.Edit{set("", "b", "x")},
			want: "m: {a: 1, a: 2}\nb: \"x\"\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree, err := manifest.Document{Body: []byte(test.body)}.Parse()
			if err != nil {
				t.Fatal(err)
			}
			got, err := tree.Edit(test.edits...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got.Body)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestEditRefuses is about documents that would mean something else to somebody.
func TestEditRefuses(t *testing.T) {
	tests := map[string]struct {
		body string
		edit manifest.Edit
		want string
	}{
		"a field below a text": {
			body: "a: x\n", edit: set("", "a.b", "y"),
			want: "edit the lines: the field is not where it was looked for",
		},
		"a document that Helm 4 reads in its own way, where it would have to be encoded": {
			body: "f: {x: , z: 1}\nm: &m {a: 1}\nk: *m\n", edit: set("", "k.b", "x"),
			want: "edit the lines: what Helm 4 reads at f.x would change",
		},
		"an item of what is no list": {
			body: "a: x\n", edit: manifest.Insert(path("a.0"), "y"),
			want: "edit the lines: the field is not where it was looked for",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree, err := manifest.Document{Body: []byte(test.body)}.Parse()
			if err != nil {
				t.Fatal(err)
			}
			got, err := tree.Edit(test.edit)
			if err == nil || len(got.Body) > 0 {
				t.Fatalf("no error: %q", got.Body)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRepeated(t *testing.T) {
	tests := map[string]struct{ body, path, want string }{
		"none":                          {body: "a: 1\nb: {a: 1}\n"},
		"a key twice":                   {body: "a: 1\nb: 2\n\"a\": 3\n", want: `line 3: key "a" stands twice in one mapping`},
		"elsewhere":                     {body: "a: 1\nb: {c: 1, c: 2}\n"},
		"at the path":                   {body: "a:\n- b: {c: 1, c: 2}\n", path: "a.0.b", want: `line 2: key "c" stands twice in one mapping`},
		"once as an alias":              {body: "x: &k a\ny: {a: 1, *k : 2}\n", path: "y", want: `line 2: key "a" stands twice in one mapping`},
		"two merge keys are no mistake": {body: "x: &x {}\ny: &y {}\nz:\n  <<: *x\n  <<: *y\n", path: "z"},
		"no mapping at the path":        {body: "a: 1\n", path: "a"},
		"nothing at the path":           {body: "a: 1\n", path: "b.c"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree, err := manifest.Document{Body: []byte(test.body)}.Parse()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := tree.Repeated(path(test.path)...); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestParseRefuses is about what no tree can be made of.
func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ body, want string }{
		"two documents without a marker":              {"a: 1\n...\nb: 2\n", "yaml: line 2: did not find expected <document start>"},
		"two documents behind a bare carriage return": {"a: 1\r---\rb: 2\r", `line 2: a second document starts without "---"`},
		"malformed":                {"a: [1\n", "yaml: line 1: did not find expected ',' or ']'"},
		"bytes that are not UTF-8": {"a: \xff\n", "yaml: invalid leading UTF-8 octet"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := (manifest.Document{Body: []byte(test.body)}).Parse(); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
