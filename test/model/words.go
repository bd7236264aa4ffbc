package model

import (
	"fmt"
	"strings"
)

// kind is what happens in a step.
type kind uint8

const (
	look kind = iota
	lookNamed
	admit
	takeOthers
	undo
	storePod
	failRequest
	admitBinding
	bindPod
	failBinding
	deletePod
	forceDeletePod
	forgetPod
	reportInUse
	reportUnused
	detach
	forceDetach
	registerNode
	checkWatchers
	mapNode
	unmap
	expireWatch
	registerWatch
	entryEnds
	reachOSDs
	reboot
	deleteNode
	unfence
	leaderPods
	leaderNodes
	leaderWatchers
	refresh
	beginWait
	endWait
	release
	timeBreaks
	beginFence
	walkAway
	dropFence
	blocklist
	verifyFence
	finishFence
	admitWaiting
	admitEarly
	bringVolume
	nameVolume
	bindUnseen
	bindMissing
	createUnseen
	bootElsewhere
	moveAddress
	registerAnew
	replaceNode
	firstReport
	reportBoot
	restore
	usurp
	listEarly
	readAfter
	readCaches
	refreshCached
	claim
	claimBinding
	seeName
	admitKeyed
	giveBack
	refuseForeign
	openRename
	createName
	moveDirectory
	removeName
	renameFails
	renameDies
	renameLeft
	strayCreates
	strayMoves
	strayRemoves
	strayFails
	openRepair
	repairName
	openRestore
	restoreName
	resolveName
	seeNameTaken
	fenceLate
	fenceHolder
	seeNobody
	keeperFences
	fenceNode
	confirmNode
	takeNode
	kinds
)

