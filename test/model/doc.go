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
// BeginFence, FinishFence and DropFence, [failover.Decide] and [failover.MayLift].
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
//     each step any time after the one before. A webhook that dies, or whose answer is
//     lost, takes no further step, or is an API request that fails after the
//     admission; a write that was given up and lands later is a slow webhook.
//   - API servers: an admitted pod, or binding, is stored any time later, or never.
//     Pods end, or are deleted by force, as are VolumeAttachments and Node objects.
//   - Leaders look at pods, nodes and watchers one after the other while everything
//     else goes on. A leader that dies takes no further step.
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
//     pod; an etcd that is restored; a claim on another tenant's volume.
//   - People fail over, to the same cluster or to different ones at once; their command
//     dies at any step, is repeated, resumed or dropped; fences are lifted.
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
// # What was found
//
// Each rule is needed: testdata has the shortest way to two writers without it, or,
// for rule 2, to an owner that is locked out of its own image. krbd's option exclusive
// prevents two writers whichever rule is missing, for as long as the blocklist entries
// last that Ceph makes by itself, and not longer.
package model
