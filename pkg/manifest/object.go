package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// maxNodes bounds what a document may expand to when its aliases are replaced by
// what they point to. 10 MB of plain YAML stays far below it.
const maxNodes = 5_000_000

// Parse parses the document. It returns nil for one without content, such as one
// of comments only. Aliases and merge keys are replaced by what they stand for,
// so that an edit changes one place only.
//
// A duplicate key is an error: YAML forbids it, and parsers differ in which of
// the two they take.
func (d Document) Parse() (*yaml.RNode, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(d.parsable()))
	var node yaml.Node
	if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second document starts without \"---\"", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := checkKeys(&node); err != nil {
		return nil, err
	}
	if _, err := expandedSize(&node, map[*yaml.Node]int{}); err != nil {
		return nil, err
	}
	object := yaml.NewRNode(&node)
	if anchored(&node) {
		if err := object.DeAnchor(); err != nil {
			return nil, fmt.Errorf("replace aliases: %w", err)
		}
		if err := checkKeys(&node); err != nil {
			return nil, err // kyaml doubles a key that is null
		}
	}
	if object.IsNilOrEmpty() {
		return nil, nil
	}
	return object, nil
}

// parsable is the body without what the parser takes wrongly: a byte order mark,
// carriage returns, which would become parts of comments, and JSON's escapes.
func (d Document) parsable() []byte {
	body := bytes.ReplaceAll(withoutBOM(d.Body), []byte("\r\n"), []byte("\n"))
	if d.isJSON() {
		return jsonEscape.ReplaceAllFunc(body, yamlEscape)
	}
	return body
}

// jsonEscape matches one escape of a JSON string, a surrogate pair as one.
var jsonEscape = regexp.MustCompile(`\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)`)

// yamlEscape replaces the two escapes of JSON that the YAML parser does not know.
func yamlEscape(escape []byte) []byte {
	switch {
	case string(escape) == `\/`:
		return []byte("/")
	case len(escape) == len(`\ud83d\ude00`):
		high, _ := strconv.ParseUint(string(escape[2:6]), 16, 32)
		low, _ := strconv.ParseUint(string(escape[8:12]), 16, 32)
		return utf8.AppendRune(nil, utf16.DecodeRune(rune(high), rune(low)))
	}
	return escape
}

// checkKeys returns an error for the first key that stands twice in a mapping.
func checkKeys(node *yaml.Node) error {
	if node.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i < len(node.Content); i += 2 {
			key, line := node.Content[i], node.Content[i].Line
			if key.Kind == yaml.AliasNode {
				key = key.Alias
			}
			if key.Kind == yaml.ScalarNode {
				if seen[key.Value] {
					return fmt.Errorf("line %d: key %q stands twice in one mapping", line, key.Value)
				}
				seen[key.Value] = true
			}
		}
	}
	for _, child := range node.Content {
		if err := checkKeys(child); err != nil {
			return err
		}
	}
	return nil
}

// anchored reports whether the tree has anchors, aliases or merge keys.
func anchored(node *yaml.Node) bool {
	return node.Anchor != "" || node.Kind == yaml.AliasNode || node.Tag == yaml.MergeTag || slices.ContainsFunc(node.Content, anchored)
}

// expandedSize counts the nodes of the tree with every alias replaced. It fails
// on an alias that contains itself and on a tree of more than maxNodes.
func expandedSize(node *yaml.Node, sizes map[*yaml.Node]int) (int, error) {
	if size, ok := sizes[node]; ok {
		if size == 0 {
			return 0, fmt.Errorf("line %d: an anchor's value contains itself", node.Line)
		}
		return size, nil
	}
	sizes[node] = 0 // being counted
	children := node.Content
	if node.Kind == yaml.AliasNode {
		children = []*yaml.Node{node.Alias}
	}
	total := 1
	for _, child := range children {
		size, err := expandedSize(child, sizes)
		if err != nil {
			return 0, err
		}
		if total += size; total > maxNodes {
			return 0, fmt.Errorf("line %d: aliases expand to more than %d nodes", node.Line, maxNodes)
		}
	}
	sizes[node] = total
	return total, nil
}

// Encode returns the body of a document that holds object, in the style of d:
// JSON if d is JSON, otherwise YAML with d's indentation of sequences, and with
// d's line ends.
func (d Document) Encode(object *yaml.RNode) ([]byte, error) {
	text, err := d.encode(object)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte(d.LineEnd())), nil
}

func (d Document) encode(object *yaml.RNode) ([]byte, error) {
	if !d.isJSON() {
		restyle(object.YNode(), false)
		style := yaml.SequenceIndentStyle(yaml.DeriveSeqIndentStyle(string(d.Body)))
		return yaml.MarshalWithOptions(object.Document(), &yaml.EncoderOptions{SeqIndent: style})
	}
	text, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, bytes.TrimSpace(text), "", "  "); err != nil {
		return nil, err
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// restyle changes the style of values that the encoder would not write correctly
// in the style they have: it adds line ends to a folded text of several lines,
// writes a block that begins with a tab in a way that no parser takes, and makes
// a text of a null that {a: , b} only implies. flow says that node stands in braces
// or brackets.
func restyle(node *yaml.Node, flow bool) {
	if node.Kind == yaml.ScalarNode {
		block := yaml.FoldedStyle | yaml.LiteralStyle
		switch {
		case strings.HasPrefix(node.Value, "\t") && (node.Style == 0 || node.Style&block != 0):
			node.Style = node.Style&^block | yaml.DoubleQuotedStyle
		case node.Style&yaml.FoldedStyle != 0 && strings.Contains(strings.TrimSuffix(node.Value, "\n"), "\n"):
			node.Style = node.Style&^block | yaml.LiteralStyle
		case flow && node.Value == "" && node.ShortTag() == yaml.NodeTagNull:
			node.Value = "null"
		}
	}
	flow = flow || node.Style&yaml.FlowStyle != 0
	for _, child := range node.Content {
		restyle(child, flow)
	}
}

// NewDocument returns a document that holds object, in the style of d.
func (d Document) NewDocument(object *yaml.RNode) (Document, error) {
	body, err := d.Encode(object)
	return Document{Marker: []byte("---" + d.LineEnd()), Body: body}, err
}

// LineEnd is how the lines of d end.
func (d Document) LineEnd() string {
	if bytes.Contains(d.Body, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

func (d Document) isJSON() bool {
	body := withoutBOM(d.Body)
	return bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) && json.Valid(body)
}
