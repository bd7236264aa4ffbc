package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

const (
	moves = 10
	// asleep is for how long workloads are refused before their volumes become free. By
	// itself a ReplicaSet then tries again about as long afterwards.
	asleep = 20 * time.Second
	// handoverLimit bounds each wait.
	handoverLimit = time.Minute
)

// handover is two guarded clusters with nodes.
type handover struct {
	dir        string
	tools      lab.Tools
	lab        *lab.Lab
	storage    ceph.Cluster
	east, west *side
	// stamps is the time between two of a pod, 0 that of the lab.
	stamps time.Duration
}

// side is a guarded cluster.
type side struct {
	*lab.Cluster
	api   client.WithWatch
	guard *webhook.Webhook
}

// handing measures for how long a volume that changes clusters is of no use: from the
// moment in which the old cluster is done with it to the pod in the new one, which was
// refused before.
func handing(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	h := &handover{dir: dir, tools: tools}
	defer func() { err = errors.Join(err, h.stop()) }()
	if err := h.start(ctx); err != nil {
		return err
	}
	if err := h.planned(ctx, out); err != nil {
		return err
	}
	return h.fenced(ctx, out)
}

func (h *handover) start(ctx context.Context) (err error) {
	if h.lab, err = lab.Start(ctx, lab.Options{Dir: filepath.Join(h.dir, "handover"), Tools: h.tools, Nodes: lab.Nodes{PerCluster: 3, StampInterval: h.stamps}}); err != nil {
		return err
	}
	if h.storage, err = goceph.Dial(ctx, goceph.Config{ConfFile: h.lab.Ceph.ConfFile}); err != nil {
		return err
	}
	if h.east, err = h.guarded(ctx, h.lab.East); err != nil {
		return err
	}
	h.west, err = h.guarded(ctx, h.lab.West)
	return err
}

func (h *handover) stop() error {
	var err error
	for _, s := range []*side{h.east, h.west} {
		if s != nil {
			err = errors.Join(err, s.guard.Kill())
		}
	}
	if h.storage != nil {
		err = errors.Join(err, h.storage.Close())
	}
	if h.lab != nil {
		err = errors.Join(err, h.lab.Stop())
	}
	return err
}

// guarded starts the webhook as the chart does.
func (h *handover) guarded(ctx context.Context, cluster *lab.Cluster) (*side, error) {
	helm, err := h.tools.Find("helm")
	if err != nil {
		return nil, err
	}
	program, err := h.tools.Find("webhook")
	if err != nil {
		return nil, err
	}
	s := &side{Cluster: cluster}
	if s.api, err = newClient(cluster.Kubeconfig); err != nil {
		return nil, err
	}
	s.guard, err = webhook.Start(ctx, webhook.Options{
		Ceph: h.lab.Ceph, Cluster: cluster, Dir: filepath.Join(h.dir, "guard-"+cluster.Name), Chart: "charts/cephferry",
		Values: "guard.scope=migratable", Helm: helm, Webhook: program, Home: filepath.Join(h.dir, "home"),
	})
	if err != nil {
		return nil, err
	}
	if err := s.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, err
	}
	return s, s.await(ctx, "the namespace's account", func() error {
		return s.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
	})
}

// await polls until check is content.
func (s *side) await(ctx context.Context, what string, check func() error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, handoverLimit, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s in %s: %w", what, s.Name, errors.Join(last, err))
	}
	return nil
}

// prepare makes the pairs of claims in both clusters. Pods in east have them, and those
// in west are refused, for long enough that nobody tries again soon. On says on which
// nodes they are; others may be on any.
func (h *handover) prepare(ctx context.Context, claims []string, on map[string]string) error {
	for _, s := range []*side{h.east, h.west} {
		if err := createPairs(ctx, s.api, h.lab.Ceph, h.tools, h.dir, claims); err != nil {
			return err
		}
		for _, claim := range claims {
			if err := s.await(ctx, "the volume of "+claim, func() error {
				var pvc corev1.PersistentVolumeClaim
				err := s.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: claim}, &pvc)
				if err == nil && pvc.Status.Phase != corev1.ClaimBound {
					err = fmt.Errorf("it is %s", pvc.Status.Phase)
				}
				return err
			}); err != nil {
				return err
			}
		}
	}
	for _, claim := range claims {
		if err := h.east.runs(ctx, claim, on[claim]); err != nil {
			return err
		}
		if err := h.west.isRefused(ctx, claim); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(asleep):
		return nil
	}
}

// runs starts a pod that has the claim, on that node if it has a name, and returns when
// it writes.
func (s *side) runs(ctx context.Context, claim, node string) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: claim, Namespace: namespace}, Spec: using(claim)}
	if node != "" {
		pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	}
	if err := s.api.Create(ctx, pod); err != nil {
		return err
	}
	return s.await(ctx, "pod "+claim, func() error {
		if err := s.api.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("it is %s", pod.Status.Phase)
	})
}

