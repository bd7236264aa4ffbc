// Package missing says what keeps an image from being released, since when, and the way out.
//
// [Of] is a pure function of what was seen. The keeper reports its result in the owner's
// cluster, at the claim, the PersistentVolume, the pod and the MigratableVolume, and leaves it
// beside the record as a note for the other clusters ([ceph.Note]). The guard shows it in
// refusals, and the plugin prints it. A way out never names what is done already, and never
// fences a node that may be alive. Whoever is told to give up the proof is also told when: "if
// you know that the machine is off".
package missing
