// Package document reads and writes the tables of docs/performance.md. Before each table is a
// mark, a comment that says which part of test/bench measures the table, what its title
// is there, and which code it measures:
//
//	<!-- bench guard: Time of one answer
//	code: pkg/guard pkg/usage cmd/webhook/serve.go
//	measured: 1f0c3a5b7d9e -->
//
//	| | p50 |
//	|---|---:|
//	| pod | 0.64 ms |
//
// The last line is the [Hash] of that code when the table was measured. A mark without a title
// is the place for tables of its part that have no mark yet.
package document
