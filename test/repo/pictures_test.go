package repo

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/takeover"
)

// edge is a step that was seen: what it made of a record in one state, and whose the image is
// then.
type edge struct{ step, from, to, owner string }

// walk takes every step from every record that steps lead to.
type walk struct {
	edges map[edge]bool
	known map[string]bool
	todo  []ceph.Record
}

var (
	east = ceph.Party{UID: "u-east", Name: "east"}
	west = ceph.Party{UID: "u-west", Name: "west"}
	noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	node = ceph.Node{Name: "n1", BootID: "boot", UID: "n", Addresses: []string{"10.0.1.11"}}
)

// went notes what a step of a cluster made of a record. One that a step refuses, or leaves as it
// is, is no edge.
func (w *walk) went(step string, by ceph.Party, before, after ceph.Record, err error) {
	if err != nil || string(before.Encode()) == string(after.Encode()) {
		return
	}
	owner := "another cluster"
	switch {
	case after.Owner == nil:
		owner = "nobody"
	case before.Owner != nil && before.Owner.UID == after.Owner.UID:
		owner = "as before"
	case after.Owner.UID == by.UID:
		owner = "who asks"
	}
	w.edges[edge{step, before.State.String(), after.State.String(), owner}] = true
	// Records that no step tells apart lead to the same.
	if key := kind(after); !w.known[key] {
		w.known[key] = true
		after.Revision = 1
		w.todo = append(w.todo, after)
	}
}

// kind is what steps look at: whose the image is and was, and whether something stands there of
// each sort.
func kind(record ceph.Record) string {
	key := fmt.Sprint(record.State, record.Keyed, record.Named, len(record.Renamers) > 0, len(record.Pending) > 0, len(record.Unbound) > 0)
	if record.Owner != nil {
		key += fmt.Sprint(record.Owner.UID, len(record.Owner.Nodes) > 0, len(record.Owner.Clients) > 0)
	}
	if record.Takeover != nil {
		key += record.Takeover.UID + record.Takeover.By
	}
	for _, change := range slices.Backward(record.History) {
		if change.Event == ceph.TakenOver || change.Event == ceph.Acquired {
			return key + string(change.Event) + change.UID
		}
	}
	return key
}

// step takes every step from one record.
func (w *walk) step(stored ceph.Record) {
	for _, by := range []ceph.Party{east, west} {
		for _, request := range []ownership.Request{
			{Cluster: by, Namespace: "shop", Claim: "data", Pod: "p1", Now: noon},
			{Cluster: by, Namespace: "shop", Claim: "data", Unbound: []string{"p1"}, Renamer: "r-" + by.Name, Now: noon},
			{Cluster: by, Namespace: "shop", Claim: "data", Nodes: []ceph.Node{node}, Now: noon},
		} {
			next, err := ownership.Acquire(stored, request)
			w.went("Acquire", by, stored, next, err)
			if err == nil && stored.State == ceph.Free {
				w.went("Undo", by, next, ownership.Undo(next, stored), nil)
			}
			for _, seen := range []ownership.Seen{
				{Quiet: true},
				{},
				{Pods: []string{"p1"}},
				{Attached: []ceph.Node{node}},
				{Watchers: []string{"10.0.9.9:0/1"}},
				{Pods: []string{"p1"}, Watchers: []string{"10.0.9.9:0/1"}},
				{Attached: []ceph.Node{node}, Watchers: []string{"10.0.1.11:0/1"}, Explained: []string{"10.0.1.11:0/1"}},
				{Quiet: true, WithoutProof: true},
			} {
				next, _, _ := ownership.Keep(stored, request, seen)
				w.went("Keep", by, stored, next, nil)
			}
		}
		next, err := ownership.Release(stored, by, "ann", noon)
		w.went("Release", by, stored, next, err)
		next, err = ownership.BeginName(stored, by, "leader-"+by.Name)
		w.went("BeginName", by, stored, next, err)
		if stored.Owner != nil {
			next, err = ownership.FinishName(stored, stored, "leader-"+by.Name)
			w.went("FinishName", by, stored, next, err)
		}
		for _, taker := range []ownership.Taker{
			{Cluster: by, By: "ann", Now: noon, Self: "t-" + by.Name},
			{Cluster: by, By: "bob", Resume: true, Now: noon},
		} {
			next, err := ownership.BeginFence(stored, taker)
			w.went("BeginFence", by, stored, next, err)
			next, err = ownership.FinishFence(stored, stored, taker, "shop", "data", nil)
			w.went("FinishFence", by, stored, next, err)
			next, err = ownership.DropFence(stored, taker)
			w.went("DropFence", by, stored, next, err)
			for note, next := range map[string]ceph.Record{
				"NoteNodeFenced": ownership.NoteNodeFenced(stored, taker, []string{"10.0.1.11:0/0"}),
				"NoteFenced":     ownership.NoteFenced(stored, []ceph.FencedNode{{Cluster: by, Node: node}}),
				"NoteLifted":     ownership.NoteLifted(stored, stored.Fenced),
			} {
				if next.State != stored.State || !cmp.Equal(next.Owner, stored.Owner) {
					w.edges[edge{note, stored.State.String(), next.State.String(), "?"}] = true
				}
			}
		}
	}
}

