// Package sdk shows Go programs that embed Helm how to install a chart with
// migratable claims: see its examples. Its tests show what Helm hands to a
// post-renderer and what it does not.
//
// It is a module of its own, so that the product does not require all of Helm.
package sdk
