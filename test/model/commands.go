package model

import (
	"fmt"
	"slices"
	"strings"
)

// commands are the steps as a person types them in a scenario, see testdata/scenarios. {d} is
// a pod (db-0@east), {e} whose entry of a node it is; the others are as in [words].
var commands = [kinds]string{
	look:           "review {d}",
	lookNamed:      "review {d} on {m}",
	listEarly:      "list-watchers {d} {m}",
	readAfter:      "read-record {d}",
	admit:          "admit {d}",
	takeOthers:     "take-others {d}",
	undo:           "undo {d}",
	storePod:       "store {d}",
	failRequest:    "fail {d}",
	admitBinding:   "admit-binding {d} {m}",
	bindPod:        "bind {d} {m}",
	failBinding:    "fail-binding {d}",
	deletePod:      "delete {d}",
	forceDeletePod: "force-delete {d}",
	forgetPod:      "forget {n}",
	reportInUse:    "attach {n}",
	reportUnused:   "report-unused {n}",
	detach:         "detach {n}",
	forceDetach:    "force-detach {n}",
	registerNode:   "register {n}",
	checkWatchers:  "check-watchers {n}",
	resolveName:    "resolve {n}",
	mapNode:        "map {n}",
	unmap:          "unmap {n}",
	expireWatch:    "freeze {n}",
	registerWatch:  "wake {n}",
	entryEnds:      "end-entry {n} {e}",
	reachOSDs:      "reach-osds {n}",
	reboot:         "reboot {n}",
	bootElsewhere:  "reboot-elsewhere {n}",
	moveAddress:    "readdress {n}",
	deleteNode:     "delete-node {n}",
	registerAnew:   "register-anew {n}",
	replaceNode:    "replace {n}",
	firstReport:    "first-report {n}",
	reportBoot:     "report-boot {n}",
	unfence:        "unfence {n}",
	fenceNode:      "fence-node {n}",
	confirmNode:    "confirm-node {n}",
	takeNode:       "take-node {n}",

	leaderPods:     "see-pods {c}",
	leaderNodes:    "see-nodes {c}",
	leaderWatchers: "see-watchers {c}",
	refresh:        "refresh {c}",
	readCaches:     "read-caches {c}",
	refreshCached:  "refresh-cached {c}",
	beginWait:      "begin-wait {c}",
	endWait:        "end-wait {c}",
	release:        "release {c}",
	timeBreaks:     "time-breaks {c}",

	beginFence:   "begin-failover {p}",
	walkAway:     "walk-away {p}",
	dropFence:    "drop-failover {p}",
	blocklist:    "blocklist {p} {h}",
	verifyFence:  "verify-fence {p}",
	finishFence:  "finish-failover {p}",
	seeNameTaken: "see-name-taken {p}",
	seeNobody:    "see-nobody {p}",
	fenceLate:    "fence-late {p} {h}",
	fenceHolder:  "fence-holder {p} {h}",
	keeperFences: "keeper-fences {c} {h}",

	admitWaiting: "admit-waiting {d}",
	admitEarly:   "admit-early {d} {m}",
	bringVolume:  "bring-volume {c}",
	nameVolume:   "name-volume {c}",
	bindUnseen:   "bind-unseen {d} {m}",
	bindMissing:  "bind-missing {d} {m}",
	createUnseen: "create-unseen {d}",
	restore:      "restore {d} {m}",
	usurp:        "usurp {c}",

	claim:         "claim {d}",
	claimBinding:  "claim-binding {d} {m}",
	seeName:       "see-name {d}",
	admitKeyed:    "admit-keyed {d}",
	giveBack:      "give-back {d}",
	refuseForeign: "refuse-foreign {d}",

	openRename:    "rename {c} {1} {2}",
	createName:    "create-name {c}",
	moveDirectory: "move-directory {c}",
	removeName:    "remove-name {c}",
	renameFails:   "rename-fails {c}",
	renameDies:    "rename-dies {c}",
	renameLeft:    "rename-left {c}",
	strayCreates:  "stray-creates",
	strayMoves:    "stray-moves",
	strayRemoves:  "stray-removes",
	strayFails:    "stray-fails",
	openRepair:    "repair {c}",
	repairName:    "repair-name {c}",
	openRestore:   "restore-entry {c}",
	restoreName:   "restore-name {c}",
}

