package page

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// listed is how many moves, fences and changes the overview shows; the table has all.
const listed = 50

// overviewAnswer is the page without the table.
type overviewAnswer struct {
	Cluster string `json:"cluster"`
	// Stale is since when the API server has not answered. All the rest is of that time.
	Stale *stale `json:"stale,omitempty"`
	// AllNamespaces: the requester may see all volumes there are.
	AllNamespaces bool `json:"allNamespaces"`
	// Counts has how many volumes there are of each selection.
	Counts map[string]int `json:"counts"`
	// Hidden are the resources that the requester may not list.
	Hidden    []string       `json:"hidden,omitempty"`
	Clusters  []clusterShown `json:"clusters"`
	Moves     []*row         `json:"moves"`
	Fences    []fence        `json:"fences"`
	Takeovers []takeover     `json:"takeovers"`
	History   []*row         `json:"history"`
}

type stale struct {
	Since *time.Time `json:"since,omitempty"`
	Cause string     `json:"cause"`
}

type clusterShown struct {
	Key     string     `json:"key"`
	Name    string     `json:"name"`
	Here    bool       `json:"here,omitempty"`
	Version string     `json:"version,omitempty"`
	Nodes   int32      `json:"nodes"`
	Owns    int32      `json:"owns"`
	Seen    *time.Time `json:"seen,omitempty"`
	// Problem is why the registration tells nothing, or that it is old.
	Problem string `json:"problem,omitempty"`
}

// fence is a machine, with the volumes that were taken from it.
type fence struct {
	Cluster   string   `json:"cluster"`
	Node      string   `json:"node,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Volumes   int      `json:"volumes"`
	Example   string   `json:"example"`
}

type takeover struct {
	Name    string      `json:"name"`
	From    string      `json:"from"`
	Node    string      `json:"node,omitempty"`
	By      string      `json:"by"`
	Phase   string      `json:"phase"`
	Message string      `json:"message,omitempty"`
	Volumes int32       `json:"volumes"`
	Taken   int32       `json:"taken"`
	Created time.Time   `json:"created"`
	Steps   []condition `json:"steps,omitempty"`
}

func (p *Page) overview(ctx context.Context, viewer Viewer) (*overviewAnswer, error) {
	seen, err := p.seen(ctx, viewer)
	if err != nil {
		return nil, err
	}
	answer := &overviewAnswer{
		Cluster: p.Cluster, AllNamespaces: seen.all, Counts: counts(seen.rows),
		Moves: first(seen.rows, (*row).moving), Fences: fences(seen.rows), History: latest(seen.rows),
		Clusters: []clusterShown{}, Takeovers: []takeover{},
	}
	if since, err := p.Look.Stale(ctx); err != nil {
		answer.Stale = &stale{Cause: err.Error()}
		if !since.IsZero() {
			since = since.UTC()
			answer.Stale.Since = &since
		}
	}
	var clusters v1alpha1.FerryClusterList
	var takeovers v1alpha1.TakeoverList
	for _, kind := range []struct {
		resource string
		list     client.ObjectList
	}{{Clusters, &clusters}, {Takeovers, &takeovers}} {
		may, err := viewer.MayList(ctx, kind.resource, "")
		if err != nil {
			return nil, err
		}
		if !may {
			answer.Hidden = append(answer.Hidden, kind.resource)
			continue
		}
		if err := p.Look.list(ctx, kind.list); err != nil {
			return nil, err
		}
	}
	for _, c := range clusters.Items {
		answer.Clusters = append(answer.Clusters, newCluster(&c))
	}
	slices.SortFunc(answer.Clusters, func(a, b clusterShown) int { return cmp.Compare(a.Key, b.Key) })
	for _, t := range takeovers.Items {
		answer.Takeovers = append(answer.Takeovers, newTakeover(&t))
	}
	// The latest first.
	slices.SortFunc(answer.Takeovers, func(a, b takeover) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Name, b.Name))
	})
	return answer, nil
}

func newCluster(c *v1alpha1.FerryCluster) clusterShown {
	shown := clusterShown{
		Key: c.Name, Name: c.Status.Name, Here: c.Status.ThisCluster, Version: c.Status.Version,
		Nodes: c.Status.NodeCount, Owns: c.Status.VolumesOwned, Seen: at(c.Status.LastSeen),
	}
	for _, kind := range []string{v1alpha1.ConditionReadable, v1alpha1.ConditionSeen} {
		if is := meta.FindStatusCondition(c.Status.Conditions, kind); is != nil && is.Status == metav1.ConditionFalse {
			shown.Problem = cmp.Or(is.Message, "not "+strings.ToLower(kind))
			break
		}
	}
	return shown
}

func newTakeover(t *v1alpha1.Takeover) takeover {
	return takeover{
		Name: t.Name, From: t.Spec.From, Node: t.Spec.Node, By: t.Spec.By, Phase: string(t.Status.Phase), Message: t.Status.Message,
		Volumes: t.Status.VolumeCount, Taken: t.Status.TakenCount, Created: t.CreationTimestamp.UTC(),
		Steps: newConditions(t.Status.Conditions),
	}
}

func counts(rows []*row) map[string]int {
	found := map[string]int{}
	for name, is := range shows {
		n := 0
		for _, r := range rows {
			if is(r) {
				n++
			}
		}
		found[name] = n
	}
	return found
}

func first(rows []*row, wanted func(*row) bool) []*row {
	found := []*row{}
	for _, r := range rows {
		if wanted(r) {
			if found = append(found, r); len(found) == listed {
				break
			}
		}
	}
	return found
}

// fences are the machines, those with the most volumes first.
func fences(rows []*row) []fence {
	byMachine := map[string]*fence{}
	for _, r := range rows {
		for _, m := range r.fenced {
			key := strings.Join(append([]string{m.Cluster, m.Node}, m.Addresses...), "\n")
			if byMachine[key] == nil {
				byMachine[key] = &fence{Cluster: m.Cluster, Node: m.Node, Addresses: m.Addresses, Example: r.Namespace + "/" + r.Claim}
			}
			byMachine[key].Volumes++
		}
	}
	all := []fence{}
	for _, f := range byMachine {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b fence) int {
		return cmp.Or(cmp.Compare(b.Volumes, a.Volumes), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Node, b.Node), slices.Compare(a.Addresses, b.Addresses))
	})
	return all
}

// latest are the volumes whose owner changed last.
func latest(rows []*row) []*row {
	changed := []*row{}
	for _, r := range rows {
		if r.Last != nil {
			changed = append(changed, r)
		}
	}
	slices.SortStableFunc(changed, func(a, b *row) int { return b.Last.At.Compare(a.Last.At) })
	return changed[:min(len(changed), listed)]
}
