//go:build lab

package scene

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Ready waits until the pods run.
func (s *Shop) Ready(c *Cluster, names ...string) {
	s.Helper()
	for _, name := range names {
		s.Eventually("pod "+name+" in "+c.Name+" is ready", func() error {
			pod, err := c.Client.CoreV1().Pods(s.Namespace).Get(s.Context(), name, metav1.GetOptions{})
			if err == nil && !isReady(pod) {
				err = Lazily(func() string { return fmt.Sprintf("it is %s\n%s", pod.Status.Phase, s.Events(c)) })
			}
			return err
		})
	}
}

func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

// Pods are those with a label app.
func (s *Shop) Pods(c *Cluster, app string) []corev1.Pod {
	s.Helper()
	list, err := c.Client.CoreV1().Pods(s.Namespace).List(s.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		s.Fatal(err)
	}
	return list.Items
}

// Runs waits until that many pods of the app are ready, and there are no others.
func (s *Shop) Runs(c *Cluster, app string, want int) {
	s.Helper()
	s.Eventually(fmt.Sprintf("%d pods of %s in %s", want, app, c.Name), func() error {
		pods := s.Pods(c, app)
		var ready int
		for i := range pods {
			if isReady(&pods[i]) {
				ready++
			}
		}
		if ready != want || len(pods) != want {
			return Lazily(func() string { return fmt.Sprintf("%d of %d are ready\n%s", ready, len(pods), s.Events(c)) })
		}
		return nil
	})
}

// ReplicaSets waits until there are some.
func (s *Shop) ReplicaSets(c *Cluster) []appsv1.ReplicaSet {
	s.Helper()
	var sets []appsv1.ReplicaSet
	s.Eventually("a ReplicaSet", func() error {
		list, err := c.Client.AppsV1().ReplicaSets(s.Namespace).List(s.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if sets = list.Items; len(sets) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	return sets
}

// Event is what `kubectl get events` shows of one.
type Event struct{ Type, Reason, Object, Message string }

// Events are those in the namespace.
func (s *Shop) Events(c *Cluster) []Event {
	s.Helper()
	list, err := c.Client.CoreV1().Events(s.Namespace).List(s.Context(), metav1.ListOptions{})
	if err != nil {
		s.Fatal(err)
	}
	var events []Event
	for _, e := range list.Items {
		events = append(events, Event{e.Type, e.Reason, e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, e.Message})
	}
	return events
}

// Event waits for an event whose message contains all of these.
func (s *Shop) Event(c *Cluster, reason, object string, contains ...string) {
	s.Helper()
	s.Eventually("an event "+reason+" at "+object, func() error {
		events := s.Events(c)
		if slices.ContainsFunc(events, func(e Event) bool {
			return e.Reason == reason && e.Object == object &&
				!slices.ContainsFunc(contains, func(part string) bool { return !strings.Contains(e.Message, part) })
		}) {
			return nil
		}
		return fmt.Errorf("there are %q", events)
	})
}
