package page

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

const (
	rowsByDefault = 100
	rowsAtMost    = 500
)

// query is which part of the table somebody looks at.
type query struct {
	words         []string
	show, sort    string
	descending    bool
	offset, limit int
}

func parseQuery(values url.Values) (query, error) {
	q := query{
		words: strings.Fields(strings.ToLower(values.Get("q"))), show: cmp.Or(values.Get("show"), "all"),
		sort: cmp.Or(values.Get("sort"), "claim"), descending: values.Get("descending") == "true", limit: rowsByDefault,
	}
	if _, ok := shows[q.show]; !ok {
		return q, problem{http.StatusBadRequest, fmt.Sprintf("show=%q: there is no such selection", q.show)}
	}
	if _, ok := orders[q.sort]; !ok {
		return q, problem{http.StatusBadRequest, fmt.Sprintf("sort=%q: there is no such column", q.sort)}
	}
	for name, into := range map[string]*int{"offset": &q.offset, "limit": &q.limit} {
		if text := values.Get(name); text != "" {
			number, err := strconv.Atoi(text)
			if err != nil || number < 0 {
				return q, problem{http.StatusBadRequest, fmt.Sprintf("%s=%q: must be a number from 0 on", name, text)}
			}
			*into = number
		}
	}
	q.limit = min(q.limit, rowsAtMost)
	return q, nil
}

// orders are the columns that the table can be sorted by. Rows that are equal in one stay
// sorted by namespace and claim.
var orders = map[string]func(a, b *row) int{
	"claim": func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Claim, b.Claim))
	},
	"state":   func(a, b *row) int { return cmp.Compare(a.State, b.State) },
	"owner":   func(a, b *row) int { return cmp.Compare(a.Owner, b.Owner) },
	"node":    func(a, b *row) int { return slices.Compare(a.Nodes, b.Nodes) },
	"since":   func(a, b *row) int { return compareTimes(a.Since, b.Since) },
	"waiting": func(a, b *row) int { return cmp.Compare(a.Waiting, b.Waiting) },
}

// compareTimes puts what has no time first.
func compareTimes(a, b *time.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return a.Compare(*b)
}

func (q query) matches(r *row) bool {
	return shows[q.show](r) && !slices.ContainsFunc(q.words, func(word string) bool {
		return !strings.Contains(r.words, word)
	})
}

// volumesAnswer is a part of the table.
type volumesAnswer struct {
	// Total are the volumes that the requester may see, Matching those that the query is
	// about. Rows are those from Offset on.
	Total    int    `json:"total"`
	Matching int    `json:"matching"`
	Offset   int    `json:"offset"`
	Rows     []*row `json:"rows"`
}

func (p *Page) volumes(ctx context.Context, viewer Viewer, q query) (volumesAnswer, error) {
	seen, err := p.seen(ctx, viewer)
	if err != nil {
		return volumesAnswer{}, err
	}
	return q.of(seen.rows), nil
}

// of is the part of these rows, which are sorted by namespace and claim.
func (q query) of(all []*row) volumesAnswer {
	var matching []*row
	for _, r := range all {
		if q.matches(r) {
			matching = append(matching, r)
		}
	}
	if q.sort != "claim" {
		slices.SortStableFunc(matching, orders[q.sort])
	}
	if q.descending {
		slices.Reverse(matching)
	}
	answer := volumesAnswer{Total: len(all), Matching: len(matching), Offset: min(q.offset, len(matching)), Rows: []*row{}}
	answer.Rows = append(answer.Rows, matching[answer.Offset:min(answer.Offset+q.limit, len(matching))]...)
	return answer
}

// volumeAnswer is all there is about a volume.
type volumeAnswer struct {
	row
	PersistentVolume string                   `json:"persistentVolume,omitempty"`
	Keyed            bool                     `json:"keyed"`
	OwnerClaim       string                   `json:"ownerClaim,omitempty"`
	Machines         []v1alpha1.FencedMachine `json:"machines,omitempty"`
	Conditions       []condition              `json:"conditions,omitempty"`
	// History has the latest change first.
	History []change `json:"history,omitempty"`
}

// volume reads a volume as it is now.
func (p *Page) volume(ctx context.Context, viewer Viewer, key client.ObjectKey) (*volumeAnswer, error) {
	may, err := viewer.MayList(ctx, Volumes, key.Namespace)
	if err != nil {
		return nil, err
	}
	if !may {
		return nil, problem{http.StatusForbidden, fmt.Sprintf("you may not list %s.%s in namespace %q", Volumes, v1alpha1.GroupVersion.Group, key.Namespace)}
	}
	var v v1alpha1.MigratableVolume
	if err := p.API.Get(ctx, key, &v); err != nil {
		return nil, err
	}
	answer := &volumeAnswer{
		row: newRow(&v), PersistentVolume: v.Status.PersistentVolume, Keyed: v.Status.Keyed,
		Machines: v.Status.Fenced, Conditions: newConditions(v.Status.Conditions),
	}
	if owner := v.Status.Owner; owner != nil && owner.Claim != "" {
		answer.OwnerClaim = owner.Namespace + "/" + owner.Claim
	}
	for _, c := range slices.Backward(v.Status.History) {
		answer.History = append(answer.History, newChange(c))
	}
	return answer, nil
}

type condition struct {
	Type    string     `json:"type"`
	Status  string     `json:"status"`
	Message string     `json:"message,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
}

func newConditions(from []metav1.Condition) []condition {
	var all []condition
	for _, c := range from {
		all = append(all, condition{c.Type, string(c.Status), cmp.Or(c.Message, c.Reason), at(&c.LastTransitionTime)})
	}
	return all
}
