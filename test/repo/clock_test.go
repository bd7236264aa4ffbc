package repo

import (
	"go/ast"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readsClock are the functions of the packages that decide who may use an image which
// ask what the time is, and what for. A clock that jumps must not decide; differences
// of two times of one process are monotonic.
var readsClock = map[string]string{
	"pkg/guard target":        "since when the image is ours, for people",
	"pkg/guard alone":         "whether an entry of the blocklist lasts for decades or for an hour",
	"pkg/guard Handle":        "how long an answer took, a difference, for metrics",
	"pkg/guard missing":       "for how long a registration was not written, for people",
	"pkg/guard Reconcile":     "how long a namespace is marked as unused, a difference",
	"pkg/keeper volume":       "a mark that the volume is deleted, not when",
	"pkg/idle Look":           "for how long there was no admission, a difference",
	"pkg/idle request":        "since when the image is ours, for people",
	"pkg/idle Release":        "since when nobody has the image, for people",
	"pkg/idle Facts":          "for how long something is missing, for people",
	"pkg/keeper Reconcile":    "for how long an image has not been there, a difference",
	"pkg/keeper Refused":      "for how long a workload is remembered, a difference",
	"pkg/keeper next":         "for how long a volume has been in a state, a difference",
	"pkg/keeper mark":         "a condition's lastTransitionTime, for people",
	"pkg/keeper missing":      "since when something is missing, for people",
	"pkg/keeper tellConflict": "how often an event is repeated, a difference",
	"pkg/keeper pass":         "the same, and for how long a pass lasts",
	"pkg/keeper tryToWake":    "an annotation that is new each time, for people, and for how long a workload is not woken again, a difference",
	"pkg/keeper rests":        "the same",
	"pkg/register Reconcile":  "for how long it was not written, a difference",
	"pkg/register write":      "the same, and when it was written, for people and metrics",
}

// TestNoDecisionReadsTheClock is about the source; that nothing is made of the times
// that people read is tested in pkg/ownership.
func TestNoDecisionReadsTheClock(t *testing.T) {
	found := map[string]string{}
	for _, dir := range []string{"pkg/guard", "pkg/idle", "pkg/keeper", "pkg/ownership", "pkg/register", "pkg/usage"} {
		for path, file := range filesOf(t, dir) {
			for _, declared := range file.Decls {
				function, ok := declared.(*ast.FuncDecl)
				if !ok {
					continue
				}
				name := dir + " " + function.Name.Name
				ast.Inspect(function, func(node ast.Node) bool {
					selector, ok := node.(*ast.SelectorExpr)
					if !ok {
						return true
					}
					if from, ok := selector.X.(*ast.Ident); ok && from.Name == "time" && slices.Contains([]string{"Now", "Since", "Until"}, selector.Sel.Name) {
						t.Errorf("%s: %s asks package time, and not the clock that it was given", path, function.Name.Name)
					}
					// Times without a monotonic reading differ by what the wall clock says.
					if slices.Contains([]string{"Round", "Before", "After", "Compare", "Unix"}, selector.Sel.Name) && !isTimer(selector) {
						t.Errorf("%s: %s may compare times by the wall clock", path, function.Name.Name)
					}
					return true
				})
				ast.Inspect(function, func(node ast.Node) bool {
					call, ok := node.(*ast.CallExpr)
					if !ok {
						return true
					}
					if selector, ok := call.Fun.(*ast.SelectorExpr); ok && selector.Sel.Name == "Now" {
						found[name] = readsClock[name]
					}
					return true
				})
			}
		}
	}
	if diff := cmp.Diff(readsClock, found); diff != "" {
		t.Errorf("functions that read the clock; say what for (-want +got):\n%s", diff)
	}
}

// isTimer: strings.Compare compares no times, and time.After is monotonic.
func isTimer(selector *ast.SelectorExpr) bool {
	from, ok := selector.X.(*ast.Ident)
	return ok && (from.Name == "strings" || from.Name == "time")
}
