package move

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/count"
)

// Mover takes workloads from one cluster to another.
type Mover struct {
	From, To Cluster
	// Say is told each step.
	Say func(step string)
	Now func() time.Time
	// Pause is the time between two looks. Its error ends what waits.
	Pause func(context.Context) error
	// Limit is how long one end may take to let go, or to start.
	Limit time.Duration
}

// ErrTaken means that the target has some volumes and does not run, so that nothing was undone.
var ErrTaken = errors.New("the target has volumes by now")

// Run carries a plan out, and returns for how long nothing ran. Interrupted, it leaves what it
// has written on the workloads, for the next run. If the target cannot start and has
// taken nothing, the source runs again as before.
func (m *Mover) Run(ctx context.Context, plan *Plan) (down time.Duration, err error) {
	begin := m.Now()
	err = m.stop(ctx, plan)
	if err == nil {
		err = m.start(ctx, plan)
	}
	if err == nil {
		return m.Now().Sub(begin), m.finish(ctx, plan)
	}
	if ctx.Err() != nil {
		return 0, err
	}
	taken, lookErr := m.taken(ctx, plan)
	if lookErr != nil {
		return 0, fmt.Errorf("%w\nwhat became of the volumes is not known, so nothing was undone: %w", err, lookErr)
	}
	if len(taken) > 0 {
		return 0, fmt.Errorf("%w\n%w, so nothing was undone: %s", err, ErrTaken, strings.Join(taken, ", "))
	}
	m.Say("undoing it: " + err.Error())
	if undone := m.Undo(ctx, plan); undone != nil {
		return 0, fmt.Errorf("%w\nundo it: %w", err, undone)
	}
	return 0, fmt.Errorf("%w\n%s runs it again, as before", err, m.From.Name)
}

// stop scales the source down, and waits until it has let go.
func (m *Mover) stop(ctx context.Context, plan *Plan) error {
	for i := range plan.items {
		item := &plan.items[i]
		if before := item.from.replicas(); before > 0 {
			note := map[string]string{Replicas: fmt.Sprint(item.replicas), To: m.To.UID}
			if err := item.from.scale(ctx, m.From.API, 0, note); err != nil {
				return m.From.says(err)
			}
			m.Say(fmt.Sprintf("%s: %s is scaled from %d to 0", m.From.Name, item.Name, before))
		}
	}
	gone := once{m: m}
	return m.wait(ctx, m.From.Name+" lets go", func() (string, error) {
		for i := range plan.items {
			running, err := m.From.pods(ctx, plan.wish.Namespace, plan.items[i].from)
			if err != nil || running > 0 {
				return fmt.Sprintf("%s has %s", plan.items[i].Name, count.Of(running, "pod")), err
			}
		}
		here, err := m.From.volumes(ctx, plan.wish.Namespace)
		if err != nil {
			return "", err
		}
		rest := ""
		for _, volume := range plan.volumes {
			if waits := m.held(volume, here[volume.claim], m.To.UID); waits != "" {
				rest = waits
				continue
			}
			if volume.owned {
				gone.say(volume.claim, m.From.Name+": volume "+volume.claim+" is free")
			}
		}
		return rest, nil
	})
}

// held says who has a volume, empty if nobody has, or the cluster that may have it by now.
func (m *Mover) held(one volume, seen *v1alpha1.MigratableVolume, may string) string {
	switch {
	case !one.owned:
		return ""
	case seen == nil:
		return fmt.Sprintf("volume %s is no longer shown", one.claim)
	case seen.Status.State == v1alpha1.VolumeFree:
		return ""
	case seen.Status.State == v1alpha1.VolumeHeld && seen.Status.Owner != nil && seen.Status.Owner.UID == may:
		return ""
	}
	return fmt.Sprintf("volume %s is cluster %s's (%s)", one.claim, ownerOf(seen), seen.Status.State)
}

