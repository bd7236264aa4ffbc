package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/manifest"
)

// part is a document without its offset.
type part struct{ Marker, Body string }

var streams = map[string]struct {
	text string
	want []part
}{
	"empty input has no documents": {
		text: "",
		want: nil,
	},
	"white space is a document": {
		text: "\n \n",
		want: []part{{"", "\n \n"}},
	},
	"a marker alone": {
		text: "---\n",
		want: []part{{"---\n", ""}},
	},
	"a marker without a line end": {
		text: "---",
		want: []part{{"---", ""}},
	},
	"only markers": {
		text: "---\n---\n--- \n---",
		want: []part{{"---\n", ""}, {"---\n", ""}, {"--- \n", ""}, {"---", ""}},
	},
	"text before the first marker": {
		text: "a: 1\n---\nb: 2\n",
		want: []part{{"", "a: 1\n"}, {"---\n", "b: 2\n"}},
	},
	"no final line end": {
		text: "---\na: 1\n---\nb: 2",
		want: []part{{"---\n", "a: 1\n"}, {"---\n", "b: 2"}},
	},
	"a final marker": {
		text: "a: 1\n---\n",
		want: []part{{"", "a: 1\n"}, {"---\n", ""}},
	},
	"CRLF": {
		text: "---\r\na: 1\r\n---\r\nb: 2\r\n",
		want: []part{{"---\r\n", "a: 1\r\n"}, {"---\r\n", "b: 2\r\n"}},
	},
	"mixed line ends": {
		text: "a: 1\r\n---\nb: 2\n---\r\nc: 3\n",
		want: []part{{"", "a: 1\r\n"}, {"---\n", "b: 2\n"}, {"---\r\n", "c: 3\n"}},
	},
	"a byte order mark before a marker": {
		text: "\ufeff---\na: 1\n",
		want: []part{{"\ufeff---\n", "a: 1\n"}},
	},
	"a byte order mark before text": {
		text: "\ufeffa: 1\n---\nb: 2\n",
		want: []part{{"", "\ufeffa: 1\n"}, {"---\n", "b: 2\n"}},
	},
	"an indented marker in a block scalar is text": {
		text: "a: |\n  ---\n  b\n---\nc: 3\n",
		want: []part{{"", "a: |\n  ---\n  b\n"}, {"---\n", "c: 3\n"}},
	},
	"a marker at the margin ends a block scalar": {
		text: "a: |\n  b\n---\nc: 3\n",
		want: []part{{"", "a: |\n  b\n"}, {"---\n", "c: 3\n"}},
	},
	"a marker at the margin ends a quoted string, which is malformed then": {
		text: "a: \"x\n---\ny\"\n",
		want: []part{{"", "a: \"x\n"}, {"---\n", "y\"\n"}},
	},
	"more than three dashes are text": {
		text: "a: 1\n----\n---x\n-----BEGIN CERTIFICATE-----\n",
		want: []part{{"", "a: 1\n----\n---x\n-----BEGIN CERTIFICATE-----\n"}},
	},
	"dashes inside a line are text": {
		text: "a: --- b\nc: x---\n",
		want: []part{{"", "a: --- b\nc: x---\n"}},
	},
	"a marker line with content belongs to the body": {
		text: "--- {a: 1}\n--- |\n  text\n",
		want: []part{{"", "--- {a: 1}\n"}, {"", "--- |\n  text\n"}},
	},
	"a marker line with a comment belongs to the body": {
		text: "a: 1\n--- # second\nb: 2\n",
		want: []part{{"", "a: 1\n"}, {"", "--- # second\nb: 2\n"}},
	},
	"a marker line with a tab": {
		text: "---\t\na: 1\n---\t{b: 2}\n",
		want: []part{{"---\t\n", "a: 1\n"}, {"", "---\t{b: 2}\n"}},
	},
	"a document end does not start a document": {
		text: "a: 1\n...\n---\nb: 2\n...\n",
		want: []part{{"", "a: 1\n...\n"}, {"---\n", "b: 2\n...\n"}},
	},
	"directives stand before the marker": {
		text: "%YAML 1.2\n---\na: 1\n",
		want: []part{{"", "%YAML 1.2\n"}, {"---\n", "a: 1\n"}},
	},
	"comments between markers": {
		text: "---\n# Source: shop/templates/a.yaml\n# only a comment\n---\na: 1\n",
		want: []part{{"---\n", "# Source: shop/templates/a.yaml\n# only a comment\n"}, {"---\n", "a: 1\n"}},
	},
	"JSON values that follow each other": {
		text: "---\n{\"a\": 1}\n{\"b\":\n 2} \n\n{}{\"c\": 3}",
		want: []part{{"---\n", "{\"a\": 1}\n"}, {"", "{\"b\":\n 2} \n"}, {"", "\n{}"}, {"", "{\"c\": 3}"}},
	},
	"JSON with something else behind it": {
		text: "{\"a\": 1}\nb: 2\n",
		want: []part{{"", "{\"a\": 1}\nb: 2\n"}},
	},
	"bytes that are not UTF-8": {
		text: "a: \xff\xfe\n---\n\x00\n",
		want: []part{{"", "a: \xff\xfe\n"}, {"---\n", "\x00\n"}},
	},
}

func TestSplit(t *testing.T) {
	for name, test := range streams {
		t.Run(name, func(t *testing.T) {
			checkSplit(t, []byte(test.text))
			var got []part
			for d := range manifest.Split([]byte(test.text)) {
				got = append(got, part{string(d.Marker), string(d.Body)})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	tests := map[string]struct {
		documents []manifest.Document
		want      string
	}{
		"nothing": {},
		"a body without a line end gets one before the next document": {
			documents: []manifest.Document{
				{Body: []byte("a: 1")},
				{Marker: []byte("---\n"), Body: []byte("b: 2")},
				{Body: []byte("--- {c: 3}")},
			},
			want: "a: 1\n---\nb: 2\n--- {c: 3}",
		},
		"a marker without a line end gets one before the next document": {
			documents: []manifest.Document{
				{Marker: []byte("---")},
				{Marker: []byte("---\n"), Body: []byte("b: 2\n")},
			},
			want: "---\n---\nb: 2\n",
		},
		"an empty first document does not get a line end": {
			documents: []manifest.Document{{}, {Marker: []byte("---\n"), Body: []byte("b: 2\n")}},
			want:      "---\nb: 2\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			if err := manifest.Write(&got, test.documents); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
