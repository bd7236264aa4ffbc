package provisioner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// lookInterval is the shortest time between two looks at all records that are waited for.
	lookInterval = time.Second
	// looksPerSecond bounds how many records are read, however many claims wait.
	looksPerSecond = 100
	// podsInterval is how often a look is taken at whether pods still wait. A claim that none
	// waits for can be bound whoever has its image.
	podsInterval = 30 * time.Second
)

// waiters are the claims that wait for another cluster: pods wait for them, so the guard has
// refused their PersistentVolumes. They are not tried again before what the refusal rests on
// has changed; one look at all of them together finds that out. The zero value is ready.
type waiters struct {
	mu  sync.Mutex
	all map[types.NamespacedName]*waiter
}

// waiter is a claim that waits.
type waiter struct {
	claim types.NamespacedName
	uid   types.UID
	// plan is what was refused, and text what the guard said.
	plan plan
	text string
	// image is the one that is waited for, and seen what the refusal rests on, see
	// [Claims.basis].
	image ceph.Image
	seen  string
}

// place is a Ceph as a class leads to it.
type place struct {
	clusterID string
	secret    corev1.SecretReference
}

func nameOf(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// text returns what the guard said of the claim, if it waits for that volume still.
func (w *waiters) text(claim *corev1.PersistentVolumeClaim, p plan) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.all[nameOf(claim)]
	if one == nil || one.uid != claim.UID || !reflect.DeepEqual(one.plan, p) {
		return "", false
	}
	return one.text, true
}

// waits reports whether the claim waits.
func (w *waiters) waits(claim *corev1.PersistentVolumeClaim) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.all[nameOf(claim)]
	return one != nil && one.uid == claim.UID
}

func (w *waiters) add(one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[types.NamespacedName]*waiter{}
	}
	w.all[one.claim] = one
}

func (w *waiters) forget(claim types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, claim)
}

// take forgets a waiter, and reports whether it was there still.
func (w *waiters) take(one *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all[one.claim] != one {
		return false
	}
	delete(w.all, one.claim)
	return true
}

// list returns all, sorted by the names of their claims.
func (w *waiters) list() []*waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.SortedFunc(maps.Values(w.all), func(a, b *waiter) int { return strings.Compare(a.claim.String(), b.claim.String()) })
}

// interval is the time between two looks at n records.
func interval(n int) time.Duration {
	return max(lookInterval, time.Duration(n)*time.Second/looksPerSecond)
}

// waitFor notes a claim whose PersistentVolume the guard has refused, and reports whether
// it is told when to try again. It is not if the image is free by now, or never was in use.
func (c *Claims) waitFor(ctx context.Context, claim *corev1.PersistentVolumeClaim, p plan, volume provision.Volume, text string) bool {
	of, ok := volume.(provision.Image)
	if !ok {
		return false
	}
	image, err := of.Cluster.Image(ctx, of.ImageSpec)
	if err != nil {
		return false
	}
	record, seen, err := c.basis(ctx, of.Cluster, image)
	if err != nil || seen == "" {
		return false
	}
	if c.Waits != nil {
		c.Waits(claim, image.ImageSpec, record, text)
	}
	c.waiters.add(&waiter{claim: nameOf(claim), uid: claim.UID, plan: p, text: text, image: image, seen: seen})
	return true
}

// storage is what [Claims.basis] asks.
type storage interface {
	ceph.RecordStore
	ceph.WatcherLister
}

