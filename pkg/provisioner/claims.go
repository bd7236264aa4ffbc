package provisioner

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Storages lead from a clusterID and a CSI secret to a Ceph cluster, and to where
// volumes are in it.
type Storages interface {
	ClusterAs(ctx context.Context, clusterID string, secret corev1.SecretReference) (ceph.Cluster, connect.Settings, error)
}

// Claims makes the volumes of claims.
type Claims struct {
	// Client reads from the cache and writes, API reads from the API server.
	Client   client.Client
	API      client.Reader
	Storages Storages
	// Installed, unless nil, fails for a driver whose ceph-csi has a configuration that
	// Storages do not go by.
	Installed func(ctx context.Context, driver string) error
	Events    Events
	Metrics   *Metrics
	Now       func() time.Time
	// Self is this cluster, as records name it, whose keys the images get. The zero one
	// makes images without keys.
	Self ceph.Party
	// Cluster is this cluster whether images get keys or not.
	Cluster ceph.Party
	// Waits, unless nil, hears of a claim that waits for another cluster, and why, with the
	// record of the image. It returns at once.
	Waits func(claim *corev1.PersistentVolumeClaim, image ceph.ImageSpec, record ceph.Record, why string)

	waiters waiters
	nodes   nodeUsers
	surveys surveys
	// again has the claims that have waited long enough.
	again chan event.GenericEvent
}

func (c *Claims) planner() Planner { return Planner{c.Client, c.API, c.Storages} }

// Reconcile brings one claim a step further.
func (c *Claims) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var claim corev1.PersistentVolumeClaim
	if err := c.Client.Get(ctx, request.NamespacedName, &claim); err != nil {
		if apierrors.IsNotFound(err) {
			c.waiters.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	ours, err := c.planner().isOurs(ctx, &claim)
	if err == nil && !ours {
		c.waiters.forget(request.NamespacedName)
	}
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case ours:
		return c.report(ctx, &claim, provisioning, c.provision(ctx, &claim))
	case isBound(&claim):
		return c.keepSize(ctx, &claim)
	}
	return reconcile.Result{}, nil
}

// keepSize makes the volume of a bound claim as large as it is to be, and says so on both.
func (c *Claims) keepSize(ctx context.Context, claim *corev1.PersistentVolumeClaim) (reconcile.Result, error) {
	err := c.mark(ctx, claim)
	if err == nil {
		err = c.grow(ctx, claim)
	}
	switch {
	case errors.Is(err, errRaised):
		return reconcile.Result{RequeueAfter: retryRaised}, nil
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: retryConflict}, nil
	}
	result, err := c.report(ctx, claim, growing, err)
	if err != nil || result.RequeueAfter != 0 {
		return result, err
	}
	later, err := c.showOnVolume(ctx, claim)
	switch {
	case later:
		result.RequeueAfter = retryInvalid
	case c.exclusiveVolume(ctx, claim) != nil:
		result.RequeueAfter = retryWish
	}
	return result, err
}

// provision makes the claim's volume, and returns nil when the claim can be bound
// to it.
func (c *Claims) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	p, err := c.planner().plan(ctx, claim)
	if err != nil {
		return err
	}
	volumes, err := c.inTheWay(ctx, p)
	if err != nil {
		return err
	}
	switch todo, err := decide(claim, p, volumes); todo {
	case bind:
		return nil
	case wait:
		return failure{waiting, err.Error()}
	case refused:
		return failure{invalid, err.Error()}
	case create:
	}
	if text, waits := c.waiters.text(claim, p); waits {
		return failure{held, text}
	}
	unknown, err := c.nodesMayFence(ctx, p.Class)
	if err != nil {
		return err
	}
	begin := c.Now()
	request, result, err := c.ensure(ctx, &p)
	if err != nil {
		return err
	}
	pv := p.volume(claim, result)
	if err := c.Client.Create(ctx, pv); apierrors.IsAlreadyExists(err) {
		return failure{waiting, fmt.Sprintf("PersistentVolume %s was created by somebody else a moment ago", pv.Name)}
	} else if err != nil {
		return c.refused(ctx, claim, p, request.Volume, explainCreate(err))
	}
	c.Metrics.provisioned(c.Now().Sub(begin))
	made := "created PersistentVolume " + pv.Name + " of " + p.kind() + " " + request.Volume.String() + " for class " + p.Class.Name
	if result.Renamed {
		made += ", which was " + p.OldName
	}
	switch {
	case p.denied != nil:
		made += ", which is taken as it is: whether there is an image " + p.OldName + " is not for this namespace to know"
	case result.NoOldName:
		made += ", which is taken as it is: there is no image " + p.OldName + ", so it was adopted before, or the annotation " + annotations.Adopt + " has a wrong name"
	}
	c.Events.normal(claim, eventProvisioned, made)
	if unknown != "" {
		c.Events.warning(claim, eventUnknown, unknown)
	}
	if other := c.otherSCC(ctx, claim, result); other != "" {
		c.Events.warning(claim, eventOtherSCC, other)
	}
	if similar := c.similar(ctx, &p, result); similar != "" {
		c.Events.warning(claim, eventSimilar, similar)
	}
	ctrl.LoggerFrom(ctx).Info("created", "persistentVolume", pv.Name)
	return nil
}