// start scales the target up, and waits until it runs.
func (m *Mover) start(ctx context.Context, plan *Plan) error {
	for i := range plan.items {
		if err := m.raise(ctx, plan, &plan.items[i]); err != nil {
			return err
		}
	}
	has := once{m: m}
	err := m.wait(ctx, m.To.Name+" runs it", func() (string, error) {
		there, err := m.To.volumes(ctx, plan.wish.Namespace)
		if err != nil {
			return "", err
		}
		for _, volume := range plan.volumes {
			seen := there[volume.claim]
			switch {
			case !volume.owned:
			case seen != nil && seen.Status.Image != "" && base(seen.Status.Image) != volume.image:
				return "", &wrongImage{volume.claim, base(seen.Status.Image), volume.image}
			case seen != nil && seen.Status.Owner != nil && seen.Status.Owner.UID == m.To.UID:
				has.say(volume.claim, m.To.Name+": has volume "+volume.claim)
			}
		}
		for _, item := range plan.items {
			now, err := get(ctx, m.To.API, plan.wish.Namespace, item.Name)
			switch {
			case err != nil:
				return "", m.To.says(err)
			case now == nil:
				return fmt.Sprintf("%s is gone", item.Name), nil
			case !now.ready():
				return fmt.Sprintf("%s is not ready", item.Name), nil
			}
			has.say(item.Name.String(), fmt.Sprintf("%s: %s is ready", m.To.Name, item.Name))
		}
		return "", nil
	})
	return err
}

// wrongImage ends a move at once: the target would run on other data.
type wrongImage struct{ claim, has, wants string }

func (w *wrongImage) Error() string {
	return fmt.Sprintf("claim %s has image %s there, and not %s", w.claim, w.has, w.wants)
}

// raise scales one workload of the target up, if it is down. The webhook may refuse that until it
// has heard that the volumes are free.
func (m *Mover) raise(ctx context.Context, plan *Plan, item *item) error {
	return m.wait(ctx, fmt.Sprintf("%s takes %s", m.To.Name, item.Name), func() (string, error) {
		now, err := get(ctx, m.To.API, plan.wish.Namespace, item.Name)
		if err != nil {
			return "", m.To.says(err)
		}
		if now == nil {
			return "it is not there", nil
		}
		item.to = now
		if now.replicas() > 0 {
			return "", nil
		}
		if err := now.scale(ctx, m.To.API, item.replicas, nil); err != nil {
			return err.Error(), nil
		}
		m.Say(fmt.Sprintf("%s: %s is scaled from 0 to %d", m.To.Name, item.Name, item.replicas))
		return "", nil
	})
}

// finish takes the notes off the source.
func (m *Mover) finish(ctx context.Context, plan *Plan) error {
	for i := range plan.items {
		if err := m.settle(ctx, plan, &plan.items[i], 0); err != nil {
			return fmt.Errorf("it runs in %s; remove the annotations %s and %s in the source: %w", m.To.Name, Replicas, To, err)
		}
	}
	return nil
}

// settle scales a workload of the source, and takes the notes off. Somebody else may write to
// it, too.
func (m *Mover) settle(ctx context.Context, plan *Plan, item *item, replicas int32) error {
	return m.wait(ctx, m.From.Name+" keeps it", func() (string, error) {
		now, err := get(ctx, m.From.API, plan.wish.Namespace, item.Name)
		if err != nil {
			return "", m.From.says(err)
		}
		if now == nil {
			return "", nil
		}
		item.from = now
		if err := now.scale(ctx, m.From.API, replicas, forget); err != nil {
			return err.Error(), nil
		}
		return "", nil
	})
}

// taken are the claims whose volumes the target has.
func (m *Mover) taken(ctx context.Context, plan *Plan) ([]string, error) {
	here, err := m.From.volumes(ctx, plan.wish.Namespace)
	if err != nil {
		return nil, err
	}
	there, err := m.To.volumes(ctx, plan.wish.Namespace)
	if err != nil {
		return nil, err
	}
	var claims []string
	for _, volume := range plan.volumes {
		for _, seen := range []*v1alpha1.MigratableVolume{here[volume.claim], there[volume.claim]} {
			// A volume that is not the plan's is nobody's reason to wait.
			if seen != nil && base(seen.Status.Image) == volume.image && seen.Status.Owner != nil && seen.Status.Owner.UID == m.To.UID {
				claims = append(claims, volume.claim)
				break
			}
		}
	}
	return claims, nil
}

