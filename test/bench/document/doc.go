// Package document reads and writes the tables of docs/performance.md. Each has a mark
// before it, a comment that says which part of test/bench measures it, what its title
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
// The last line is [Hash] of that code when the table was measured. A mark without a title
// is where tables of its part go that have no mark yet.
package document
