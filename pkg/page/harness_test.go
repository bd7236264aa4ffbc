package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// noon is when the objects of tests were made.
var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// objects are a cluster's, as a cache of them and as its API server.
type objects struct {
	mu        sync.Mutex
	volumes   []v1alpha1.MigratableVolume
	clusters  []v1alpha1.FerryCluster
	takeovers []v1alpha1.Takeover
	failure   error
	// caches counts those that were made, and running those that have not ended.
	caches, running, lists int
}

// inMemory is one cache of the objects.
type inMemory struct {
	*objects
	begun chan struct{}
}

func (o *objects) newCache() (Cache, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.caches++
	o.running++
	return &inMemory{o, make(chan struct{})}, nil
}

func (m *inMemory) Start(ctx context.Context) error {
	close(m.begun)
	<-ctx.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running--
	return nil
}

func (m *inMemory) WaitForCacheSync(ctx context.Context) bool {
	select {
	case <-m.begun:
		return true
	case <-ctx.Done():
		return false
	}
}

func (o *objects) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lists++
	if o.failure != nil {
		return o.failure
	}
	switch list := into.(type) {
	case *v1alpha1.MigratableVolumeList:
		list.Items = slices.Clone(o.volumes)
	case *v1alpha1.FerryClusterList:
		list.Items = slices.Clone(o.clusters)
	case *v1alpha1.TakeoverList:
		list.Items = slices.Clone(o.takeovers)
	default:
		return fmt.Errorf("the page lists no %T", into)
	}
	return nil
}

func (o *objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	volume, ok := into.(*v1alpha1.MigratableVolume)
	if !ok {
		return fmt.Errorf("the page gets no %T", into)
	}
	for i := range o.volumes {
		if client.ObjectKeyFromObject(&o.volumes[i]) == key {
			o.volumes[i].DeepCopyInto(volume)
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: Volumes}, key.Name)
}

// change changes a volume, and leaves what was listed before as it was.
func (o *objects) change(namespace, claim string, change func(*v1alpha1.MigratableVolumeStatus)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.volumes {
		if o.volumes[i].Namespace == namespace && o.volumes[i].Name == claim {
			changed := o.volumes[i].DeepCopy()
			change(&changed.Status)
			o.volumes[i] = *changed
			return
		}
	}
	panic("there is no " + namespace + "/" + claim)
}

// clock stands still, until somebody moves it.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer
}

type timer struct {
	*clock
	due  time.Time
	call func()
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) AfterFunc(d time.Duration, call func()) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := &timer{c, c.now.Add(d), call}
	c.timers = append(c.timers, made)
	return made
}

func (t *timer) Reset(d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = t.now.Add(d)
	if !slices.Contains(t.timers, t) {
		t.timers = append(t.timers, t)
	}
	return true
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	c.timers = slices.DeleteFunc(c.timers, func(t *timer) bool {
		if t.due.After(c.now) {
			return false
		}
		due = append(due, t.call)
		return true
	})
	c.mu.Unlock()
	for _, call := range due {
		call()
	}
}

// users are what requesters may list, by the name in their header: namespaces, and
// resources without one. "*" is everything.
type users map[string][]string

const userHeader = "Test-User"

func (u users) identify(r *http.Request) (Viewer, error) {
	rights, ok := u[r.Header.Get(userHeader)]
	if !ok {
		return nil, fmt.Errorf("%w: nobody has that token", ErrUnauthenticated)
	}
	return rightsOf(rights), nil
}

type rightsOf []string

func (r rightsOf) MayList(_ context.Context, resource, namespace string) (bool, error) {
	if slices.Contains(r, "outage") {
		return false, errors.New("review what you may list: connection refused")
	}
	if slices.Contains(r, "*") {
		return true, nil
	}
	if resource != Volumes {
		return slices.Contains(r, resource), nil
	}
	return namespace != "" && slices.Contains(r, namespace), nil
}

// newPage returns a page of these objects, and its clock.
func newPage(t *testing.T, o *objects, u users) (*Page, *clock) {
	t.Helper()
	c := &clock{now: noon}
	probe := func(ctx context.Context) error { return o.List(ctx, &v1alpha1.MigratableVolumeList{}) }
	look := &Look{New: o.newCache, Probe: probe, Now: c.Now, AfterFunc: c.AfterFunc}
	t.Cleanup(look.Close)
	return &Page{Cluster: "west", Identify: u.identify, Look: look, API: o, Log: logr.Discard()}, c
}

func stamp(minutes int) *metav1.Time {
	return &metav1.Time{Time: noon.Add(time.Duration(minutes) * time.Minute)}
}

func volume(namespace, claim string, status v1alpha1.MigratableVolumeStatus) v1alpha1.MigratableVolume {
	return v1alpha1.MigratableVolume{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: claim}, Status: status}
}

