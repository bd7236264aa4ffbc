package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// clustersInterval is how often registrations are read. They are written once a minute.
const clustersInterval = time.Minute

// clustersLimit bounds one look at all of them.
const clustersLimit = time.Minute

// Clusters shows the clusters that are registered beside this cluster's volumes, as
// FerryClusters.
type Clusters struct {
	Client client.Client
	Finder volumes.Finder
	Self   ceph.Party
	// Storage leads from a clusterID to its Ceph cluster and to the rados namespace of its
	// images.
	Storage func(ctx context.Context, clusterID string) (ceph.Registrar, string, error)
	Log     logr.Logger
	Now     func() time.Time
	// Heard, unless nil, hears when a new registration of each cluster was seen last, by the
	// clusters' names, in seconds of Unix time.
	Heard func(clusters map[string]float64)

	mu    sync.Mutex
	owned map[string]int
	// heard is when a new registration of each cluster was seen, and what it said.
	heard   map[string]heard
	failing string
}

type heard struct {
	written, at time.Time
}

// Owned hears how many images each cluster owns.
func (c *Clusters) Owned(images map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owned = images
}

// Start runs until ctx ends. The manager starts it in the leader only.
func (c *Clusters) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		found, err := c.pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.say(err)
		if err != nil || found == 0 {
			wait(ctx, retry)
		} else {
			wait(ctx, clustersInterval)
		}
	}
	return nil
}

// say logs an error when it begins. That the API server does not know the kind, [Volumes] says.
func (c *Clusters) say(err error) {
	text := ""
	if err != nil && !isUnknownKind(err) {
		text = err.Error()
	}
	if text != "" && text != c.failing {
		c.Log.Error(err, "cannot show the clusters as FerryClusters; nothing else depends on it", "advice", ceph.Advice(err))
	}
	c.failing = text
}

// pass shows all clusters, and returns how many there are. An object whose cluster is
// registered nowhere any more goes, if all registrations could be looked at: this cluster has no
// volume in that pool any more, or the cluster has got a key.
func (c *Clusters) pass(ctx context.Context) (found int, err error) {
	ctx, cancel := context.WithTimeout(ctx, clustersLimit)
	defer cancel()
	var list v1alpha1.FerryClusterList
	if err := c.Client.List(ctx, &list); apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("list FerryClusters: %w: %w", errUnknownKind, err)
	} else if err != nil {
		return 0, fmt.Errorf("list FerryClusters: %w", err)
	}
	there := map[string]*v1alpha1.FerryCluster{}
	for i := range list.Items {
		there[list.Items[i].Name] = &list.Items[i]
	}
	all, unknown := c.registered(ctx)
	if c.Heard != nil && unknown == nil {
		c.Heard(lastHeard(all))
	}
	for name, is := range named(all) {
		if err := c.show(ctx, name, there[name], is); err != nil {
			return 0, err
		}
		delete(there, name)
	}
	if unknown != nil {
		return 0, unknown // who is not found may be there
	}
	for name, object := range there {
		if err := c.Client.Delete(ctx, object, client.Preconditions{UID: &object.UID}); client.IgnoreNotFound(err) != nil {
			return 0, fmt.Errorf("delete FerryCluster %s, which is not registered beside a volume of this cluster: %w", name, err)
		}
	}
	return len(all), nil
}

// lastHeard is when each cluster was heard of last. Of one that was rebuilt under its name, that
// is the later one.
func lastHeard(all []registered) map[string]float64 {
	clusters := map[string]float64{}
	for _, is := range all {
		if name := cmp.Or(is.registration.Name, is.key); is.err == nil {
			clusters[name] = max(clusters[name], float64(is.heard.Unix()))
		}
	}
	return clusters
}

// named gives each cluster the name of its object.
func named(all []registered) map[string]registered {
	keys := map[string]int{}
	for _, is := range all {
		keys[is.key]++
	}
	objects := map[string]registered{}
	for _, is := range all {
		objects[is.objectName(keys[is.key] > 1)] = is
	}
	return objects
}

// place is where volumes of this cluster are.
type place struct{ clusterID, pool string }