// refused is the failure to create a PersistentVolume. Who waits for another cluster is told
// when to try again. Where nothing is to be waited for that Ceph could tell, the image may have
// been free a moment later; but not if the same was said before.
func (c *Claims) refused(ctx context.Context, claim *corev1.PersistentVolumeClaim, p plan, volume provision.Volume, f failure) failure {
	if f.kind != held || c.waitFor(ctx, claim, p, volume, f.text) {
		return f
	}
	if said := conditionOf(claim, Stalled); said != nil && said.Message == f.text {
		f.kind = invalid
	}
	return f
}

// ensure makes sure that the image or subvolume exists.
func (c *Claims) ensure(ctx context.Context, p *plan) (provision.Request, provision.Result, error) {
	request, err := c.request(ctx, p, c.key)
	if err != nil {
		return provision.Request{}, provision.Result{}, err
	}
	request.MayBeLarger = true
	result := provision.Ensure(ctx, []provision.Request{request})[0]
	if result.Err != nil {
		return provision.Request{}, provision.Result{}, explain(result.Err)
	}
	return request, result, nil
}

// keyIn finds the key for the images in a pool's rados namespace, or why there is none.
type keyIn func(ctx context.Context, cluster ceph.KeyStore, pool, namespace string) (key string, none, err error)

// key is this cluster's.
func (c *Claims) key(ctx context.Context, cluster ceph.KeyStore, pool, namespace string) (key string, none, err error) {
	if c.Self == (ceph.Party{}) {
		return "", nil, nil
	}
	key, err = cluster.ClaimKey(ctx, pool, namespace, c.Self)
	switch {
	case errors.Is(err, ceph.ErrKeyTaken), errors.Is(err, ceph.ErrKey):
		return "", fmt.Errorf("%w; give this cluster another name, with the value cluster.name of the chart cephferry", err), nil
	case err != nil:
		return "", nil, err
	}
	return key, nil, nil
}

// keyOf is the one that a PersistentVolume has.
func keyOf(pv *corev1.PersistentVolume) keyIn {
	image, _, _ := staticpv.ImageOf(pv)
	return func(context.Context, ceph.KeyStore, string, string) (key string, none, err error) {
		return image.Key, nil, nil
	}
}

// request is what package provision is asked for.
func (c *Claims) request(ctx context.Context, p *plan, key keyIn) (provision.Request, error) {
	if c.Installed != nil {
		if err := c.Installed(ctx, p.Class.Driver); err != nil {
			return provision.Request{}, explain(err)
		}
	}
	cluster, settings, err := c.Storages.ClusterAs(ctx, p.Class.ClusterID, p.Class.ProvisionerSecret)
	if err != nil {
		return provision.Request{}, explainSecret(err)
	}
	if p.Class.CephFS != nil && settings.CephFS != nil {
		return provision.Request{}, explain(settings.CephFS)
	}
	at := provision.Location{Cluster: cluster, RadosNamespace: settings.RadosNamespace, SubvolumeGroup: settings.SubvolumeGroup}
	if rbd := p.Class.RBD; rbd != nil {
		if at.Key, at.NoKey, err = key(ctx, cluster, rbd.Pool, settings.RadosNamespace); err != nil {
			return provision.Request{}, explain(err)
		}
	}
	request := at.Request(p.Plan)
	if p.denied != nil {
		request = request.Deny(p.denied)
	}
	if p.size != nil {
		request.AtLeast = uint64(p.size.Value())
	}
	return request, nil
}

// report says on the claim what became of it, once for each new outcome, and when
// to look again.
func (c *Claims) report(ctx context.Context, claim *corev1.PersistentVolumeClaim, what task, err error) (reconcile.Result, error) {
	if err == nil {
		return reconcile.Result{}, c.settle(ctx, claim, what)
	}
	var f failure
	if !errors.As(err, &f) {
		// The API server does not answer as it should, and could not be told either.
		c.Metrics.failed(what, outage)
		return reconcile.Result{}, err
	}
	c.Metrics.failed(what, f.kind)
	if err := c.fail(ctx, claim, what, f); err != nil {
		return reconcile.Result{}, err
	}
	if f.kind == held && c.waiters.waits(claim) {
		return reconcile.Result{}, nil
	}
	if after := f.after(); after > 0 {
		return reconcile.Result{RequeueAfter: after}, nil
	}
	return reconcile.Result{}, f
}
