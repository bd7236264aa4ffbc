package takeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/planning"
)

const (
	// interval is how often a plan is made again while it waits for its confirmation.
	interval = 30 * time.Second
	// planLimit bounds the making of a plan.
	planLimit = 2 * time.Minute
	// retry and retryLimit are the first and the longest wait before an interrupted run is tried
	// again.
	retry      = 5 * time.Second
	retryLimit = time.Minute
	// writeLimit bounds the writing of a step: a run must not wait longer for it.
	writeLimit = 2 * time.Second
	// syncLimit is practically forever: the program guards the cluster, and must not end because
	// Takeovers cannot be watched.
	syncLimit = 100 * 365 * 24 * time.Hour
)

// Controller carries out the Takeovers of one cluster, one after the other.
type Controller struct {
	Planner *planning.Planner
	// Self is this cluster, as records name it.
	Self ceph.Party
	// API answers from the API server, and Client writes.
	API    client.Reader
	Client client.Client
	// Renew is told a connection whose client is on the blocklist.
	Renew func(ceph.Cluster)
	Log   logr.Logger
	Now   func() time.Time
}

// SetupWithManager makes Reconcile run, in the leader, for Takeovers that are new or confirmed.
func (c *Controller) SetupWithManager(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		Named("takeovers").
		For(&v1alpha1.Takeover{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 1,
			CacheSyncTimeout:        syncLimit,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retry, retryLimit),
		}).
		Complete(c)
}

// Reconcile makes the plan, shows it, and carries it out if it is confirmed.
func (c *Controller) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var t v1alpha1.Takeover
	if err := c.API.Get(ctx, request.NamespacedName, &t); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if t.Status.Phase == v1alpha1.TakeoverDone || t.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	all, d, err := c.plan(ctx, &t)
	if err != nil {
		return reconcile.Result{}, c.outage(ctx, &t, err)
	}
	// The write has a precondition: if the person has changed the Takeover meanwhile, nothing is
	// begun.
	if err := c.write(ctx, &t, d.status); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	switch {
	case d.run:
		return c.run(ctx, &t, all)
	case d.final:
		return reconcile.Result{}, nil
	case t.Status.Confirmed != "" && t.Status.Phase == v1alpha1.TakeoverFailed && vouched(&t):
		return reconcile.Result{RequeueAfter: retryLimit}, nil
	}
	return reconcile.Result{RequeueAfter: interval}, nil
}

// plan decides about all volumes.
func (c *Controller) plan(ctx context.Context, t *v1alpha1.Takeover) ([]planning.Volume, decision, error) {
	ctx, cancel := context.WithTimeout(ctx, planLimit)
	defer cancel()
	w, err := wish(t.Spec, c.Self)
	if err != nil {
		return nil, senseless(t, err, true), nil
	}
	w.Now = c.Now()
	claims, err := c.claims(ctx, t)
	if refused := (refusal{}); errors.As(err, &refused) {
		return nil, senseless(t, err, isLate(t, c.Now())), nil
	}
	if err != nil {
		return nil, decision{}, err
	}
	all, err := c.Planner.Plan(ctx, claims, w)
	if err != nil {
		return nil, decision{}, err
	}
	if err := c.unknown(all); err != nil {
		return nil, decision{}, err
	}
	if t.Spec.Node != "" && !isBegun(t) && done(all) {
		known, err := c.Planner.Knows(ctx, t.Spec.Node, c.Self)
		switch {
		case isOutage(err):
			return nil, decision{}, err
		case err != nil:
			return nil, senseless(t, failover.WithAdvice(err), isLate(t, c.Now())), nil
		case !known:
			return nil, senseless(t, planning.UnknownNode(t.Spec.Node), isLate(t, c.Now())), nil
		}
	}
	return all, decide(t, all, c.Self, c.Now()), nil
}

// unknown is why nothing can be decided about one of the volumes: an outage refuses nobody.
func (c *Controller) unknown(all []planning.Volume) error {
	var unknown []planning.Volume
	for _, v := range all {
		if errors.Is(v.Err, ceph.ErrBlocklisted) && v.Storage != nil {
			c.Renew(v.Storage)
		}
		if isOutage(v.Err) {
			unknown = append(unknown, v)
		}
	}
	return planning.Refused(unknown)
}

func isOutage(err error) bool {
	for _, outage := range []error{ceph.ErrUnreachable, ceph.ErrBlocklisted, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, outage) {
			return true
		}
	}
	var status apierrors.APIStatus
	return errors.As(err, &status) && !apierrors.IsNotFound(err)
}

// outage notes why nothing can be said. It is tried again.
func (c *Controller) outage(ctx context.Context, t *v1alpha1.Takeover, err error) error {
	status := t.Status.DeepCopy()
	if status.Phase == "" {
		status.Phase = v1alpha1.TakeoverPlanning
	}
	status.Message = "the plan cannot be made now, and is tried again: " + failover.WithAdvice(err).Error()
	return errors.Join(err, client.IgnoreNotFound(c.write(ctx, t, *status)))
}

