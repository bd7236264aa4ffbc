package manifest

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// extent is where a scalar on one line starts and ends in the body.
func (t *Tree) extent(node *yaml.Node) (from, to int, err error) {
	if node.Kind != yaml.ScalarNode || node.Anchor != "" || node.Style&(yaml.TaggedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return 0, 0, errNotInPlace
	}
	from = t.offset(node)
	rest := t.document.Body[from:]
	switch {
	case node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		if to = quotedLength(rest); to == 0 {
			return 0, 0, errNotInPlace
		}
		return from, from + to, nil
	case !bytes.HasPrefix(rest, []byte(node.Value)):
		return 0, 0, errNotInPlace // it goes on in the next line
	}
	return from, from + len(node.Value), nil
}

// quotedLength is the length of the quoted string that text starts with, 0 if it does
// not end on its line.
func quotedLength(text []byte) int {
	for i := 1; i < len(text) && text[i] != '\n' && text[i] != '\r'; i++ {
		switch {
		case text[0] == '"' && text[i] == '\\':
			i++
		case text[0] == '\'' && bytes.HasPrefix(text[i:], []byte("''")):
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return 0
}

// margin is what stands before the offset on its line, and whether that is only
// white space.
func (t *Tree) margin(offset int) (text []byte, own bool) {
	start := bytes.LastIndexByte(t.document.Body[:offset], '\n') + 1
	text = t.document.Body[start:offset]
	return text, len(bytes.TrimSpace(text)) == 0
}

// lineEnd is how the line at the offset ends. The last line may have no end, and then
// ends like the others.
func (t *Tree) lineEnd(offset int) string {
	line := t.document.Body[offset : offset+lineLength(t.document.Body[offset:])]
	switch {
	case bytes.HasSuffix(line, []byte("\r\n")):
		return "\r\n"
	case bytes.HasSuffix(line, []byte("\n")):
		return "\n"
	}
	return t.document.LineEnd()
}
