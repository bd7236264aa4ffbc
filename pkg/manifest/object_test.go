package manifest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/cephferry/cephferry/pkg/manifest"
)

// document is a body without a marker.
func document(body string) manifest.Document {
	return manifest.Document{Body: []byte(body)}
}

// TestParse compares what a document parses to, as JSON.
func TestParse(t *testing.T) {
	tests := map[string]struct {
		body string
		want string // empty: nothing in it
		err  string
	}{
		"empty":              {body: ""},
		"comments only":      {body: "# Source: shop/templates/a.yaml\n\n# nothing\n"},
		"null":               {body: "null\n"},
		"an empty object":    {body: "{}\n"},
		"white space":        {body: " \n\n"},
		"a byte order mark":  {body: "\ufeffa: 1\n", want: `{"a":1}`},
		"CRLF":               {body: "a: |\r\n  b\r\n  c\r\n# end\r\n", want: `{"a":"b\nc\n"}`},
		"a document and end": {body: "a: 1\n...\n", want: `{"a":1}`},
		"a marker line with content": {
			body: "--- {a: 1}\n",
			want: `{"a":1}`,
		},
		"a marker line with a comment": {
			body: "--- # text\na: 1\n",
			want: `{"a":1}`,
		},
		"aliases are replaced": {
			body: "a: &x {b: 1}\nc: *x\nd: [*x]\n",
			want: `{"a":{"b":1},"c":{"b":1},"d":[{"b":1}]}`,
		},
		"merge keys are replaced, and what stands beside them wins": {
			body: "a: &x {b: 1, c: 2}\nd: &y {c: 3, f: 5}\ne:\n  <<: [*x, *y]\n  b: 4\n",
			want: `{"a":{"b":1,"c":2},"d":{"c":3,"f":5},"e":{"b":4,"c":2,"f":5}}`,
		},
		"an anchor on a scalar": {
			body: "a: &x text\n*x : b\n",
			want: `{"a":"text","text":"b"}`,
		},
		"JSON": {
			body: `{"a": "\/\u00e9\n\"\\", "b": [1, 1.5, true, null]}`,
			want: `{"a":"/é\n\"\\","b":[1,1.5,true,null]}`,
		},
		"JSON with a surrogate pair": {
			body: `{"a": "\ud83d\ude00", "b": "\uD83D\uDE00", "c": "\\ud83d"}`,
			want: `{"a":"😀","b":"😀","c":"\\ud83d"}`,
		},
		"JSON with an escaped backslash before a slash": {
			body: `{"a": "\\/b"}`,
			want: `{"a":"\\/b"}`,
		},
		"JSON with tabs": {
			body: "{\n\t\"a\": [\n\t\t1\n\t]\n}\n",
			want: `{"a":[1]}`,
		},
		"a long integer": {
			body: "a: 9007199254740993\n",
			want: `{"a":9007199254740993}`,
		},

		"a key twice": {
			body: "a: 1\nb: 2\na: 3\n",
			err:  `line 3: key "a" stands twice in one mapping`,
		},
		"a key twice, once in quotes": {
			body: "a: 1\n\"a\": 3\n",
			err:  `line 2: key "a" stands twice in one mapping`,
		},
		"a key twice, deep in a list": {
			body: "a:\n- b: 1\n- c:\n    d: {e: 1, e: 2}\n",
			err:  `line 4: key "e" stands twice in one mapping`,
		},
		"a key twice in JSON": {
			body: "{\n\"a\": 1,\n\"a\": 2\n}",
			err:  `line 3: key "a" stands twice in one mapping`,
		},
		"a key twice, once as an alias": {
			body: "x: &k a\ny: {a: 1, *k : 2}\n",
			err:  `line 2: key "a" stands twice in one mapping`,
		},
		"a null key beside aliases": {
			body: "a: &x {~: 1}\nb: *x\n",
			err:  `line 1: key "~" stands twice in one mapping`,
		},
		"one key in two mappings": {
			body: "a: {b: 1}\nc: {b: 1}\n",
			want: `{"a":{"b":1},"c":{"b":1}}`,
		},
		"an alias loop": {
			body: "a: &x\n  b: *x\n",
			err:  "line 1: an anchor's value contains itself",
		},
		"an alias bomb": {
			body: bomb(12),
			err:  "line 7: aliases expand to more than 5000000 nodes",
		},
		"an unknown anchor": {
			body: "a: *x\n",
			err:  "yaml: unknown anchor 'x' referenced",
		},
		"two documents without a marker": {
			body: "a: 1\n...\nb: 2\n",
			err:  "yaml: line 2: did not find expected <document start>",
		},
		"two documents with a marker behind a bare carriage return": {
			body: "a: 1\r---\rb: 2\r",
			err:  `line 2: a second document starts without "---"`,
		},
		"a document end without a document": {
			body: "...\n",
			err:  "yaml: did not find expected node content",
		},
		"malformed": {
			body: "a: [1\n",
			err:  "yaml: line 1: did not find expected ',' or ']'",
		},
		"a tab as indentation": {
			body: "a:\n\tb: 1\n",
			err:  "yaml: line 2: found character that cannot start any token",
		},
		"bytes that are not UTF-8": {
			body: "a: \xff\n",
			err:  "yaml: invalid leading UTF-8 octet",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			object, err := document(test.body).Parse()
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Fatalf("error (-want +got):\n%s", diff)
			}
			if err != nil {
				return
			}
			var got string
			if object != nil {
				data, err := object.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				got = string(bytes.TrimSpace(data))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// bomb is a document of a few lines that expands to 10^levels nodes.
func bomb(levels int) string {
	lines := []string{"l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"}
	for i := 1; i < levels; i++ {
		list := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i-1), 10), ", ")
		lines = append(lines, fmt.Sprintf("l%d: &l%d [%s]", i, i, list))
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestEncode changes one field of each document and compares all of it.
func TestEncode(t *testing.T) {
	tests := map[string]struct{ body, want string }{
		"comments and the order of fields stay": {
			body: "# head\nz: 1 # line\n# between\nfield: old\na: 2\n# foot\n",
			want: "# head\nz: 1 # line\n# between\nfield: new\na: 2\n# foot\n",
		},
		"sequences that are not indented stay so": {
			body: "field: old\na:\n- 1\n- b:\n  - 2\n",
			want: "field: new\na:\n- 1\n- b:\n  - 2\n",
		},
		"indented sequences stay so": {
			body: "field: old\na:\n  - 1\n  - b:\n      - 2\n",
			want: "field: new\na:\n  - 1\n  - b:\n      - 2\n",
		},
		"a null key stays": {
			body: "~: 1\nfield: old\na: {null: 2}\n",
			want: "~: 1\nfield: new\na: {null: 2}\n",
		},
		"flow style stays": {
			body: "{field: old, a: [1, 2]}\n",
			want: "{field: new, a: [1, 2]}\n",
		},
		"a null that is only implied stays one": {
			body: "field: old\na: {x: , y, z: [null, ~]}\nb:\nc:\n- \n- {x}\n",
			want: "field: new\na: {x: null, y: null, z: [null, ~]}\nb:\nc:\n-\n- {x: null}\n",
		},
		"CRLF stays": {
			body: "field: old\r\na: |\r\n  b\r\n  c\r\n",
			want: "field: new\r\na: |\r\n  b\r\n  c\r\n",
		},
		"one CRLF makes all of them so": {
			body: "field: old\r\na: 1\nb: 2\n",
			want: "field: new\r\na: 1\r\nb: 2\r\n",
		},
		"words of YAML 1.1 stay in quotes": {
			body: "field: old\na: \"yes\"\nb: 'no'\nc: \"0644\"\nd: \"1_000\"\ne: \"12:30\"\nf: \"2024-01-31\"\ng: \"~\"\n",
			want: "field: new\na: \"yes\"\nb: 'no'\nc: \"0644\"\nd: \"1_000\"\ne: \"12:30\"\nf: \"2024-01-31\"\ng: \"~\"\n",
		},
		"words of YAML 1.1 stay without quotes": {
			body: "field: old\na: yes\nb: 0644\nc: 1.10\nd: 0x1F\ne: 1e3\n",
			want: "field: new\na: yes\nb: 0644\nc: 1.10\nd: 0x1F\ne: 1e3\n",
		},
		"block scalars keep their text": {
			body: "field: old\na: |-\n  x\n    y\n\n  z\nb: >\n  long\n  text\nc: |2\n    indented\n",
			want: "field: new\na: |-\n  x\n    y\n\n  z\nb: >\n  long text\n\nc: |2\n    indented\n",
		},
		"folded text of several paragraphs": {
			body: "field: old\na: >\n  long\n  text\n\n  more\nb: 1\n",
			want: "field: new\na: |\n  long text\n  more\nb: 1\n",
		},
		"folded text that ends in several line ends": {
			body: "field: old\na: >+\n  long\n  text\n\nb: 1\n",
			want: "field: new\na: |+\n  long text\n\nb: 1\n",
		},
		"folded text with an indented line": {
			body: "field: old\na: >-\n  list:\n   - x\n  end\n",
			want: "field: new\na: |-\n  list:\n   - x\n  end\n",
		},
		"a block that begins with a tab": {
			body: "field: old\na: |2\n  \tx\n  y\n",
			want: "field: new\na: \"\\tx\\ny\\n\"\n",
		},
		"long lines are not folded": {
			body: "field: old\na: " + strings.Repeat("word ", 60) + "end\n",
			want: "field: new\na: " + strings.Repeat("word ", 60) + "end\n",
		},
		"text beyond ASCII stays": {
			body: "field: old\na: grüße\n",
			want: "field: new\na: grüße\n",
		},
		"a character beyond 16 bits is escaped": {
			body: "field: old\na: 😀\n",
			want: "field: new\na: \"\\U0001F600\"\n",
		},
		"JSON stays JSON": {
			body: `{"field":"old","a":["<&>",1.50,{"b":null}]}`,
			want: "{\n  \"a\": [\n    \"\\u003c\\u0026\\u003e\",\n    1.5,\n    {\n      \"b\": null\n    }\n  ],\n  \"field\": \"new\"\n}\n",
		},
		"JSON with CRLF": {
			body: "{\r\n\"field\": \"old\"\r\n}\r\n",
			want: "{\r\n  \"field\": \"new\"\r\n}\r\n",
		},
		"a document end is dropped": {
			body: "field: old\n...\n",
			want: "field: new\n",
		},
		"a byte order mark is dropped": {
			body: "\ufefffield: old\n",
			want: "field: new\n",
		},
		"no final line end becomes one": {
			body: "field: old",
			want: "field: new\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := document(test.body)
			object, err := d.Parse()
			if err != nil {
				t.Fatal(err)
			}
			if err := object.PipeE(yaml.SetField("field", yaml.NewStringRNode("new"))); err != nil {
				t.Fatal(err)
			}
			got, err := d.Encode(object)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestEncodeKeepsTexts encodes many short texts in every style, and parses them
// again.
func TestEncodeKeepsTexts(t *testing.T) {
	pieces := []string{"a", " ", "\n", "\t", "\n\n", "#", ": ", "\r", "---", "\u2028", "\""}
	styles := []yaml.Style{0, yaml.FoldedStyle, yaml.LiteralStyle, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle}
	texts := []string{""}
	for first := 0; len(texts) < 10_000; {
		last := len(texts)
		for _, head := range texts[first:last] {
			for _, piece := range pieces {
				texts = append(texts, head+piece)
			}
		}
		first = last
	}
	list := yaml.MustParse("[]")
	for _, value := range texts {
		for _, style := range styles {
			list.YNode().Content = append(list.YNode().Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: value, Style: style})
		}
	}
	list.YNode().Style = 0
	for _, beside := range []string{"a:\n- 1\n", "a:\n  - 1\n"} {
		body, err := document(beside).Encode(list)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := manifest.Document{Body: body}.Parse()
		if err != nil {
			t.Fatal(err)
		}
		for i, node := range parsed.Content() {
			if want := texts[i/len(styles)]; node.Value != want {
				t.Fatalf("beside %q, style %d: %q became %q", beside, styles[i%len(styles)], want, node.Value)
			}
		}
		if got, want := len(parsed.Content()), len(texts)*len(styles); got != want {
			t.Errorf("%d texts became %d", want, got)
		}
	}
}

// TestNewDocument makes a document beside one of each style.
func TestNewDocument(t *testing.T) {
	tests := map[string]struct{ beside, want string }{
		"YAML":                     {"a: 1\n", "---\nb:\n- true\n"},
		"YAML with indented lists": {"a:\n  - 1\n", "---\nb:\n  - true\n"},
		"YAML with CRLF":           {"a: 1\r\n", "---\r\nb:\r\n- true\r\n"},
		"JSON":                     {`{"a": 1}`, "---\n{\n  \"b\": [\n    true\n  ]\n}\n"},
		"JSON behind a byte order mark and white space": {"\ufeff\n {\"a\": 1}", "---\n{\n  \"b\": [\n    true\n  ]\n}\n"},
		"YAML in flow style":                            {"{a: 1}\n", "---\nb:\n- true\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := document(test.beside).NewDocument(yaml.MustParse("b:\n- true\n"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(d.Marker)+string(d.Body)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
