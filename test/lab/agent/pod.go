package agent

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/test/lab/stamp"
)

// run is the life of a pod: running ends when the pod is to be deleted, ctx when
// the agent ends.
func (n *node) run(ctx, running context.Context, pod *corev1.Pod) {
	log := n.Log.With("pod", pod.Namespace+"/"+pod.Name, "uid", pod.UID)
	mounted, err := n.mount(running, pod)
	if err == nil {
		log.Info("started")
		err = n.live(running, pod, mounted)
	}
	if ctx.Err() != nil {
		return
	}
	if running.Err() == nil { // all containers ended by themselves
		log.Info("ended")
		_ = retryForever(running, n.Log, "report end of pod", func(ctx context.Context) error {
			return n.report(ctx, pod, state{phase: corev1.PodSucceeded})
		})
		n.unmount(ctx, mounted)
		mounted = nil
		<-running.Done()
		if ctx.Err() != nil {
			return
		}
	} else if !errors.Is(err, context.Canceled) {
		log.Error("stopped", "error", err)
	}
	// Like kubelet, remove the pod when nothing of it runs any more, without
	// waiting for its volumes; and when the API server doesn't answer, let go of
	// the volumes first.
	bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
	removed := n.remove(bounded, pod)
	cancel()
	n.unmount(ctx, mounted)
	if removed != nil {
		_ = retryForever(ctx, n.Log, "remove pod", func(ctx context.Context) error { return n.remove(ctx, pod) })
	}
	log.Info("removed")
}

// live writes stamps until running ends, or until the containers do.
func (n *node) live(running context.Context, pod *corev1.Pod, volumes []*volume) error {
	states := make(chan state, 1)
	defer close(states)
	go func() {
		for s := range states {
			_ = retryForever(running, n.Log, "report pod", func(ctx context.Context) error { return n.report(ctx, pod, s) })
		}
	}()
	reported := state{phase: corev1.PodRunning}
	states <- reported

	var end <-chan time.Time
	if length, ok := duration(pod); ok {
		end = time.After(length)
	}
	ticker := time.NewTicker(n.StampInterval)
	defer ticker.Stop()
	writer := stamp.Writer{Cluster: n.Cluster, Node: n.Node, Pod: pod.Namespace + "/" + pod.Name, UID: string(pod.UID)}
	for {
		now := state{phase: corev1.PodRunning}
		for _, v := range volumes {
			if err := v.staged.stamp(writer); err != nil {
				now.problem = err.Error()
			}
		}
		if now != reported {
			select {
			case states <- now:
				n.Log.Info("writing", "pod", writer.Pod, "error", now.problem)
				reported = now
			default: // the last report is still on its way
			}
		}
		select {
		case <-running.Done():
			return running.Err()
		case <-end:
			return nil
		case <-ticker.C:
		}
	}
}

// duration is how long the pod runs when every container is a `sleep N` that
// need not run always.
func duration(pod *corev1.Pod) (time.Duration, bool) {
	if pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		return 0, false
	}
	var longest time.Duration
	for _, c := range pod.Spec.Containers {
		words := append(append([]string{}, c.Command...), c.Args...)
		if len(words) != 2 || words[0] != "sleep" {
			return 0, false
		}
		seconds, err := strconv.ParseFloat(words[1], 64)
		if err != nil || math.IsInf(seconds, 0) {
			return 0, false
		}
		longest = max(longest, time.Duration(seconds*float64(time.Second)))
	}
	return longest, true
}

// state is what a pod's status says.
type state struct {
	phase corev1.PodPhase
	// problem is why a running pod is not ready.
	problem string
}

// report writes the pod's status.
func (n *node) report(ctx context.Context, pod *corev1.Pod, s state) error {
	now := metav1.Now()
	running := s.phase == corev1.PodRunning
	status := corev1.PodStatus{
		Phase:     s.phase,
		HostIP:    n.Address,
		HostIPs:   []corev1.HostIP{{IP: n.Address}},
		PodIP:     n.Address,
		PodIPs:    []corev1.PodIP{{IP: n.Address}},
		StartTime: &now,
	}
	for kind, is := range map[corev1.PodConditionType]bool{
		corev1.PodReadyToStartContainers: running,
		corev1.PodInitialized:            true,
		corev1.ContainersReady:           running && s.problem == "",
		corev1.PodReady:                  running && s.problem == "",
	} {
		condition := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: now, Message: s.problem}
		if is {
			condition.Status, condition.Message = corev1.ConditionTrue, ""
		}
		status.Conditions = append(status.Conditions, condition)
	}
	for _, c := range pod.Spec.Containers {
		started := running
		container := corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: c.Image, Ready: running && s.problem == "", Started: &started}
		if running {
			container.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
		} else {
			container.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}
		}
		status.ContainerStatuses = append(status.ContainerStatuses, container)
	}
	data, err := patch(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	_, err = n.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // deleted, or another pod of that name
		return nil
	}
	return err
}

// remove takes the pod's object away, as kubelet does at the end.
func (n *node) remove(ctx context.Context, pod *corev1.Pod) error {
	now := int64(0)
	err := n.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now,
		Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
