package page

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// reviews is how many questions about one requester's rights are asked at the same time.
const reviews = 8

// seen are the volumes that a requester may see.
type seen struct {
	rows []*row
	// all: they may see those of all namespaces.
	all bool
}

// seen asks for the rights in each namespace that has volumes, unless the requester may list
// those of all.
func (p *Page) seen(ctx context.Context, viewer Viewer) (seen, error) {
	everything, err := viewer.MayList(ctx, Volumes, "")
	if err != nil {
		return seen{}, err
	}
	rows, err := p.Look.rows(ctx)
	if err != nil {
		return seen{}, err
	}
	if everything {
		return seen{rows: rows, all: true}, nil
	}
	var namespaces []string
	for i, r := range rows {
		if i == 0 || r.Namespace != rows[i-1].Namespace {
			namespaces = append(namespaces, r.Namespace)
		}
	}
	allowed, err := mayList(ctx, viewer, namespaces)
	if err != nil {
		return seen{}, err
	}
	if len(allowed) == 0 {
		return seen{}, problem{http.StatusForbidden, fmt.Sprintf(
			"you may list %s.%s in no namespace that has any; the ClusterRole view, in a RoleBinding of your namespace, has that right", Volumes, v1alpha1.GroupVersion.Group)}
	}
	var mine []*row
	for _, r := range rows {
		if allowed[r.Namespace] {
			mine = append(mine, r)
		}
	}
	return seen{rows: mine}, nil
}

func mayList(ctx context.Context, viewer Viewer, namespaces []string) (map[string]bool, error) {
	var mu sync.Mutex
	allowed := map[string]bool{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reviews)
	for _, namespace := range namespaces {
		group.Go(func() error {
			may, err := viewer.MayList(ctx, Volumes, namespace)
			if err != nil {
				return err
			}
			if may {
				mu.Lock()
				defer mu.Unlock()
				allowed[namespace] = true
			}
			return nil
		})
	}
	return allowed, group.Wait()
}
