package podrun

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrUnknown means that what became of the command is not known: it may have done its work.
var ErrUnknown = errors.New("what became of it is not known")

// removeLimit bounds how long it takes to remove the pod, also after an interrupt.
const removeLimit = 15 * time.Second

// Runner runs pods.
type Runner struct {
	API client.Client
	// Logs follows the log of a pod from its beginning until it ends.
	Logs           func(ctx context.Context, namespace, name string) (io.ReadCloser, error)
	Stdout, Stderr io.Writer
	Now            func() time.Time
	// Pause is the time between two looks. Its error ends what waits.
	Pause func(context.Context) error
	// StartLimit is how long the pod may take to start, EndLimit how long to be seen ended after
	// its log has.
	StartLimit, EndLimit time.Duration
}

// Run creates the pod, passes its output on, removes it, and returns its exit code.
func (r *Runner) Run(ctx context.Context, pod *corev1.Pod) (code int, _ error) {
	if err := r.API.Create(ctx, pod); err != nil {
		return 0, fmt.Errorf("create a pod in namespace %s: %w", pod.Namespace, err)
	}
	defer func() {
		if left := r.remove(ctx, pod); left != nil {
			fmt.Fprintf(r.Stderr, "%v\n", left)
		}
	}()
	begun, err := r.wait(ctx, pod, r.StartLimit, func(state corev1.ContainerState) (bool, error) {
		if waiting := state.Waiting; waiting != nil && isFinal(waiting.Reason) {
			return false, neverBegan{fmt.Errorf("%s: %s", waiting.Reason, waiting.Message)}
		}
		return state.Running != nil || state.Terminated != nil, nil
	})
	if err != nil {
		// Whoever may not look at the pod does not know whether it runs.
		if !errors.As(err, &neverBegan{}) {
			err = fmt.Errorf("%w: %w", err, ErrUnknown)
		}
		return 0, fmt.Errorf("start pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	logs, err := r.Logs(ctx, pod.Namespace, pod.Name)
	if err == nil {
		err = errors.Join(r.copy(logs), logs.Close())
	}
	if err != nil {
		return 0, fmt.Errorf("read the output of pod %s/%s: %w: %w", pod.Namespace, pod.Name, err, ErrUnknown)
	}
	if begun.Terminated == nil {
		begun, err = r.wait(ctx, pod, r.EndLimit, func(state corev1.ContainerState) (bool, error) { return state.Terminated != nil, nil })
		if err != nil {
			return 0, fmt.Errorf("wait for the end of pod %s/%s: %w: %w", pod.Namespace, pod.Name, err, ErrUnknown)
		}
	}
	if ended := begun.Terminated; ended.Signal != 0 || ended.ExitCode > 125 {
		return 0, fmt.Errorf("pod %s/%s was ended from outside (%s, exit code %d): %w", pod.Namespace, pod.Name, ended.Reason, ended.ExitCode, ErrUnknown)
	}
	return int(begun.Terminated.ExitCode), nil
}

// neverBegan is why a container has not begun, and will not.
type neverBegan struct{ error }

// isFinal reports whether a container that waits for that reason never starts by itself, or not
// while a person waits.
func isFinal(reason string) bool {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return true
	}
	return false
}

// wait looks at the pod until its container is in a state.
func (r *Runner) wait(ctx context.Context, pod *corev1.Pod, limit time.Duration, enough func(corev1.ContainerState) (bool, error)) (corev1.ContainerState, error) {
	begin := r.Now()
	for {
		var now corev1.Pod
		if err := r.API.Get(ctx, client.ObjectKeyFromObject(pod), &now); err != nil {
			return corev1.ContainerState{}, err
		}
		var state corev1.ContainerState
		if len(now.Status.ContainerStatuses) > 0 {
			state = now.Status.ContainerStatuses[0].State
		}
		if done, err := enough(state); done || err != nil {
			return state, err
		}
		if now.Status.Phase == corev1.PodFailed {
			return state, fmt.Errorf("it has failed: %s %s", now.Status.Reason, now.Status.Message)
		}
		if r.Now().Sub(begin) >= limit {
			return state, fmt.Errorf("it takes longer than %s: %s", limit, why(&now))
		}
		if err := r.Pause(ctx); err != nil {
			return state, err
		}
	}
}

// why is what keeps a pod.
func why(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Status == corev1.ConditionFalse && condition.Message != "" {
			return condition.Message
		}
	}
	if len(pod.Status.ContainerStatuses) > 0 {
		if waiting := pod.Status.ContainerStatuses[0].State.Waiting; waiting != nil {
			return waiting.Reason
		}
	}
	return "it is " + string(pod.Status.Phase)
}

// copy passes lines on, to the stream that they come from.
func (r *Runner) copy(logs io.Reader) error {
	reader := bufio.NewReader(logs)
	for {
		line, err := reader.ReadString('\n')
		out := r.Stdout
		if rest, marked := strings.CutPrefix(line, Mark); marked {
			out, line = r.Stderr, rest
		}
		if _, writeErr := io.WriteString(out, line); writeErr != nil {
			return writeErr
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// remove removes the pod, also when the person does not wait any more.
func (r *Runner) remove(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
	defer cancel()
	if err := r.API.Delete(ctx, pod); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove pod %s/%s, which ends by itself: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// Marker begins each line of what is written with [Mark].
type Marker struct {
	Out io.Writer
	// inLine: the last line has no end yet.
	inLine bool
}

// Write implements io.Writer.
func (m *Marker) Write(data []byte) (int, error) {
	var marked strings.Builder
	for line := range strings.Lines(string(data)) {
		if !m.inLine {
			marked.WriteString(Mark)
		}
		marked.WriteString(line)
		m.inLine = !strings.HasSuffix(line, "\n")
	}
	if _, err := io.WriteString(m.Out, marked.String()); err != nil {
		return 0, err
	}
	return len(data), nil
}
