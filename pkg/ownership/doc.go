// Package ownership decides which Kubernetes cluster may use an image. The answer is
// in the image's record ([ceph.Record]), a RADOS object that every cluster reads and
// swaps. Watchers are not enough: a list of them shows who has the image open, but not who
// was just admitted, is cut off for the moment, or asks at the same time.
//
//  1. A cluster may start pods on an image only while it is the recorded owner. It
//     acquires all volumes of a pod, or none, when the pod is admitted.
//  2. The owner acquires again silently.
//  3. Only the owner releases, and only when it can prove that the image is idle.
//  4. Time alone never breaks ownership. Only a release does, or a fence that was
//     carried out and verified.
//  5. A foreign watcher means refusal, whatever the record says. Unknown means refusal.
//  6. Fencing is a person's decision, and names the recorded holder.
//  7. A fence outlives the danger.
//
// Functions without I/O decide what a record becomes: [Acquire] and [Undo] at
// admission, [Keep] in the owner's leader, [Release], [BeginFence], [FinishFence] and
// [DropFence] for people. [AcquireAll] and [Change] carry them out.
//
// # Why a release is safe
//
// The owner's leader reads the record, then proves at its API server and in Ceph
// that nothing uses the image, then swaps the record it has read. Every admission
// writes the record, even one of the owner's, so a pod that was admitted meanwhile makes
// the swap fail. The record lists a pod that was admitted before by its UID, which an
// admission review of a creation has already, until the pod was seen at the API server.
// If it never appears, because the request failed after the admission, the leader waits
// until the record's count of admissions has stayed the same for longer than the API
// server works on a request ([Quiet]). It measures that on its own monotonic clock; no two
// clocks are ever compared.
//
// # An example
//
// The image replicapool/shop.data moves from east to west and back. Then east burns down,
// and west takes the image over. The example of this package prints what is stored after
// each step.
package ownership
