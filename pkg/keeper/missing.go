package keeper

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/missing"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
)

// waits is what was found to keep an image of this cluster from being released.
type waits struct {
	// all is what is missing, and since when. told is the part that people were told of.
	all, told []ceph.Missing
	// note is the one that is stored.
	note ceph.Note
}

// notes are by the names of PersistentVolumes, of those that this cluster owns. The zero value is
// ready.
type notes struct {
	mu  sync.Mutex
	all map[string]waits
	// failing is why a note could not be read or written the last time.
	failing string
}

func (n *notes) of(pv string) (waits, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	is, known := n.all[pv]
	return is, known
}

func (n *notes) put(pv string, is waits) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[string]waits{}
	}
	n.all[pv] = is
}

func (n *notes) forget(pv string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.all, pv)
}

// fails reports whether an error is another one than the last time; nil is none.
func (n *notes) fails(err error) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == n.failing {
		return false
	}
	n.failing = text
	return text != ""
}

// missing returns what keeps an image of this cluster from being released and has lasted, and after
// what time to look again. What is new, it says at the claim, the PersistentVolume and the pod; and
// it leaves a note of it, and of the pods, for people in other clusters. A leader that begins
// reads there since when something has been missing, and of what people were told.
func (k *Keeper) missing(ctx context.Context, storage idle.Ceph, look idle.Look, record ceph.Record) ([]ceph.Missing, time.Duration) {
	pv := look.Volume.PV.Name
	if record.State != ceph.Held || !ownership.Owns(record, k.Self) {
		k.notes.forget(pv)
		return nil, 0
	}
	before, known := k.notes.of(pv)
	if !known {
		note, err := storage.Note(ctx, look.Image)
		k.cannotNote(ctx, err)
		before = waits{note: note}
		if note.IsOf(record) {
			before.all, before.told = note.Missing, note.Missing
		}
	}
	now := k.Now()
	next := waits{all: missing.Remember(before.all, missing.Of(k.Facts(look, record)), now), note: before.note}
	lasting, again := missing.Lasting(next.all, now)
	next.told = lasting
	for _, m := range lasting {
		if !slices.ContainsFunc(before.told, func(t ceph.Missing) bool { return t.Kind == m.Kind && t.Subject == m.Subject }) {
			k.tellMissing(ctx, look, m)
		}
	}
	note := ceph.Note{Owner: k.Self.UID, Epoch: record.Epoch, Pods: podsOf(look.Evidence.Uses), Missing: lasting[:min(len(lasting), ceph.MaxNoted)]}
	if said := note.Pods != nil || note.Missing != nil || before.note.IsOf(record); said && !reflect.DeepEqual(note, before.note) {
		err := storage.PutNote(ctx, look.Image, note)
		k.cannotNote(ctx, err)
		if err == nil {
			next.note = note
		}
	}
	k.notes.put(pv, next)
	return lasting, again
}

// cannotNote logs an error when it begins. Nothing but what people are told depends on a note.
func (k *Keeper) cannotNote(ctx context.Context, err error) {
	if k.notes.fails(err) {
		ctrl.LoggerFrom(ctx).Error(err, "cannot tell other clusters who has an image, and what keeps it from being released", "advice", ceph.Advice(err))
	}
}

// podsOf are the pods among the uses, those first that are not being deleted.
func podsOf(uses []usage.Use) []ceph.NotedPod {
	var all []ceph.NotedPod
	for _, use := range uses {
		if use.Pod != "" {
			all = append(all, ceph.NotedPod{Name: use.Object, Node: use.Node, Ending: !use.Ends.IsZero()})
		}
	}
	rank := func(pod ceph.NotedPod) string { return fmt.Sprint(pod.Ending, " ", pod) }
	slices.SortFunc(all, func(a, b ceph.NotedPod) int { return strings.Compare(rank(a), rank(b)) })
	return all[:min(len(all), ceph.MaxNoted)]
}

// tellMissing writes the events.
func (k *Keeper) tellMissing(ctx context.Context, look idle.Look, m ceph.Missing) {
	volume := look.Volume
	text := fmt.Sprintf("%s(image %s) is not released: %s", prefix(volume), look.Image, m)
	ctrl.LoggerFrom(ctx).Info("an image is not released", "kind", m.Kind, "message", text)
	if volume.Orphan {
		return
	}
	if !k.gone(ctx, volume.PV) {
		k.Events.Missing(volume.PV, m, text)
	}
	claim, err := k.claimOf(ctx, volume)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot tell at the claim what keeps an image from being released")
	} else if claim != nil {
		k.Events.Missing(claim, m, text)
	}
	for _, use := range look.Evidence.Uses {
		if use.Pod != "" && (m.Subject == "Pod/"+use.Object || use.Node != "" && m.Subject == "Node/"+use.Node) {
			k.Events.Missing(podOf(use), m, text)
		}
	}
}

// podOf is enough for an event.
func podOf(use usage.Use) client.Object {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, _ = strings.Cut(use.Object, "/")
	pod.UID = types.UID(use.Pod)
	return pod
}

// on are the volumes that this cluster has on a node of that name.
func (k *Keeper) on(node string) []string {
	return k.ledger.heldBy(func(holder ceph.Node) bool { return holder.Name == node })
}
