// Package manifest takes a stream of Kubernetes manifests apart into documents
// and puts it together again. A document that nobody edits keeps its bytes:
// comments, anchors, spacing, line ends. A document that is edited is parsed and
// encoded by kyaml, in the line ends, sequence indentation and format (YAML or
// JSON) that it came in.
//
// Splitting needs no YAML parser: a line that starts with "---" or "..." and
// goes on with white space is a marker wherever it stands, also inside block
// scalars and quoted strings, whose lines are not allowed to look like that
// (YAML 1.2.2, 9.1.2 and c-forbidden).
package manifest
