// Command describe writes what is known of a built image: a software bill of materials (SPDX
// 2.3) of its packages and of the Go modules in its programs, and its provenance, an in-toto
// statement with SLSA's predicate. Both depend only on what they describe, so the same image
// always has the same ones.
package main
