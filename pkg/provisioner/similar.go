package provisioner

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// surveyLasts is for how long one look at a pool's images is enough: claims come many at a
	// time, and each look reads all records.
	surveyLasts = 30 * time.Second
	// surveyLimit bounds it. The claim has its volume by then.
	surveyLimit = 10 * time.Second
)

// surveys remember which images of a pool were used and are free. The zero value is ready.
type surveys struct {
	mu    sync.Mutex
	known map[spot]survey
}

type spot struct{ clusterID, pool, namespace string }

type survey struct {
	used []provision.Used
	err  error
	at   time.Time
}

// similar says which images may have been meant where a new one was made for the claim; empty
// for none. Those that a volume of this cluster leads to are somebody's. It is a courtesy: what
// cannot be found out is logged.
func (c *Claims) similar(ctx context.Context, p *plan, made provision.Result) string {
	if !made.Created || p.Class.RBD == nil {
		return ""
	}
	used, err := c.used(ctx, p)
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("cannot look for images that may have been meant", "image", p.Image, "error", err.Error())
		return ""
	}
	names := slices.DeleteFunc(provision.Similar(p.Plan, used), func(image string) bool {
		var list corev1.PersistentVolumeList
		return c.Client.List(ctx, &list, client.MatchingFields{volumes.ByImage: image}, client.UnsafeDisableDeepCopy) != nil ||
			slices.ContainsFunc(list.Items, func(pv corev1.PersistentVolume) bool {
				return staticpv.MayLeadTo(&pv, p.Class.RBD.Pool, image)
			})
	})
	return provision.SaySimilar(p.Plan, names)
}

// used are the images beside that of the plan that were used and are free.
func (c *Claims) used(ctx context.Context, p *plan) ([]provision.Used, error) {
	ctx, cancel := context.WithTimeout(ctx, surveyLimit)
	defer cancel()
	cluster, settings, err := c.Storages.ClusterAs(ctx, p.Class.ClusterID, p.Class.ProvisionerSecret)
	if err != nil {
		return nil, err
	}
	where := spot{p.Class.ClusterID, p.Class.RBD.Pool, settings.RadosNamespace}
	c.surveys.mu.Lock()
	defer c.surveys.mu.Unlock()
	if last, ok := c.surveys.known[where]; ok && c.Now().Sub(last.at) < surveyLasts {
		return last.used, last.err
	}
	records, err := cluster.Records(ctx, where.pool, where.namespace)
	if err != nil {
		err = fmt.Errorf("list the records of pool %s: %w", where.pool, err)
	}
	if c.surveys.known == nil {
		c.surveys.known = map[spot]survey{}
	}
	last := survey{provision.UsedAndFree(records), err, c.Now()}
	c.surveys.known[where] = last
	return last.used, err
}
