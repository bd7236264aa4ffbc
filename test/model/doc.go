// Package model explores the ownership protocol exhaustively: everything that webhooks,
// API servers, leaders, kubelets, ceph-csi, krbd, the blocklist and people may do, in
// every order, for a few clusters, nodes and pods and one image. It needs no server.
//
// # What is claimed
//
// A client can write when its node has the image mapped and no entry of the blocklist
// that is in force covers it. Whether it is frozen or cut off does not matter: what it
// writes then waits, and lands when it is back. The invariant of the project is that at
// no time clients of two clusters can write ([TwoWriters]). The tests show more:
// at no time a client can write whose cluster is not the owner in the record
// ([Stranger]). They show it for every state of every [Config] of the tests, without a
// bound on how often anything happens.
//
// # What is real and what is modelled
//
// The decisions are the real ones: [guard.Decide], [ownership.Acquire], Undo, Keep,
// BeginFence, FinishFence and DropFence, [failover.Decide], which says also whether client
// instances are enough, and [failover.MayLift].
// Records in the model are real records, without what no decision rests on. The
// shortest paths to a sample of the states (of the smallest configuration: to all),
// and long random walks, are carried out by the code that the programs run, AcquireAll
// and failover.Take, on the in-memory Ceph; after each step the stored record and every
// cluster's answer to another pod are compared with the model, and those who were
// overtaken have to be refused.
//
// Modelled is the world around them:
//
//   - Webhooks: the record is read, the watchers are looked at, the record is swapped,
//     each step any time after the one before. Or the watchers are listed before the record is
//     read, if there are none then (Config.Early). A webhook that dies, or whose answer is
//     lost, takes no further step, or is an API request that fails after the
//     admission; a write that was given up and lands later is a slow webhook.
//   - API servers: an admitted pod, or binding, is stored any time later, or never.
//     Pods end, or are deleted by force, as are VolumeAttachments and Node objects.
//   - Leaders look at pods, nodes and watchers one after the other while everything
//     else goes on, as late as can be. A leader that dies takes no further step. Its caches show
//     pods and nodes as they were at any earlier moment: it writes into the record what they
//     show, and neither releases nor acquires by them.
//   - Nodes: the kubelet reports a volume in use before it mounts; ceph-csi looks for
//     watchers, and maps any time later, so that two can pass each other. A node that
//     is frozen or cut off takes no step; its watch expires, and comes back. It may
//     reboot, and mounts again for its pods without any admission.
//   - krbd: a client whose blocklist entry has ended writes again, and no watch shows
//     it. The lock of a silent holder is broken by whoever maps next, and Ceph puts the
//     holder on the blocklist, for an hour. Mapping mode: no lock, default, exclusive.
//   - What the first version did not think of, each to be switched on: a binding that no
//     webhook sees, and a cluster that has none any more; a boot with other addresses,
//     and addresses that change without one; a Node object that registers again before
//     its kubelet has reported, or for another machine; a volume that comes after its
//     pod, and is missed until its claim names it; an etcd that is restored; a claim on another tenant's volume.
//   - People fail over, to the same cluster or to different ones at once; their command
//     dies at any step, is repeated, resumed or dropped; fences are lifted.
//
// # Names as keys
//
// With Config.Keys the name of the image says who owns it: base, or base~cluster. A kubelet
// opens an image by its own cluster's name only, and fails while that does not lead there.
// The record says who may rename. A rename is the three requests that librbd makes, each of
// which may come late: it makes the new name, changes the directory if that still has the old
// one, removes the old name. It may die in between, and is repaired by what the directory says.
// A map first resolves the name and then opens the image by its id, so that a rename can come
// in between.
//
// What has to be done about the names, keys.work, is written here a second time, because
// librbd hides the steps of a rename from the product. So the states of some configurations
// are carried over to the in-memory Ceph (carryOver): whatever names lead to the image,
// whoever has its lock, and whoever is on the blocklist, imagename.Take and failover.Take have
// to come to what the model comes to. Paths are not replayed with names, because a rename in
// memory is one step.
//
// Around admission goes a cluster without a webhook configuration, an etcd that is restored, a
// node that boots with another address. Then two clusters cannot write
//
//   - if the image is mapped exclusively, and a map ends in time: it opens the image before
//     the watchers and the lock are looked at, or never. A later one is refused as long as the
//     owner has the lock. If it was first, falls silent, and the owner's krbd takes the lock from it,
//     Ceph's entry keeps it away for an hour (testdata/keys-late-map-exclusive.txt).
//   - if it is not, and besides nobody falls silent. What remains is a late map
//     (keys-late-map.txt), which the owner's leader fences when it sees it, and a client that
//     nobody has recorded and that is silent whenever somebody looks (keys-silent.txt).
//
// Each rule is needed (rule-8-*.txt). No pod is admitted, nor is a binding that acquires the
// image, before the image has the cluster's name and no other; also when the cluster is the
// owner already, because who acquired first may have died before it renamed. The watchers and
// the lock are looked at after that. A half-done rename is repaired. Who is renaming is
// fenced before the image is another's, and before a repair: librbd makes the new name
// before it finds that the old one is gone, and leaves it there. A failover fences before it
// renames and looks again afterwards; who has the lock is fenced too, recorded or not. Client
// instances alone are enough for images that are mapped exclusively. Of others, a record
// does not show a client that was made after it was written. That the product asks besides
// for mappings that are clients of their own concerns what else is cut off, not who writes.
//
// When a leader looks decides which client the record names, and so what a failover fences. It
// may look any time later, or not before the failover (Config.Slow): then the record has a node
// and no client of it, and the machine is fenced, which keeps off a late map as well
// (rule-8-unseen.txt). If the record names a client, that one alone is fenced. Another one of the
// same boot, of a pod that was made anew, say, is found by its lock or its watch (rule-8-holder.txt,
// rule-8-look.txt). If it opens the image only after the takeover, gets the lock and falls silent,
// Ceph's entry keeps it away for an hour, and then two clusters can write
// (keys-late-map-failover.txt). The new owner's leader has until then to fence it. So how soon that
// one looks matters for every late map; of images that are not mapped exclusively it also says how
// long the late client writes.
//
// # One node of a cluster
//
// With Config.Single the volume is for one writer. Then no two nodes of one cluster can write
// ([TwoNodes]), though pods and attachments are taken away by force: a pod gets its node when
// [ownership.Rivals] has nobody who is not cut off, [ownership.IsCutOff]. Whom a person's command
// puts on the blocklist for a lost node is failover.Decide's. An image that is mapped exclusively
// is left to Ceph, for an hour (testdata/single-exclusive.txt).
//
// With Config.Objects a person confirms a plan, and a leader carries it out any time later, and again
// when it was interrupted. Then nothing is cut off that was not there at the confirmation, as far as
// the Node object shows it ([Harmed]): failover.Plan.Beyond says whether the plan is by then more than
// what was confirmed. Comparing machines and clients is not enough, because a node has the same
// address after a boot (testdata/rule-10-boot.txt). Comparing machines and boots is not either: the
// boot that was confirmed may open the image again, so it is not lost (testdata/rule-10-client.txt).
//
// # What it rests on
//
//   - Every creation of a pod passes the webhook (testdata/hole-no-webhook.txt), and an
//     API server's state never goes back: an etcd that is restored from a backup may bring
//     back pods that nobody admits again (hole-restored-etcd.txt). Fence the nodes of such a
//     cluster first.
//   - A node that is fenced maps nothing from another address afterwards
//     (hole-boot-elsewhere.txt).
//   - A pod with a node's name is created after its volume (hole-volume-after-pod.txt),
//     and claims name no volume but their own (hole-tenant.txt).
//   - A pod that is created with a node's name is stored within the time that an API
//     request may take, or never (testdata/assumption-stored-in-time.txt). For every
//     other pod that does not matter, because its binding is admitted too.
//   - Before a fence is lifted, requests that were admitted before the takeover have
//     ended.
//   - Kubelets keep status.volumesInUse as Kubernetes says: added before the mount,
//     taken away after NodeUnstage. So this is about drivers that attach.
//   - When an image gets its first record, a client that has it open already is not cut
//     off (testdata/assumption-first-record.txt), and nobody fails over before its
//     cluster's leader has looked at it once.
//   - Ceph swaps records atomically; a client is a watcher before it can write; an
//     entry of the blocklist that a barrier has confirmed lets nothing through until it
//     ends; nobody but kubectl cephferry ends one of ours.
//   - The addresses of nodes in the record are those that Ceph sees, and the UIDs of
//     clusters differ.
//
// # Scenarios
//
// A person writes one as a text, and the model plays it (testdata/scenarios, and
// TestScenarios): what somebody does, a line for each step, and what comes of it. Its steps
// are those that an exploration takes.
//
// # What was found
//
// Each rule is needed: testdata has the shortest way to two writers without it, or,
// for rule 2, to an owner that is locked out of its own image. krbd's option exclusive
// prevents two writers whichever rule is missing, for as long as the blocklist entries
// last that Ceph makes by itself, and not longer.
package model
