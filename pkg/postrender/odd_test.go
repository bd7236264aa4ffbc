package postrender_test

import (
	"strings"
	"testing"
)

// oddStreams are rendered, or refused, without harm: what must hold for them is
// in checkRender.
var oddStreams = map[string]struct {
	text    string
	refused bool
}{
	"comments everywhere": {text: `# head
--- # on the marker
# above
apiVersion: v1 # version
# between
kind: PersistentVolumeClaim # kind

metadata: # metadata
  # above name
  name: data # name
  annotations: # annotations
    # above key
    cephferry.io/migratable: "true" # key
    # below key
spec: # spec
  # above modes
  accessModes: # modes
    # above mode
    - ReadWriteOnce # mode
    # below mode
  storageClassName: ceph-block # class
  resources: {requests: {storage: 1Gi}} # size
  # foot of spec
# foot
`},
	"texts of all styles beside the claim": {text: `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  data:
    folded: >+
      a
      b

       indented

    literal: |2-
        indented
      text
    tab: "\tx\ny"
    long: ` + strings.Repeat("word ", 100) + `
    emoji: "😀"
    escapes: "\u2028\x00\e\N"
    yes: no
    octal: 0644
    date: 2024-01-31
    number: 1_000
    "null": ~
    empty:
    float: 1.10
    binary: !!binary aGVsbG8=
    text: !!str 12
` + indent(claim("data", "1Gi", ""))},
	"bare carriage returns": {text: strings.ReplaceAll(claim("data", "1Gi", ""), "\n", "\r")},
	"two documents behind bare carriage returns": {
		text:    strings.ReplaceAll(claim("a", "1Gi", "")+claim("b", "1Gi", ""), "\n", "\r"),
		refused: true,
	},
	"mixed line ends": {text: strings.Replace(claim("a", "1Gi", ""), "\n", "\r\n", 3) + claim("b", "1Gi", "") + "---\r\na: 1"},
	"a document end and a directive": {
		text: claim("a", "1Gi", "") + "...\n%YAML 1.1\n" + claim("b", "1Gi", ""),
		// The directive belongs to the next document, and the parser does not know.
		refused: true,
	},
	"a directive at the start": {text: "%YAML 1.1\n" + claim("a", "1Gi", "")},
	"explicit keys and tags": {text: `? apiVersion
: !!str v1
? kind
: !!str PersistentVolumeClaim
? metadata
: !!map
  name: !!str data
  annotations: !!map {? cephferry.io/migratable : !!str true}
spec: !!map
  accessModes: !!seq [ReadWriteOnce]
  resources: {requests: {storage: !!str 1Gi}}
`},
	"a key that is a list":          {text: claim("data", "1Gi", "  x: {? [a, b] : c}\n"), refused: true},
	"a key that is a number":        {text: claim("data", "1Gi", "status: {1: a, true: b}\n")},
	"metadata of a wrong kind":      {text: "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: cephferry.io\n", refused: true},
	"annotations that are a list":   {text: "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {annotations: [cephferry.io/migratable]}\n", refused: true},
	"kind of a wrong kind":          {text: "apiVersion: v1\nkind: [PersistentVolumeClaim]\nmetadata: {annotations: {cephferry.io/migratable: x}}\n"},
	"a document that is a list":     {text: "- cephferry.io/migratable\n- b\n"},
	"a document that is a text":     {text: "cephferry.io/migratable\n"},
	"items that are no objects":     {text: "apiVersion: v1\nkind: List\nitems: [cephferry.io, 1, [a], null]\n"},
	"items that are no list":        {text: "apiVersion: v1\nkind: List\nitems: {cephferry.io: a}\n"},
	"a spec that is null":           {text: "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a, annotations: {cephferry.io/migratable: \"true\"}}\nspec: ~\n", refused: true},
	"templates that are null":       {text: "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: cephferry.io}\nspec: {volumeClaimTemplates: [~, {}]}\n"},
	"templates that are an object":  {text: "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: cephferry.io}\nspec: {volumeClaimTemplates: {a: b}}\n", refused: true},
	"a class that is null":          {text: claim("data", "1Gi", "  storageClassName: ~\n  volumeName: ~\n")},
	"a volume name that is empty":   {text: claim("data", "1Gi", "  volumeName: \"\"\n")},
	"a size that is a number":       {text: claim("data", "1073741824", "")},
	"a name that is a number":       {text: claim("2024", "1Gi", ""), refused: true},
	"a name in quotes like a word":  {text: claim(`"yes"`, "1Gi", "")},
	"a name that is a word":         {text: claim(`y`, "1Gi", ""), refused: true},
	"a field after the merge":       {text: "x: &x {storageClassName: ceph-block}\n" + strings.TrimPrefix(claim("data", "1Gi", "  <<: *x\n"), "---\n")},
	"JSON in a stream of YAML":      {text: claim("a", "1Gi", "") + "---\n" + `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"b","annotations":{"cephferry.io/migratable":"true","x":"\ud83d\ude00\/<&>"}},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"x":1.50,"y":12345678901234567}}`},
	"a claim at the very end":       {text: strings.TrimSuffix(claim("a", "1Gi", ""), "\n")},
	"a marker at the very end":      {text: claim("a", "1Gi", "") + "---"},
	"bytes that are not UTF-8":      {text: claim("a", "1Gi", "") + "---\na: \xff\n"},
	"bytes that are not UTF-8 here": {text: claim("a", "1Gi", "  x: \xff\n"), refused: true},
	"a NUL":                         {text: claim("a", "1Gi", "") + "---\na: \x00\n"},
}

// indent makes a document an item of a list.
func indent(document string) string {
	lines := strings.TrimSuffix(strings.TrimPrefix(document, "---\n"), "\n")
	return "- " + strings.ReplaceAll(lines, "\n", "\n  ") + "\n"
}

func TestOddStreams(t *testing.T) {
	classes, err := goldenClasses(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range oddStreams {
		t.Run(name, func(t *testing.T) {
			if _, ok := checkRender(t, classes, []byte(test.text)); ok == test.refused {
				t.Errorf("rendered is %v", ok)
			}
			if ok := checkForCluster(t, []byte(test.text)); ok == test.refused {
				t.Errorf("rendered for the cluster is %v", ok)
			}
		})
	}
}