// TestThePictureOfARecord: every step that a record can take is in the picture and the table of
// docs/concepts.md, and no other.
func TestThePictureOfARecord(t *testing.T) {
	w := &walk{edges: map[edge]bool{}, known: map[string]bool{}}
	w.todo = []ceph.Record{{State: ceph.Free}, {State: ceph.Free, Keyed: true, Exclusive: true, Private: true, Revision: 1}}
	for len(w.todo) > 0 {
		next := w.todo[0]
		w.todo = w.todo[1:]
		w.step(next)
	}
	section := sectionOf(t, "docs/concepts.md", "Whose an image is")
	table := map[edge]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| (\\w+) \\| ([\\w ]+) \\|").FindAllStringSubmatch(section, -1) {
		table[edge{m[1], m[2], m[3], m[4]}] = true
	}
	if diff := cmp.Diff(w.edges, table, cmp.AllowUnexported(edge{})); diff != "" {
		t.Errorf("the table of docs/concepts.md (-code +document):\n%s", diff)
	}
	// The picture leaves out what does not change the state.
	want, got := map[string][]string{"[*] --> free": nil}, map[string][]string{}
	for e := range w.edges {
		if e.from != e.to {
			arrow := e.from + " --> " + e.to
			want[arrow] = append(want[arrow], e.step)
			slices.Sort(want[arrow])
			want[arrow] = slices.Compact(want[arrow])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^    (\S+ --> \S+?)(?:: (.*))?$`).FindAllStringSubmatch(section, -1) {
		got[m[1]] = nil
		if m[2] != "" {
			got[m[1]] = strings.Split(m[2], ", ")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the picture of docs/concepts.md (-code +document):\n%s", diff)
	}
}

// TestTheWalkKnowsEveryStep: a function of pkg/ownership that makes another record of one is
// among those that the walk takes.
func TestTheWalkKnowsEveryStep(t *testing.T) {
	own := read(t, "test/repo/pictures_test.go")
	found := 0
	for _, file := range filesOf(t, "pkg/ownership") {
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || !function.Name.IsExported() || function.Recv != nil || function.Type.Results == nil {
				continue
			}
			// Those with a context carry out what the others decide.
			first := function.Type.Params.List[0].Type
			if typeName(function.Type.Results.List[0].Type) != "ceph.Record" || typeName(first) == "context.Context" {
				continue
			}
			found++
			if !strings.Contains(own, "ownership."+function.Name.Name+"(") {
				t.Errorf("the walk does not take ownership.%s", function.Name.Name)
			}
		}
	}
	if found < 8 {
		t.Errorf("%d steps were found", found)
	}
}

func typeName(expression ast.Expr) string {
	if selector, ok := expression.(*ast.SelectorExpr); ok {
		return fmt.Sprintf("%s.%s", selector.X, selector.Sel.Name)
	}
	return ""
}

// TestThePictureOfAFailover: its steps are the conditions of a Takeover, in their order, without the one
// that is about a node of the own cluster.
func TestThePictureOfAFailover(t *testing.T) {
	conditions := slices.DeleteFunc(takeover.Conditions(), func(name string) bool { return name == "NodeFenced" })
	var want, got []string
	for i, condition := range conditions {
		want = append(want, append([]string{"plan"}, conditions...)[i]+" --> "+condition)
	}
	section := sectionOf(t, "docs/concepts.md", "A failover")
	for _, m := range regexp.MustCompile(`(?m)^    (\w+)(?:\["(\w+)[^"]*"\])?(?: --> (\w+))?$`).FindAllStringSubmatch(section, -1) {
		if m[1] != "plan" && m[1] != m[2] {
			t.Errorf("the box of %s says %s", m[1], m[2])
		}
		if m[3] != "" {
			got = append(got, m[1]+" --> "+m[3])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/concepts.md (-code +document):\n%s", diff)
	}
}

// sectionOf is the text of a document from a heading of the second level to the next.
func sectionOf(t *testing.T, file, title string) string {
	t.Helper()
	_, text, found := strings.Cut(read(t, file), "\n## "+title+"\n")
	if !found {
		t.Fatalf("%s has no section %q", file, title)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}
