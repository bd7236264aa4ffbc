// Command describe writes what is known of a built image: a software bill of materials (SPDX
// 2.3) of its packages and of the Go modules in its programs, and its provenance, an in-toto
// statement with SLSA's predicate. Both depend on nothing but what they describe, so that the
// same image has the same.
package main