func heldBy(cluster string, here bool, node string) v1alpha1.MigratableVolumeStatus {
	return v1alpha1.MigratableVolumeStatus{
		State: v1alpha1.VolumeHeld, Keyed: true,
		Owner: &v1alpha1.VolumeOwner{Name: cluster, UID: "7a3f1c2e-" + cluster, ThisCluster: here, Nodes: []string{node}, Since: stamp(-90)},
		History: []v1alpha1.VolumeChange{
			{At: *stamp(-600), Event: "acquired", Cluster: "north"},
			{At: *stamp(-120), Event: "released", Cluster: "north"},
			{At: *stamp(-90), Event: "acquired", Cluster: cluster},
		},
	}
}

// shop is a small cluster in which there is one of everything.
func shop() *objects {
	waiting := heldBy("east", false, "east-node-1")
	waiting.Waiting = "2 pods wait for cluster east"
	waiting.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionUsable, Status: metav1.ConditionFalse, Message: "east owns it"},
		{Type: v1alpha1.ConditionWaiting, Status: metav1.ConditionTrue, LastTransitionTime: *stamp(-3), Message: "2 pods wait since 11:57 for cluster east; scale it down there"},
	}
	fencing := heldBy("east", false, "east-node-2")
	fencing.State, fencing.Takeover = v1alpha1.VolumeFencing, &v1alpha1.VolumeTakeover{Cluster: "west", By: "alice@example.com", Since: *stamp(-1)}
	fencing.History = append(fencing.History, v1alpha1.VolumeChange{At: *stamp(-1), Event: "fence-begun", Cluster: "west", By: "alice@example.com", From: "east"})
	fenced := heldBy("west", true, "west-node-1")
	fenced.Fenced = []v1alpha1.FencedMachine{{Cluster: "east", Node: "east-node-2", Addresses: []string{"10.0.2.2"}}}
	unknown := heldBy("west", true, "west-node-1")
	unknown.State = v1alpha1.VolumeUnknown
	unknown.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionKnown, Status: metav1.ConditionFalse, LastTransitionTime: *stamp(-5), Message: "ceph gives no answer"}}
	for _, status := range []*v1alpha1.MigratableVolumeStatus{&waiting, &fencing, &fenced, &unknown} {
		status.Image = "replicapool/shop.some~image"
	}
	return &objects{
		volumes: []v1alpha1.MigratableVolume{
			volume("shop", "data-db-1", fencing),
			volume("shop", "data-db-0", waiting),
			volume("shop", "data-db-2", fenced),
			volume("mail", "queue", unknown),
			volume("mail", "spool", v1alpha1.MigratableVolumeStatus{State: v1alpha1.VolumeFree}),
		},
		clusters: []v1alpha1.FerryCluster{
			{ObjectMeta: metav1.ObjectMeta{Name: "west"}, Status: v1alpha1.FerryClusterStatus{Name: "west", ThisCluster: true, Version: "0.2.0", LastSeen: stamp(0), NodeCount: 3, VolumesOwned: 2}},
			{ObjectMeta: metav1.ObjectMeta{Name: "east"}, Status: v1alpha1.FerryClusterStatus{
				Name: "east", Version: "0.2.0", LastSeen: stamp(-40), NodeCount: 2, VolumesOwned: 2,
				Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSeen, Status: metav1.ConditionFalse, Message: "not seen for 40 minutes"}},
			}},
		},
		takeovers: []v1alpha1.Takeover{
			{
				ObjectMeta: metav1.ObjectMeta{Name: "lost", CreationTimestamp: *stamp(-80)},
				Spec:       v1alpha1.TakeoverSpec{From: "west", Node: "west-node-2", By: "bob@example.com"},
				Status:     v1alpha1.TakeoverStatus{Phase: v1alpha1.TakeoverDone, VolumeCount: 1, TakenCount: 1},
			},
			{
				ObjectMeta: metav1.ObjectMeta{Name: "east-is-dead", CreationTimestamp: *stamp(-2)},
				Spec:       v1alpha1.TakeoverSpec{From: "east", By: "alice@example.com", All: true},
				Status: v1alpha1.TakeoverStatus{
					Phase: v1alpha1.TakeoverRunning, VolumeCount: 2, TakenCount: 1,
					Conditions: []metav1.Condition{{Type: "Begun", Status: metav1.ConditionTrue}, {Type: "MachinesFenced", Status: metav1.ConditionTrue}, {Type: "TakenOver", Status: metav1.ConditionFalse}},
				},
			},
		},
	}
}

// many is a cluster with that many volumes besides.
func many(count int) *objects {
	o := shop()
	for i := range count - len(o.volumes) {
		cluster, node := "west", fmt.Sprintf("west-node-%d", i%40)
		if i%3 == 0 {
			cluster, node = "east", fmt.Sprintf("east-node-%d", i%40)
		}
		status := heldBy(cluster, cluster == "west", node)
		status.Image = fmt.Sprintf("replicapool/team-%03d.data-app-%d~%s", i%200, i/200, cluster)
		status.History[2].At = *stamp(-100 - i)
		o.volumes = append(o.volumes, volume(fmt.Sprintf("team-%03d", i%200), fmt.Sprintf("data-app-%d", i/200), status))
	}
	return o
}
