// Package missing says what keeps an image from being released, since when, and the way out.
//
// [Of] is a pure function of what was seen. The keeper says it in the owner's cluster, at the
// claim, the PersistentVolume, the pod and the MigratableVolume, and leaves it beside the record as
// a note for the other clusters ([ceph.Note]); the guard has it in refusals, and the plugin shows
// it. No way out is what is done already, and none fences a node that may live: who is told to
// give up the proof is told when, "if you know that the machine is off".
package missing
