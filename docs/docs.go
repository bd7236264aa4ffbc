// Package docs is the documents, for tests that compare them with the code. Go's test cache knows
// an embedded file by its content, and one that a test opens by its time, which is new in every
// clone.
package docs

import "embed"

// Files are the documents, without their pictures.
//
//go:embed *.md
var Files embed.FS
