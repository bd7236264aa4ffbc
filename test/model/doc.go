// Package model explores the ownership protocol exhaustively: everything that webhooks,
// API servers, leaders, kubelets, ceph-csi, krbd, the blocklist and people may do, in
// every order, for a few clusters, nodes and pods and one image. It needs no server.
//
// # What is claimed
//
// A client can write when its node has the image mapped and no blocklist entry in force
// covers it. Whether it is frozen or cut off does not matter: its writes then wait, and land
// when it is back. The project's invariant is that at no time can clients of two clusters
// write ([TwoWriters]). The tests show more: at no time can a client write whose cluster is not
// the owner in the record ([Stranger]). They show it for every state of every [Config] of the
// tests, without a bound on how often anything happens.
//
// # What is real and what is modelled
//
// The decisions are the real ones: [guard.Decide]; [ownership.Acquire], Undo, Keep,
// BeginFence, FinishFence and DropFence; [failover.Decide], which also says whether client
// instances are enough; and [failover.MayLift]. Records in the model are real records, without
// the fields that no decision rests on.
//
// The code that the programs run, AcquireAll and failover.Take, carries out the shortest paths
// to a sample of the states (to all states of the smallest configuration) and long random
// walks, on the in-memory Ceph. After each step the stored record and every cluster's answer to
// another pod are compared with the model, and those who were overtaken have to be refused.
//
// The world around the decisions is modelled:
//
//   - Webhooks: the record is read, the watchers are looked at, the record is swapped,
//     each step any time after the one before. Or the watchers are listed before the record
//     is read, and there are none then (Config.Early). A webhook that dies, or whose answer is
//     lost, takes no further step, or is an API request that fails after the
//     admission. A write that was given up and lands later is a slow webhook.
//   - API servers: an admitted pod, or binding, is stored any time later, or never.
//     Pods end, or are deleted by force; so are VolumeAttachments and Node objects.
//   - Leaders look at pods, nodes and watchers one after the other while everything
//     else goes on, as late as can be. A leader that dies takes no further step. Its caches
//     show pods and nodes as they were at any earlier moment: it writes into the record what
//     they show, and neither releases nor acquires by them.
//   - Nodes: the kubelet reports a volume in use before it mounts. ceph-csi looks for
//     watchers, and maps any time later, so two nodes can pass each other. A node that
//     is frozen or cut off takes no step; its watch expires, and comes back. It may
//     reboot, and mounts again for its pods without any admission.
//   - krbd: a client whose blocklist entry has ended writes again, and no watch shows
//     it. Whoever maps next breaks the lock of a silent holder, and Ceph puts the
//     holder on the blocklist for an hour. Mapping mode: no lock, default, exclusive.
//   - What the first version did not think of; each can be switched on. A binding that no
//     webhook sees, and a cluster that has no webhook any more. A boot with other addresses,
//     and addresses that change without a boot. A Node object that registers again before
//     its kubelet has reported, or for another machine. A volume that comes after its
//     pod, and is missed until its claim names it. An etcd that is restored. A claim on
//     another tenant's volume.
//   - People fail over, to the same cluster or to different ones at once. Their command
//     dies at any step, is repeated, resumed or dropped. Fences are lifted.
//
// # Names as keys
//
// With Config.Keys the name of the image says who owns it: base, or base~cluster. A kubelet
// opens an image only by its own cluster's name, and fails while that name does not lead there.
// The record says who may rename. A rename is the three requests that librbd makes, each of
// which may come late: make the new name; change the directory if that still has the old name;
// remove the old name. It may die in between, and is repaired by what the directory says.
// A map first resolves the name and then opens the image by its id, so a rename can come
// in between.
//
// What has to be done about the names, keys.work, is written here a second time, because
// librbd hides the steps of a rename from the product. So the states of some configurations
// are carried over to the in-memory Ceph (carryOver). Whatever names lead to the image,
// whoever has its lock and whoever is on the blocklist, imagename.Take and failover.Take have
// to come to the model's result. Paths are not replayed with names, because a rename in
// memory is one step.
//
// These bypass admission: a cluster without a webhook configuration, an etcd that is restored, a
// node that boots with another address. Even then two clusters cannot write
//
//   - if the image is mapped exclusively, and a map ends in time: it opens the image before
//     the watchers and the lock are looked at, or never. A later map is refused as long as the
//     owner has the lock. If the late map came first, its client falls silent, and the owner's
//     krbd takes the lock from it, then Ceph's entry keeps that client away for an hour
//     (testdata/keys-late-map-exclusive.txt).
//   - if the image is not mapped exclusively, a map ends in time, and nobody falls silent. What
//     remains is a late map (keys-late-map.txt), which the owner's leader fences when it sees
//     it, and a client that nobody has recorded and that is silent at every look
//     (keys-silent.txt).
//
// Each rule is needed (rule-8-*.txt):
//
//   - No pod is admitted, nor is a binding that acquires the image, before the image has the
//     cluster's name and no other. That holds even if the cluster is the owner already,
//     because whoever acquired first may have died before renaming.
//   - The watchers and the lock are looked at after that.
//   - A half-done rename is repaired.
//   - Whoever is renaming is fenced before the image becomes another's, and before a repair:
//     librbd makes the new name before it finds that the old one is gone, and leaves it there.
//   - A failover fences before it renames, and looks again afterwards. Whoever has the lock is
//     fenced too, recorded or not.
//   - Client instances alone are enough only for images that are mapped exclusively. For
//     others, a record does not show a client that was made after it was written. The product
//     also asks for mappings that are clients of their own; that concerns what else is cut
//     off, not who writes.
//
// The time of a leader's look decides which client the record names, and so what a failover
// fences. The leader may look any time later, or not before the failover (Config.Slow). Then the
// record has a node and no client of it, and the machine is fenced, which keeps off a late map
// as well (rule-8-unseen.txt). If the record names a client, that one alone is fenced. Another
// client of the same boot, for example of a pod that was recreated, is found by its lock or its
// watch (rule-8-holder.txt, rule-8-look.txt). But if it opens the image only after the takeover,
// gets the lock and falls silent, Ceph's entry keeps it away for an hour, and after that two
// clusters can write (keys-late-map-failover.txt). The new owner's leader has that hour to fence
// it. So how soon that leader looks matters for every late map. For images that are not mapped
// exclusively, it also says how long the late client writes.
//
// # One node of a cluster
//
// With Config.Single the volume is for one writer. Then no two nodes of one cluster can write
// ([TwoNodes]), although pods and attachments are removed by force: a pod gets its node when
// [ownership.Rivals] has nobody who is not cut off, by [ownership.IsCutOff]. failover.Decide says
// whom a person's command puts on the blocklist for a lost node. An image that is mapped
// exclusively is left to Ceph, for an hour (testdata/single-exclusive.txt).
//
// With Config.Objects a person confirms a plan, and a leader carries it out any time later, and
// again after it was interrupted. Then nothing is cut off that was not there at the confirmation,
// as far as the Node object shows it ([Harmed]): failover.Plan.Beyond says whether the plan has by
// then become more than what was confirmed. Comparing machines and clients is not enough, because
// a node has the same address after a boot (testdata/rule-10-boot.txt). Comparing machines and
// boots is not enough either: the confirmed boot may open the image again, so it is not lost
// (testdata/rule-10-client.txt).
//
// # What it rests on
//
//   - Every creation of a pod passes the webhook (testdata/hole-no-webhook.txt), and an
//     API server's state never goes back: an etcd that is restored from a backup may bring
//     back pods that nobody admits again (hole-restored-etcd.txt). Fence the nodes of such a
//     cluster first.
//   - A fenced node maps nothing from another address afterwards (hole-boot-elsewhere.txt).
//   - A pod with a node's name is created after its volume (hole-volume-after-pod.txt),
//     and claims name no volume but their own (hole-tenant.txt).
//   - A pod that is created with a node's name is stored within the time that an API
//     request may take, or never (testdata/assumption-stored-in-time.txt). For every
//     other pod that does not matter, because its binding is admitted too.
//   - Before a fence is lifted, requests that were admitted before the takeover have
//     ended.
//   - Kubelets keep status.volumesInUse as Kubernetes says: a volume is added before the mount,
//     and removed after NodeUnstage. So this is about drivers that attach.
//   - When an image gets its first record, a client that has it open already is not cut
//     off (testdata/assumption-first-record.txt), and nobody fails over before its
//     cluster's leader has looked at it once.
//   - Ceph swaps records atomically. A client is a watcher before it can write. A blocklist
//     entry that a barrier has confirmed lets nothing through until it ends. Only kubectl
//     cephferry ends one of ours.
//   - The addresses of nodes in the record are those that Ceph sees, and the UIDs of
//     clusters differ.
//
// # Scenarios
//
// A person writes a scenario as a text, and the model plays it (testdata/scenarios, and
// TestScenarios): a line for each step, and what follows from it. Its steps are those that an
// exploration takes.
//
// # What was found
//
// Each rule is needed: testdata has the shortest way to two writers without it, or,
// for rule 2, to an owner that is locked out of its own image. krbd's option exclusive
// prevents two writers whichever rule is missing, but only for as long as the blocklist entries
// last that Ceph makes by itself.
package model
