// Package failover takes images from a dead Kubernetes cluster once a person has decided so,
// and later lets that cluster's machines back in.
//
// The image's record says whom to cut off. Its watchers do not: whoever watches now may be
// somebody who took over already. Watchers can only stop a failover. One that is neither the
// recorded holder's nor about to be fenced means that the record does not tell the whole truth.
//
// [Decide] is the decision, without I/O: what has to be fenced, and what else that cuts off; or
// why nothing may be. [TakeAll] carries out the plans for several images. It can be killed
// after any step and run again:
//
//	begin      the record says that the image is being taken; nobody starts anything
//	machines   the holder's nodes are put on the blocklist, with all that comes from there
//	instances  then its client instances. Their entries are the ones that last: a rebooted
//	           node has another instance, and the machine's entry is lifted then
//	barrier    the OSDs have the new map
//	rename     a keyed image gets this cluster's name, and nobody else finds it any more
//	look       no watcher is left, and all entries are on the list
//	finish     the record says that the image is ours
//
// One fence serves all images, and nothing is fenced until all have begun. If one is refused,
// those that have begun are restored: nobody could start anything meanwhile, and nothing was
// fenced or renamed. After the barrier each image continues by itself.
//
// Machines come before instances because Ceph cannot prolong an entry. An entry that Ceph
// made for a lock takeover lasts an hour. It is removed and added again for years while the
// machine's entry covers it (see ceph.PlanFence). For the same reason the fence comes before
// the rename, which takes over the lock.
//
// A keyed image that is mapped exclusively, by clients of its own, needs no fence of machines
// if its record is certain ([Plan.Exact]): nothing has to be lifted or rebooted afterwards. A
// client that nobody recorded would have the image's lock, so it is found and fenced. A client
// that resolves a name of the image before the rename, and opens the image after it, is seen
// by the checks that follow. Any client that may be renaming the image is fenced with the
// holders: a rename that was only slow would continue where it was.
//
// A machine's entry is lifted on proof that the machine rebooted: no kernel client from before
// the reboot can write any more. [MayLift] is that decision.
package failover
