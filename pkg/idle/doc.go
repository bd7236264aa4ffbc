// Package idle proves that this cluster does not use an image any more, and releases it.
// The keeper's leader does that by itself, and a person does it with the plugin where no
// leader runs: both look by [Prover.Look], so that what keeps one from a release keeps the
// other.
package idle