// registered are the clusters that are registered in the pools of this cluster's volumes. The
// error is about pools that cannot be asked; the clusters are those of the others.
func (c *Clusters) registered(ctx context.Context) ([]registered, error) {
	var pvs corev1.PersistentVolumeList
	if err := c.Finder.Cache.List(ctx, &pvs, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	places := map[place]bool{}
	for i := range pvs.Items {
		if volume, guarded, err := c.Finder.Guarded(&pvs.Items[i]); guarded && err == nil && volume.Claim != "" {
			places[place{volume.Image.ClusterID, volume.Image.Pool}] = true
		}
	}
	byUID := map[string]registered{}
	var unknown []error
	for at := range places {
		if err := c.registeredIn(ctx, at, byUID); err != nil {
			unknown = append(unknown, fmt.Errorf("read who is registered in pool %s by clusterID %s: %w", at.pool, at.clusterID, err))
		}
	}
	return c.hear(byUID), errors.Join(unknown...)
}

// registeredIn adds those of one place.
func (c *Clusters) registeredIn(ctx context.Context, at place, byUID map[string]registered) error {
	storage, namespace, err := c.Storage(ctx, at.clusterID)
	if err != nil {
		return err
	}
	found, unread, err := failover.Registrations(ctx, storage, []failover.Space{{Pool: at.pool, Namespace: namespace}})
	if err != nil {
		return err
	}
	keys, err := storage.Keys(ctx, at.pool, namespace)
	if err != nil {
		return err
	}
	for _, one := range found {
		byUID[one.UID] = later(byUID[one.UID], registered{key: keyOf(keys, one.UID), registration: one})
	}
	for _, one := range unread {
		is := registered{key: keyOf(keys, one.UID), err: one.Err}
		is.registration.UID = one.UID
		byUID[one.UID] = later(byUID[one.UID], is)
	}
	return nil
}

// later is what two registrations of one cluster say: one that can be read, and the later one.
func later(a, b registered) registered {
	key := cmp.Or(a.key, b.key)
	switch {
	case a.registration.UID == "", a.err != nil && b.err == nil,
		b.err == nil && b.registration.Written.After(a.registration.Written):
		a = b
	}
	a.key = key
	return a
}

func keyOf(keys []ceph.Key, uid string) string {
	if i := slices.IndexFunc(keys, func(k ceph.Key) bool { return k.UID == uid }); i >= 0 {
		return keys[i].Name
	}
	return ""
}

// hear adds when each was heard of last. Nothing is compared with another cluster's clock,
// but what a leader that begins finds.
func (c *Clusters) hear(byUID map[string]registered) []registered {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.heard
	c.heard = map[string]heard{}
	var all []registered
	for uid, is := range byUID {
		now, known := before[uid]
		switch written := is.registration.Written; {
		case !known:
			now = heard{written, written}
			if ahead := c.Now(); written.After(ahead) {
				now.at = ahead
			}
		case !now.written.Equal(written):
			now = heard{written, c.Now()}
		}
		c.heard[uid] = now
		if is.heard, is.owned = now.at, -1; c.owned != nil {
			is.owned = c.owned[uid]
		}
		all = append(all, is)
	}
	return all
}

// show writes one object, if it shows something else.
func (c *Clusters) show(ctx context.Context, name string, object *v1alpha1.FerryCluster, is registered) error {
	if object == nil {
		object = &v1alpha1.FerryCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := c.Client.Create(ctx, object); err != nil {
			return fmt.Errorf("create FerryCluster %s: %w", name, err)
		}
	}
	before := object.DeepCopy()
	if len(before.Status.Conditions) == 0 {
		// A patch names what has changed, and a status has to have both of these.
		before.Status.NodeCount, before.Status.VolumesOwned = -1, -1
	}
	object.Status = clusterStatus(c.Self, before.Status, is, c.Now())
	if equality.Semantic.DeepEqual(before.Status, object.Status) {
		return nil
	}
	if err := c.Client.Status().Patch(ctx, object, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("set the status of FerryCluster %s: %w", name, err)
	}
	return nil
}
