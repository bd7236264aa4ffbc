// Package charts is the chart, for the tests in test/chart/render. Go's test cache knows an
// embedded file by its content, and one that a test opens by its time, which is new in every
// clone.
package charts

import "embed"

// Files are the chart, in the folder cephferry.
//
//go:embed all:cephferry
var Files embed.FS