// podName is a pod as scenarios call it.
func podName(c, p int) string { return fmt.Sprintf("db-%d@%s", p, clusterNames[c]) }

// entryNames are the entries of a node that may end.
var entryNames = [...]string{"client", "machine"}

// argument is what a placeholder of [commands] is in a step.
func (m *Model) argument(mark string, step Step) string {
	switch mark {
	case "{d}":
		return podName(int(step.A), int(step.B))
	case "{e}":
		return entryNames[step.B]
	case "{m}":
		if step.C < 0 {
			return "nowhere"
		}
		return m.name(int(step.C))
	}
	return m.describeWord(mark, step)
}

// pattern is a command that a person has typed: steps of these kinds, whose arguments are those.
type pattern struct {
	kinds     []kind
	arguments []string
}

// parsePattern reads a command. It knows which arguments there can be, so that a name that is
// misspelt is an error and not a step that cannot happen.
func (m *Model) parsePattern(line string) (pattern, error) {
	typed := strings.Fields(line)
	if len(typed) == 0 {
		return pattern{}, fmt.Errorf("a command is missing")
	}
	found := pattern{arguments: typed[1:]}
	var usage []string
	var wrong error
	for number, command := range commands {
		words := strings.Fields(command)
		if words[0] != typed[0] {
			continue
		}
		usage = append(usage, command)
		if len(words) != len(typed) {
			continue
		}
		if err := m.checkArguments(words, typed); err != nil {
			wrong = err
			continue
		}
		found.kinds = append(found.kinds, kind(number))
	}
	switch {
	case len(usage) == 0:
		return pattern{}, fmt.Errorf("there is no command %q", typed[0])
	case len(found.kinds) == 0 && wrong != nil:
		return pattern{}, wrong
	case len(found.kinds) == 0:
		return pattern{}, fmt.Errorf("%q is used as: %s", typed[0], strings.Join(usage, ", or "))
	}
	return found, nil
}

// checkArguments finds arguments that name nothing in the configuration.
func (m *Model) checkArguments(words, typed []string) error {
	for i, word := range words[1:] {
		known := m.known(word)
		if got := typed[i+1]; !slices.Contains(known, got) {
			return fmt.Errorf("%s: there is no %q; there are %s", typed[0], got, strings.Join(known, ", "))
		}
	}
	return nil
}

// known are the arguments that may stand for a word of a command.
func (m *Model) known(word string) []string {
	var all []string
	switch word {
	case "{d}":
		for c := range m.clusters {
			for p := range m.Pods {
				all = append(all, podName(c, p))
			}
		}
	case "{n}", "{h}", "{m}":
		for n := range m.Nodes {
			all = append(all, m.name(n))
		}
		if word == "{m}" {
			all = append(all, "nowhere")
		}
	case "{c}":
		all = clusterNames[:m.clusters]
	case "{p}":
		all = personNames[:len(m.Persons)]
	case "{e}":
		all = entryNames[:]
	case "{1}", "{2}":
		for name := range int8(m.clusters + 1) {
			all = append(all, nameOf(name))
		}
	default:
		all = []string{word}
	}
	return all
}

// matches: the step is what the person has typed.
func (m *Model) matches(typed pattern, step Step) bool {
	if !slices.Contains(typed.kinds, step.Kind) {
		return false
	}
	words := strings.Fields(commands[step.Kind])[1:]
	if len(words) != len(typed.arguments) {
		return false
	}
	for i, word := range words {
		if strings.HasPrefix(word, "{") {
			word = m.argument(word, step)
		}
		if word != typed.arguments[i] {
			return false
		}
	}
	return true
}
