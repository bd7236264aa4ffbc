// Package manifest takes a stream of Kubernetes manifests apart into documents,
// and changes documents as little as it can.
//
// A document that nobody edits keeps its bytes. One that is edited changes only
// in the lines of the edit: comments, anchors, quoting, block scalars and line
// ends stay ([Tree.Edit]). Where those lines cannot be edited, because the value
// comes from an alias or spans lines, the object is encoded anew. If an anchor prevents
// that too, the whole document is. Either way the result is read as Helm 3, Helm 4 and
// kubectl read it, and an edit that would change anything else is an error.
//
// Splitting needs no YAML parser. A line that starts with "---" or "..." followed by
// white space is a marker wherever it stands, even inside block scalars and quoted
// strings, whose lines are not allowed to look like that (YAML 1.2.2, 9.1.2 and
// c-forbidden).
package manifest