// write stores the status, if nobody has changed the object since it was read.
func (c *Controller) write(ctx context.Context, t *v1alpha1.Takeover, status v1alpha1.TakeoverStatus) error {
	if equality.Semantic.DeepEqual(t.Status, status) {
		return nil
	}
	before := t.DeepCopy()
	t.Status = status
	if err := c.Client.Status().Patch(ctx, t, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("write the status of Takeover %s: %w", t.Name, err)
	}
	if before.Status.Phase != status.Phase {
		c.Log.Info("takeover", "name", t.Name, "phase", status.Phase, "by", t.Spec.By, "from", t.Spec.From, "node", t.Spec.Node, "message", status.Message)
	}
	return nil
}

// run carries the plans out.
func (c *Controller) run(ctx context.Context, t *v1alpha1.Takeover, all []planning.Volume) (reconcile.Result, error) {
	todo := slices.DeleteFunc(slices.Clone(all), func(v planning.Volume) bool { return v.Plan.Done })
	while, stop := context.WithCancel(ctx)
	defer stop()
	noted := newProgress(t, all, todo, c.noter(ctx, t, stop))
	errs := c.Planner.Take(while, todo, noted.of)
	c.renew(todo, errs)
	if ctx.Err() != nil {
		return reconcile.Result{}, ctx.Err() // another leader continues
	}
	status := noted.status
	failures := planning.Failures(todo, errs)
	switch {
	case len(failures) == 0:
		finish(&status, t.Generation, t.Spec.Node, all, c.Self)
	case fresh(t, all) && len(noted.last) == 0 && onlyRefused(errs):
		// No record has changed, and the situation is not the one that was confirmed.
		status.Phase, status.Rejected, status.Confirmed, status.Conditions = v1alpha1.TakeoverPlanning, t.Status.Confirmed, "", nil
		status.Message = "nothing was done\n" + errors.Join(failures...).Error()
	case t.Spec.Node != "" && slices.ContainsFunc(errs, isRefusal):
		// The node has changed since the confirmation. That counts even if the next look no longer
		// shows it.
		status.Phase, status.Rejected, status.Plan = v1alpha1.TakeoverFailed, t.Spec.Confirm, nil
		status.Message = "it was refused on the way, and does not go on without another confirmation\n" + errors.Join(failures...).Error()
	default:
		status.Phase = v1alpha1.TakeoverFailed
		status.Message = "it was interrupted, and is tried again\n" + errors.Join(failures...).Error()
	}
	if err := c.note(ctx, t, status); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	c.Log.Info("takeover", "name", t.Name, "phase", status.Phase, "by", t.Spec.By, "from", t.Spec.From, "node", t.Spec.Node, "message", status.Message)
	switch status.Phase {
	case v1alpha1.TakeoverFailed:
		return reconcile.Result{}, fmt.Errorf("carry out Takeover %s: %w", t.Name, errors.Join(failures...))
	case v1alpha1.TakeoverPlanning:
		return reconcile.Result{RequeueAfter: time.Second}, nil
	case v1alpha1.TakeoverPlanned, v1alpha1.TakeoverRefused, v1alpha1.TakeoverRunning, v1alpha1.TakeoverDone:
	}
	return reconcile.Result{}, nil
}

// fresh reports whether nothing has been begun for it before.
func fresh(t *v1alpha1.Takeover, all []planning.Volume) bool {
	return len(t.Status.Conditions) == 0 && !slices.ContainsFunc(all, func(v planning.Volume) bool { return v.Plan.Record.State == ceph.Fencing })
}

// onlyRefused reports whether all errors say that the situation is another one, and none that
// something went wrong.
func onlyRefused(errs []error) bool {
	return !slices.ContainsFunc(errs, func(err error) bool {
		return err != nil && !isRefusal(err) && !errors.Is(err, failover.ErrNotBegun)
	})
}

// isRefusal reports whether the error says that the situation is another one.
func isRefusal(err error) bool {
	var r *failover.Refusal
	return errors.As(err, &r)
}

// renew gets another connection for one whose client did not finish a rename and was fenced for it.
func (c *Controller) renew(todo []planning.Volume, errs []error) {
	for i, err := range errs {
		if errors.Is(err, ceph.ErrBlocklisted) {
			c.Renew(todo[i].Storage)
		}
	}
}

// noter stores the status while the run goes on: whenever a step is done for every image, and once a
// second. An API server that does not answer keeps nothing from being taken. When the object is
// gone, the run ends with the step.
func (c *Controller) noter(ctx context.Context, t *v1alpha1.Takeover, stop func()) func(v1alpha1.TakeoverStatus, bool) {
	var last time.Time
	down := false
	return func(status v1alpha1.TakeoverStatus, next bool) {
		now := c.Now()
		if down || !next && now.Sub(last) < time.Second {
			return
		}
		last = now
		err := c.note(ctx, t, status)
		if apierrors.IsNotFound(err) {
			stop()
		}
		down = err != nil
	}
}

// note stores the status whatever else has changed.
func (c *Controller) note(ctx context.Context, t *v1alpha1.Takeover, status v1alpha1.TakeoverStatus) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if equality.Semantic.DeepEqual(t.Status, status) {
		return nil
	}
	before := t.DeepCopy()
	before.ResourceVersion = ""
	after := before.DeepCopy()
	after.Status = status
	if err := c.Client.Status().Patch(ctx, after, client.MergeFrom(before)); err != nil {
		return err
	}
	t.Status = status
	return nil
}