// isRefused makes a ReplicaSet for the claim, and returns when its pod was refused.
func (s *side) isRefused(ctx context.Context, claim string) error {
	set := newReplicaSet(claim, using(claim))
	if err := s.api.Create(ctx, set); err != nil {
		return err
	}
	return s.await(ctx, "the refusal of "+claim, func() error {
		if err := s.api.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		for _, condition := range set.Status.Conditions {
			if condition.Type == appsv1.ReplicaSetReplicaFailure && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return errors.New("its ReplicaSet does not say so")
	})
}

func newReplicaSet(name string, spec corev1.PodSpec) *appsv1.ReplicaSet {
	one := int32(1)
	labels := map[string]string{"app": name}
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}
}

// using is a pod with these claims.
func using(claims ...string) corev1.PodSpec {
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example/app:1.0"}}}
	for _, claim := range claims {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}})
	}
	return spec
}

// appears starts to look for the pod of a ReplicaSet, and returns what waits for it. The
// API server stores a pod when it was admitted.
func (s *side) appears(ctx context.Context, name string) (func() (time.Time, error), error) {
	watch, err := s.api.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace), client.MatchingLabels{"app": name})
	if err != nil {
		return nil, err
	}
	seen := make(chan time.Time, 1)
	go func() {
		defer close(seen)
		if _, ok := <-watch.ResultChan(); ok {
			seen <- time.Now()
		}
	}()
	return func() (time.Time, error) {
		defer watch.Stop()
		select {
		case at, ok := <-seen:
			if !ok {
				return at, errors.New("the watch has ended")
			}
			return at, nil
		case <-time.After(handoverLimit):
			return time.Time{}, fmt.Errorf("the pod of ReplicaSet %s in %s is not there after %s", name, s.Name, handoverLimit)
		}
	}, nil
}

// planned measures hand-overs between two clusters that are well.
func (h *handover) planned(ctx context.Context, out io.Writer) error {
	var claims []string
	for i := range moves {
		claims = append(claims, fmt.Sprint("move-", i))
	}
	if err := h.prepare(ctx, claims, nil); err != nil {
		return err
	}
	yardstick := &contender{name: "a new ReplicaSet makes its pod", once: h.unguarded}
	released := &contender{name: "last watcher gone, to the release"}
	woken := &contender{name: "release, to the pod in the other cluster"}
	whole := &contender{name: "last watcher gone, to the pod in the other cluster"}
	for _, claim := range claims {
		if err := yardstick.turn(ctx); err != nil {
			return err
		}
		gone, free, admitted, err := h.move(ctx, claim)
		if err != nil {
			return fmt.Errorf("%s: %w", claim, err)
		}
		released.times = append(released.times, free.Sub(gone))
		woken.times = append(woken.times, admitted.Sub(free))
		whole.times = append(whole.times, admitted.Sub(gone))
	}
	spans(out, "Planned hand-over, refused for at least "+asleep.String(), yardstick, []*contender{yardstick, released, woken, whole})
	return nil
}

// unguarded is the time from a ReplicaSet without a volume to its pod.
func (h *handover) unguarded(ctx context.Context) (time.Duration, error) {
	set := newReplicaSet(fmt.Sprint("free-", time.Now().UnixNano()), using())
	appeared, err := h.west.appears(ctx, set.Name)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := h.west.api.Create(ctx, set); err != nil {
		return 0, err
	}
	at, err := appeared()
	if err != nil {
		return 0, err
	}
	return at.Sub(begin), h.west.api.Delete(ctx, set, client.PropagationPolicy(metav1.DeletePropagationBackground))
}

// move ends the pod in east, and returns when the last watcher was gone, when the image
// was no longer east's, and when the pod in west was there.
func (h *handover) move(ctx context.Context, claim string) (gone, free, admitted time.Time, err error) {
	found, err := h.storage.Image(ctx, image(claim))
	if err != nil {
		return gone, free, admitted, err
	}
	before, err := ownership.Read(ctx, h.storage, found)
	if err != nil {
		return gone, free, admitted, err
	}
	appeared, err := h.west.appears(ctx, claim)
	if err != nil {
		return gone, free, admitted, err
	}
	if err := h.east.api.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: claim, Namespace: namespace}}); err != nil {
		return gone, free, admitted, err
	}
	for ; gone.IsZero() || free.IsZero(); time.Sleep(time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return gone, free, admitted, err
		}
		if gone.IsZero() {
			watchers, err := h.storage.Watchers(ctx, image(claim))
			if err != nil {
				return gone, free, admitted, err
			}
			if len(watchers) > 0 {
				continue
			}
			gone = time.Now()
		}
		now, err := ownership.Read(ctx, h.storage, found)
		if err != nil {
			return gone, free, admitted, err
		}
		if now.State == ceph.Free || now.Epoch != before.Epoch {
			free = time.Now()
		}
	}
	admitted, err = appeared()
	return gone, free, admitted, err
}

// spans prints medians and the longest times.
func spans(out io.Writer, title string, yardstick *contender, contenders []*contender) {
	var rows [][]string
	for _, c := range contenders {
		rows = append(rows, []string{
			c.name, milliseconds(c.median(), 0), milliseconds(c.percentile(100), 0), times(c.median(), yardstick.median()), fmt.Sprint(len(c.times)),
		})
	}
	table(out, title, []string{"", "median", "longest", "median, times " + yardstick.name, "runs"}, rows)
}