// words are the steps for people. {c} is cluster A, {n} node A, {p} person A, {h}
// node B, {m} node C, {x} the cluster of person A, {1} and {2} the names B and C.
var words = [kinds]string{
	look:           "{c} reviews a pod: its webhook reads the record and then sees no foreign watcher",
	admit:          "{c}'s webhook admits the pod",
	takeOthers:     "{c}'s webhook takes the pod's other volumes too",
	undo:           "{c}'s webhook is refused another volume of the pod, and gives this one back",
	storePod:       "{c}'s API server stores the pod",
	failRequest:    "{c}'s API request fails after the admission: there will be no pod",
	lookNamed:      "{c} reviews a pod that names {m}: its webhook reads the record and then sees no foreign watcher",
	admitBinding:   "{c}'s webhook admits the pod's binding to {m}",
	bindPod:        "the pod is bound to {m}",
	failBinding:    "the pod's binding to {m} fails after all",
	deletePod:      "{c}'s pod ends",
	forceDeletePod: "{c}'s pod is deleted by force; its node does not hear of it",
	forgetPod:      "{n} hears that its pod was deleted",
	reportInUse:    "the volume is attached to {n}; its kubelet reports it in use, and will mount it",
	reportUnused:   "{n}'s kubelet reports the volume no longer in use",
	detach:         "the volume is detached from {n}",
	forceDetach:    "the volume is detached from {n} by force",
	registerNode:   "{n} registers itself again",
	checkWatchers:  "ceph-csi on {n} sees no watcher, and will map the image",
	mapNode:        "{n} maps the image",
	unmap:          "{n} unmaps the image",
	expireWatch:    "{n} is silent for 30 seconds: its watch expires",
	registerWatch:  "{n} is heard again: it registers its watch",
	entryEnds:      "the blocklist entry of {n} ends",
	reachOSDs:      "the OSDs learn of the blocklist entry of {n}",
	reboot:         "{n} reboots",
	deleteNode:     "{n} is deleted from the API server, and its pods with it",
	unfence:        "{n}'s address is taken from the blocklist",
	leaderPods:     "{c}'s leader reads the record, and then sees no pod",
	leaderNodes:    "{c}'s leader sees no node that uses the volume",
	leaderWatchers: "{c}'s leader sees no watcher",
	refresh:        "{c}'s leader writes down what it sees",
	beginWait:      "{c}'s leader begins to wait for admissions to stay the same",
	endWait:        "{c}'s leader has waited for longer than an API request lasts",
	release:        "{c}'s leader releases the image",
	timeBreaks:     "nobody has watched for long: {c} takes the image as free",
	beginFence:     "{p} begins a failover to {x}",
	walkAway:       "{p}'s command dies",
	dropFence:      "{p} drops the failover",
	blocklist:      "{p} puts {h} on the blocklist",
	verifyFence:    "{p} waits until the OSDs know, and sees that the recorded holders are gone",
	finishFence:    "{p} takes the image for {x}",
	admitWaiting:   "{c}'s webhook admits a pod: it sees no volume for its claim",
	admitEarly:     "{c}'s webhook admits a pod that names {m}: it sees no volume for its claim",
	bringVolume:    "a volume for {c}'s claim comes; no other cluster has the image, as far as the webhook sees",
	nameVolume:     "{c}'s claim names its volume",
	bindMissing:    "{c}'s webhook admits the pod's binding to {m}: it sees no volume for its claim",
	bindUnseen:     "the pod is bound to {m} while no webhook answers, and so without one",
	createUnseen:   "{c} has no webhook configuration any more: its API server stores a pod",
	bootElsewhere:  "{n} reboots, and comes back with another address",
	moveAddress:    "{n} gets another address without a reboot",
	registerAnew:   "{n} registers itself again, and its kubelet has not reported its volumes yet",
	replaceNode:    "another machine registers itself as {n}",
	firstReport:    "{n}'s kubelet reports which volumes it has in use",
	reportBoot:     "{n}'s kubelet reports that the node has booted",
	restore:        "{c}'s etcd is restored to a time when a pod was bound to {m}",
	usurp:          "{c}'s webhook admits a pod of namespace evil, whose claim names the volume of shop/data",

	listEarly: "{c} reviews a pod: its webhook lists the watchers before it reads the record",
	readAfter: "{c}'s webhook then reads the record",

	readCaches:    "{c}'s leader has pods and nodes as they are now in its caches",
	refreshCached: "{c}'s leader writes what its caches show",

	claim:         "{c}'s webhook writes the admission into the record; the pod is not admitted yet",
	claimBinding:  "{c}'s webhook writes the pod's binding to {m} into the record, and does not admit it yet",
	seeName:       "{c}'s webhook sees that the image has the cluster's name and no other",
	admitKeyed:    "{c}'s webhook sees no foreign watcher, and admits it",
	giveBack:      "{c}'s webhook sees a foreign watcher, gives the image back and refuses",
	refuseForeign: "{c}'s webhook sees a foreign watcher, and refuses",
	openRename:    "{c} opens the image as {1} to rename it to {2}",
	createName:    "{c}'s rename creates {2}: both names lead to the image",
	moveDirectory: "{c}'s rename has {2} in the directory in place of {1}",
	removeName:    "{c}'s rename removes {1}",
	renameFails:   "{c}'s rename from {1} to {2} fails",
	renameDies:    "{c}'s rename from {1} to {2} dies",
	renameLeft:    "{c} gives up waiting for its rename from {1} to {2}, which may go on",
	strayCreates:  "the rename that was given up creates {2}: both names lead to the image",
	strayMoves:    "the rename that was given up has {2} in the directory in place of {1}",
	strayRemoves:  "the rename that was given up removes {1}",
	strayFails:    "the rename that was given up fails",
	openRepair:    "{c} sees two names, and that the directory does not have {1}",
	repairName:    "{c} removes {1}",
	openRestore:   "{c} sees that the directory has {2}, and that this name leads nowhere",
	restoreName:   "{c} makes {2} lead to the image again",
	resolveName:   "krbd on {n} resolves the image's name, and will open the image",
	seeNameTaken:  "{p} sees that the image has the name of {x} and no other",
	fenceHolder:   "{p} sees that {h} has the image's lock, and puts its client on the blocklist",
	fenceLate:     "{p} sees {h} watch after the rename, and puts its client on the blocklist",
	seeNobody:     "{p} sees that nobody watches",
	keeperFences:  "{c}'s leader sees {h} watch, and puts its client on the blocklist",
	fenceNode:     "a person cuts off {n}, which its cluster has lost",
	confirmNode:   "a person confirms the plan to cut off {n}, which its cluster has lost",
	takeNode:      "the leader carries out what was confirmed about {n}, and may be interrupted",
}

// marks are what stands for something else in [words].
var marks = [...]string{"{c}", "{n}", "{p}", "{x}", "{m}", "{h}", "{1}", "{2}"}

// describe is the step for people.
func (m *Model) describe(step Step) string {
	pairs := []string{}
	text := words[step.Kind]
	for _, mark := range marks {
		if strings.Contains(text, mark) {
			pairs = append(pairs, mark, m.describeWord(mark, step))
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// describeWord is what a mark stands for in a step.
func (m *Model) describeWord(mark string, step Step) string {
	switch mark {
	case "{c}":
		return clusterNames[step.A]
	case "{n}":
		return m.name(int(step.A))
	case "{p}":
		return personNames[step.A]
	case "{x}":
		return clusterNames[m.Persons[step.A]]
	case "{m}":
		return m.name(int(step.C))
	case "{h}":
		return m.name(int(step.B))
	case "{1}":
		return nameOf(step.B)
	case "{2}":
		return nameOf(step.C)
	}
	return mark
}

// Text is the trace for people, and what is wrong at its end.
func (r *Result) Text() string {
	var text strings.Builder
	for i, step := range r.Trace {
		fmt.Fprintf(&text, "%2d. %s\n", i+1, r.model.describe(step))
	}
	fmt.Fprintf(&text, "    => %s\n", r.Wrong)
	return text.String()
}