// Undo scales the target down and the source up again, as soon as the volumes are free. What
// the target was to run before the move, a person has to scale down.
func (m *Mover) Undo(ctx context.Context, plan *Plan) error {
	for i := range plan.items {
		if err := m.lower(ctx, plan, &plan.items[i]); err != nil {
			return err
		}
	}
	err := m.wait(ctx, m.To.Name+" lets go", func() (string, error) {
		for _, item := range plan.items {
			if item.to == nil {
				continue
			}
			if running, err := m.To.pods(ctx, plan.wish.Namespace, item.to); err != nil || running > 0 {
				return fmt.Sprintf("%s has %s", item.Name, count.Of(running, "pod")), err
			}
		}
		here, err := m.From.volumes(ctx, plan.wish.Namespace)
		if err != nil {
			return "", err
		}
		for _, volume := range plan.volumes {
			if waits := m.held(volume, here[volume.claim], m.From.UID); waits != "" {
				return waits, nil
			}
		}
		return "", nil
	})
	if err != nil {
		return err
	}
	for i := range plan.items {
		item := &plan.items[i]
		if err := m.settle(ctx, plan, item, item.replicas); err != nil {
			return err
		}
		m.Say(fmt.Sprintf("%s: %s is scaled back to %d", m.From.Name, item.Name, item.replicas))
	}
	return nil
}

// lower scales one workload of the target down.
func (m *Mover) lower(ctx context.Context, plan *Plan, item *item) error {
	return m.wait(ctx, fmt.Sprintf("%s lets go of %s", m.To.Name, item.Name), func() (string, error) {
		now, err := get(ctx, m.To.API, plan.wish.Namespace, item.Name)
		if err != nil {
			return "", m.To.says(err)
		}
		item.to = now
		if now == nil || now.replicas() == 0 {
			return "", nil
		}
		if item.started && !plan.wish.Undo {
			return "", fmt.Errorf("%s was to run in %s before this move; scale it down there, then run this with --undo", item.Name, m.To.Name)
		}
		before := now.replicas()
		if err := now.scale(ctx, m.To.API, 0, nil); err != nil {
			return err.Error(), nil
		}
		m.Say(fmt.Sprintf("%s: %s is scaled from %d to 0", m.To.Name, item.Name, before))
		return "", nil
	})
}

// wait looks until there is nothing to wait for any more. An API server that is away for a
// moment ends nothing.
func (m *Mover) wait(ctx context.Context, what string, look func() (string, error)) error {
	begin := m.Now()
	for {
		rest, err := look()
		var wrong *wrongImage
		switch {
		case err == nil && rest == "":
			return nil
		case errors.As(err, &wrong), err != nil && !isPassing(err):
			return err
		case m.Now().Sub(begin) >= m.Limit && err != nil:
			return fmt.Errorf("wait until %s, for %s: %w", what, m.Limit, err)
		case m.Now().Sub(begin) >= m.Limit:
			return fmt.Errorf("wait until %s, for %s: %s", what, m.Limit, rest)
		}
		if err := m.Pause(ctx); err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
	}
}

// isPassing reports whether an error of an API server may go away by itself.
func isPassing(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return !errors.Is(err, context.Canceled) && isTransport(err)
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsUnexpectedServerError(err)
}

// isTransport reports whether the API server was not reached.
func isTransport(err error) bool {
	var address *url.Error
	return errors.As(err, &address)
}

// once says each thing once.
type once struct {
	m    *Mover
	said map[string]bool
}

func (o *once) say(what, text string) {
	if o.said[what] {
		return
	}
	if o.said == nil {
		o.said = map[string]bool{}
	}
	o.said[what] = true
	o.m.Say(text)
}
