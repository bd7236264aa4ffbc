// Package idle proves that this cluster does not use an image any more, and releases it.
// The keeper's leader does that by itself. A person does it with the plugin where no leader
// runs. Both use [Prover.Look], so whatever keeps one from releasing keeps the other from it.
package idle
