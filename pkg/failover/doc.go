// Package failover takes images from a Kubernetes cluster that is dead, for a person
// who decided so, and lets its machines in again later.
//
// Whom to cut off is read from the image's record, never from its watchers: who
// watches now may be somebody who took over already. Watchers only stop a failover:
// one that is neither the recorded holder's nor about to be fenced means that the
// record does not tell the whole truth.
//
// [Decide] is the decision, without I/O: what has to be fenced, what that cuts off
// besides, or why not. [TakeAll] carries out the plans for several images, in an order in
// which it can be killed after any step and run again:
//
//	begin      the record says that the image is being taken; nobody starts anything
//	machines   the holder's nodes are put on the blocklist, all that comes from there
//	instances  then its client instances, which is what lasts: a node comes back with
//	           another instance, and its own entry is lifted then
//	barrier    the OSDs know
//	rename     a keyed image gets this cluster's name: nobody else finds it any more
//	look       no watcher is left, and the entries are all there
//	finish     the record says that the image is ours
//
// There is one fence for all images, and none until all have begun. What was begun is put
// back if one is refused: nobody could start anything meanwhile, and nothing was fenced or
// renamed. After the barrier each image goes on by itself.
//
// Machines come before instances because Ceph cannot prolong an entry. One that it
// made by itself when a lock was taken over lasts an hour; it is taken off and put on
// again for years while the machine's entry covers it (see ceph.PlanFence). For the same
// reason the fence comes before the rename, which takes the lock over.
//
// A keyed image that is mapped exclusively, by clients of its own, needs no machines if its
// record is certain ([Plan.Exact]): there is nothing to lift or to reboot afterwards. A client that nobody
// recorded has the image's lock then, so it is found and fenced; and one that resolved a
// name of the image before the rename, and opens it after, is seen by the looks that
// follow. Who may be renaming the image is fenced with the holders: a rename that was only slow
// goes on where it was.
//
// A machine's entry is lifted on proof that it rebooted: then no kernel client of
// before it can write any more. [MayLift] is that decision.
package failover
