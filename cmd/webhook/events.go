package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/recorder"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// The reasons of the events that this program writes of its own.
const (
	eventRefused  = "VolumeInUse"
	eventAcquired = "Acquired"
	eventReleased = "Released"
	eventWoken    = "Woken"
)

func eventRecorder(manager ctrl.Manager) events.EventRecorder {
	return recorder.Cutting{EventRecorder: manager.GetEventRecorder("cephferry")}
}

// noted makes refusals Kubernetes events.
type noted struct{ events.EventRecorder }

func (n noted) Refused(object client.Object, message string) {
	n.Eventf(object, nil, corev1.EventTypeWarning, eventRefused, "Start", "%s", message)
}

// OwnedElsewhere is noted at what uses a volume that this cluster does not own.
func (n noted) OwnedElsewhere(object, related client.Object, message string) {
	n.Eventf(object, related, corev1.EventTypeWarning, keeper.Reason, "Keep", "%s", message)
}

// maxAction is the longest action in bytes that the API server takes in an event.
const maxAction = 128

// Missing is noted at what has an image that is not released. Its action is what it is about:
// otherwise the recorder would take the next one for a repetition, and drop its text.
func (n noted) Missing(object client.Object, is ceph.Missing, message string) {
	n.Eventf(object, nil, corev1.EventTypeWarning, is.Kind, is.Subject[:min(len(is.Subject), maxAction)], "%s", message)
}

// atClaims notes at claims what becomes of their images. A claim that the cache does not have is
// gone, or a moment old; nothing depends on its event.
type atClaims struct {
	events.EventRecorder
	cache client.Reader
	// cluster is the name of this one.
	cluster string
}

func (a atClaims) acquired(volume volumes.Volume) {
	a.note(volume, eventAcquired, "image %s/%s is now owned by cluster %s: a pod was admitted", volume.Image.Pool, volume.Image.Name, a.cluster)
}

// changed hears from the keeper that an image has got this cluster as its owner, or has lost it.
func (a atClaims) changed(volume volumes.Volume, owns bool) {
	if owns {
		a.note(volume, eventAcquired, "image %s/%s is now owned by cluster %s: the cluster uses it already", volume.Image.Pool, volume.Image.Name, a.cluster)
		return
	}
	a.note(volume, eventReleased, "image %s/%s is released: nothing in cluster %s uses it any more", volume.Image.Pool, volume.Image.Name, a.cluster)
}

func (a atClaims) woken(volume volumes.Volume, workload string) {
	a.note(volume, eventWoken, "image %s/%s is free: %s was told to try again", volume.Image.Pool, volume.Image.Name, workload)
}

func (a atClaims) note(volume volumes.Volume, reason, text string, args ...any) {
	// From a cache that is complete this takes no time, but for one that ends.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var claim corev1.PersistentVolumeClaim
	if err := a.cache.Get(ctx, client.ObjectKey{Namespace: volume.Namespace, Name: volume.Claim}, &claim); err != nil || !volumes.IsFor(volume.PV, &claim) {
		return
	}
	a.Eventf(&claim, nil, corev1.EventTypeNormal, reason, "Own", "%s", fmt.Sprintf(text, args...))
}
