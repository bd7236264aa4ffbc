package model

// Rule is a rule of the protocol, or a part of one, that a [Config] takes away.
type Rule int

// The rules.
const (
	AllRules Rule = iota
	Rule1
	Rule1Whose
	Rule1Named
	Rule1Live
	Rule2
	Rule3
	Rule3Order
	Rule3InUse
	Rule3Gone
	Rule3Anew
	Rule3Machine
	Rule3Grows
	Rule3Cached
	Rule3Pending
	Rule3Admissions
	Rule4
	Rule5
	Rule5Early
	Rule6Watchers
	Rule6Verify
	Rule6Binding
	Rule6Unbound
	Rule6Finish
	Rule7Hour
	Rule7Unfence
	Rule8First
	Rule8Again
	Rule8Others
	Rule8Repair
	Rule8Renamer
	Rule8FenceFirst
	Rule8Look
	Rule8Holder
	Rule8Exact
	Rule8Unseen
	Rule8Keeper
	Rule9
	Rule9Attachment
	Rule9Flight
	Rule10Boot
	Rule10Client
)

// instead is what happens without a rule.
var instead = [...]string{
	AllRules:        "every rule is in force",
	Rule1:           "without rule 1: pods start without asking the record",
	Rule1Whose:      "without a look at whose the volume is: any volume that a claim names counts as the claim's",
	Rule1Named:      "without the refusal of a pod that names its node before its claim has a volume",
	Rule1Live:       "without a live read of the claim: a volume that it names is missed, when a pod is admitted and when it is bound",
	Rule2:           "without rule 2: the owner may not acquire again",
	Rule3:           "without rule 3: the owner releases without a proof",
	Rule3Order:      "without the order of rule 3's proof: nodes and watchers are looked at before pods",
	Rule3InUse:      "without status.volumesInUse in rule 3's proof: only a VolumeAttachment shows that a node uses the volume",
	Rule3Gone:       "without lost nodes in rule 3's proof: a node whose Node object is gone counts as one that let go",
	Rule3Anew:       "without the uid of the Node object in rule 3's proof: one that was made anew, and lists no volume yet, counts as one that let go",
	Rule3Machine:    "without the machine in rule 3's proof: another machine with the name of a node counts as that one, which let go",
	Rule3Grows:      "without holders that only grow: the record forgets addresses and clients that a node had before",
	Rule3Cached:     "without the API server in rule 3's proof: what a cache does not show counts as gone",
	Rule3Pending:    "without pending pods in rule 3's proof: the record does not name admitted pods that were not seen yet",
	Rule3Admissions: "without the owner's admissions in the record: rule 3's proof does not notice them",
	Rule4:           "without rule 4: an image that nobody has watched for long counts as free",
	Rule5:           "without rule 5: watchers are not looked at; east has used the image since before there were records",
	Rule5Early:      "without a second list in rule 5: a watcher that was listed before the record was read is taken for one that is gone; east has used the image since before there were records",
	Rule6Watchers:   "without rule 6's recorded holder: who watches is fenced instead",
	Rule6Verify:     "without rule 6's verification: nobody waits until the fence is in force",
	Rule6Binding:    "without the binding in the record: rule 6 does not know the node that a pod goes to",
	Rule6Unbound:    "without pods that have no node in the record: rule 6 does not know that a node may be missing there",
	Rule6Finish:     "without the takeover that was begun: rule 6 finishes whichever goes on now",
	Rule7Hour:       "without rule 7: a fence lasts as long as Ceph's default",
	Rule7Unfence:    "without rule 7's proof: an address is taken from the blocklist at any time",
	Rule8First:      "without the name before the admission ends: pods are admitted once the record is written, and the leader renames later",
	Rule8Again:      "without a look at the name when the owner acquires again: only a first acquisition renames",
	Rule8Others:     "without a look for other names: that the cluster's own name leads to the image is enough",
	Rule8Repair:     "without the repair of a rename that died half-way: it is only tried again",
	Rule8Renamer:    "without a fence of those who rename: one that has stopped half-way goes on when the record is another cluster's",
	Rule8FenceFirst: "without the fence before the rename: Ceph fences the holder for an hour, when the rename takes its lock, and does not prolong that",
	Rule8Look:       "without a look after the rename: who watches is looked at before",
	Rule8Holder:     "without a look at who has the lock: it is taken from a silent client, which Ceph fences for an hour",
	Rule8Exact:      "without machines in the fence of an image that is not mapped exclusively: the recorded client instances are enough",
	Rule8Unseen:     "without the machine of a node of which no client was seen in the fence: the leader has looked before the node maps the image, and late",
	Rule8Keeper:     "without the owner's leader, which fences a stranger who opens the image later",
	Rule9:           "without rule 9: a pod gets its node whatever another node of the cluster may write yet",
	Rule9Attachment: "with a VolumeAttachment that is gone as rule 9's proof: a node without one counts as one that let go",
	Rule9Flight:     "without bindings that are not stored yet in rule 9's proof: a holder that shows nothing has let go, though another pod may be bound to it",
	Rule10Boot:      "without the boot in rule 10: a takeover of a node goes on while it fences no machine and no client that was not confirmed",
	Rule10Client:    "without the clients in rule 10: a takeover of a node goes on while it fences no machine and no boot that was not confirmed",
}