// basis is what the guard's refusal of an image rests on: its owner, and where he has it, if
// that is another cluster, and otherwise who has the image open. Empty: nothing speaks
// against the image. The record is what it was read from.
func (c *Claims) basis(ctx context.Context, of storage, image ceph.Image) (record ceph.Record, seen string, err error) {
	record, err = ownership.Read(ctx, of, image)
	if err != nil {
		return record, "", err
	}
	if owner := record.Owner; owner != nil && !ownership.Owns(record, c.Cluster) {
		text := fmt.Sprintf("%s %d %s %s/%s", record.State, record.Epoch, owner.UID, owner.Namespace, owner.Claim)
		for _, node := range owner.Nodes {
			text += " " + node.Name
		}
		return record, text, nil
	}
	watchers, err := of.Watchers(ctx, image.ImageSpec)
	var open []string
	for _, watcher := range watchers {
		open = append(open, watcher.Addr)
	}
	slices.Sort(open)
	return record, strings.Join(open, " "), err
}

// changed looks at all records that are waited for, and returns the claims to try again.
func (c *Claims) changed(ctx context.Context) []types.NamespacedName {
	places := map[place][]*waiter{}
	for _, one := range c.waiters.list() {
		at := place{one.plan.Class.ClusterID, one.plan.Class.ProvisionerSecret}
		places[at] = append(places[at], one)
	}
	var mu sync.Mutex
	var again []types.NamespacedName
	var group errgroup.Group
	for at, all := range places {
		group.Go(func() error {
			changed := c.changedAt(ctx, at, all)
			mu.Lock()
			defer mu.Unlock()
			again = append(again, changed...)
			return nil
		})
	}
	_ = group.Wait() // nobody returns an error
	return again
}

// changedAt is changed for one Ceph. While that does not answer, everybody goes on waiting.
func (c *Claims) changedAt(ctx context.Context, at place, all []*waiter) (again []types.NamespacedName) {
	cluster, _, err := c.Storages.ClusterAs(ctx, at.clusterID, at.secret)
	if err != nil {
		return nil
	}
	for _, one := range all {
		_, seen, err := c.basis(ctx, cluster, one.image)
		if errors.Is(err, ceph.ErrUnreachable) || ctx.Err() != nil {
			return again
		}
		// What else is wrong, the next try says.
		if (err != nil || seen != one.seen) && c.waiters.take(one) {
			again = append(again, one.claim)
		}
	}
	return again
}

// unused returns the claims that no pod waits for any more.
func (c *Claims) unused(ctx context.Context) (again []types.NamespacedName) {
	used := map[string]map[string]bool{} // by namespace
	for _, one := range c.waiters.list() {
		names, known := used[one.claim.Namespace]
		if !known {
			var pods corev1.PodList
			if err := c.API.List(ctx, &pods, client.InNamespace(one.claim.Namespace)); err == nil {
				names = claimsOf(pods.Items)
			}
			used[one.claim.Namespace] = names
		}
		if names != nil && !names[one.claim.Name] && c.waiters.take(one) {
			again = append(again, one.claim)
		}
	}
	return again
}

// claimsOf are the claims that pods use which are not finished.
func claimsOf(pods []corev1.Pod) map[string]bool {
	names := map[string]bool{}
	for i := range pods {
		if usage.IsFinished(&pods[i]) {
			continue
		}
		for _, name := range volumes.ClaimsOfPod(pods[i].Name, &pods[i].Spec) {
			names[name] = true
		}
	}
	return names
}

// look is the loop that wakes claims, in the leader.
type look struct{ *Claims }

// Start runs until ctx ends.
func (l look) Start(ctx context.Context) error {
	lastPods := l.Now()
	timer := time.NewTimer(lookInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		again := l.changed(ctx)
		if now := l.Now(); now.Sub(lastPods) >= podsInterval {
			lastPods = now
			again = append(again, l.unused(ctx)...)
		}
		for _, claim := range again {
			object := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: claim.Namespace, Name: claim.Name}}
			select {
			case <-ctx.Done():
				return nil
			case l.again <- event.GenericEvent{Object: object}:
			}
		}
		if len(again) > 0 {
			ctrl.LoggerFrom(ctx).V(1).Info("what claims wait for has changed", "claims", len(again))
		}
		waiting := len(l.waiters.list())
		l.Metrics.waiting.Set(float64(waiting))
		timer.Reset(interval(waiting))
	}
}
