package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// Refusal is why nothing is moved. Nothing was changed.
type Refusal struct {
	What string
	// Do is the next step.
	Do string
}

func (r *Refusal) Error() string { return r.What + "\n  do this   " + r.Do }

func refuse(do, what string, arguments ...any) *Refusal {
	return &Refusal{fmt.Sprintf(what, arguments...), do}
}

// Cluster is one end of a move.
type Cluster struct {
	API client.Client
	// Name is its context, for people.
	Name string
	// UID is that of its namespace kube-system.
	UID string
}

// Wish is what is to be moved.
type Wish struct {
	Namespace string
	// Names are the workloads; none: all of the release, and if that is empty, of the namespace.
	Names   []Name
	Release string
	// Stay are claims whose data stays in the source.
	Stay []string
	// Undo: back to the source, if the target has not started.
	Undo bool
}

// item is a workload at both ends.
type item struct {
	Name
	from, to *workload
	// replicas is how many pods it had in the source.
	replicas int32
	// started: the target was to run it already, before anything was changed.
	started bool
}

// volume is a claim at both ends. Those of CephFS have no owner.
type volume struct {
	claim string
	owned bool
	// image is its name, without the key of the owner.
	image string
}

// Plan is what a move does.
type Plan struct {
	wish    Wish
	items   []item
	volumes []volume
	// New are the claims for which the target has no volume yet.
	New []string
	// Resumed: an earlier run has scaled some of them down already, so that nobody knows since when
	// nothing runs.
	Resumed bool
}

// Names are the workloads, in their order.
func (p *Plan) Names() []string {
	var names []string
	for _, item := range p.items {
		names = append(names, fmt.Sprintf("%s (%d)", item.Name, item.replicas))
	}
	return names
}

// Claims are those whose volumes go along.
func (p *Plan) Claims() []string {
	var names []string
	for _, volume := range p.volumes {
		names = append(names, volume.claim)
	}
	return names
}

// Prepare looks at both ends, and decides about all workloads before anything is changed:
// a [*Refusal] has all that is in the way.
func (m *Mover) Prepare(ctx context.Context, wish Wish) (*Plan, error) {
	if m.From.UID == m.To.UID {
		return nil, refuse("name two clusters", "contexts %s and %s lead to one cluster", m.From.Name, m.To.Name)
	}
	plan := &Plan{wish: wish}
	if err := m.findWorkloads(ctx, plan); err != nil {
		return nil, err
	}
	return plan, m.findVolumes(ctx, plan)
}

func (m *Mover) findWorkloads(ctx context.Context, plan *Plan) error {
	sources, err := m.sources(ctx, plan.wish)
	if err != nil {
		return err
	}
	var wrong []error
	for _, source := range sources {
		target, err := get(ctx, m.To.API, plan.wish.Namespace, source.Name)
		if err != nil {
			return m.To.says(err)
		}
		item, skip, err := m.decide(plan.wish, source, target)
		switch {
		case err != nil:
			wrong = append(wrong, err)
		case !skip:
			plan.items = append(plan.items, item)
			plan.Resumed = plan.Resumed || source.replicas() == 0
		}
	}
	if len(wrong) > 0 {
		return together(wrong)
	}
	if len(plan.items) == 0 {
		return refuse("look with kubectl get deployments,statefulsets", "namespace %s of %s has nothing that runs", plan.wish.Namespace, m.From.Name)
	}
	return nil
}

// sources are the workloads in the source.
func (m *Mover) sources(ctx context.Context, wish Wish) ([]*workload, error) {
	if len(wish.Names) == 0 {
		all, err := list(ctx, m.From.API, wish.Namespace, wish.Release)
		return all, m.From.says(err)
	}
	var all []*workload
	for i, name := range wish.Names {
		if slices.Contains(wish.Names[:i], name) {
			continue
		}
		one, err := get(ctx, m.From.API, wish.Namespace, name)
		if err != nil {
			return nil, m.From.says(err)
		}
		if one == nil {
			return nil, refuse("look with kubectl get deployments,statefulsets", "namespace %s of %s has no %s", wish.Namespace, m.From.Name, name)
		}
		all = append(all, one)
	}
	return all, nil
}

// decide is what is done with one workload. What is down and was not begun is left out, unless
// it was named.
func (m *Mover) decide(wish Wish, source, target *workload) (one item, skip bool, err error) {
	replicas, to, err := source.begun()
	if err != nil {
		return one, false, err
	}
	one = item{Name: source.Name, from: source, to: target, replicas: replicas}
	switch {
	case replicas > 0 && to != m.To.UID:
		return one, false, refuse("go on with that one, or take it back with --undo and the same two contexts", "a move of %s to another cluster was begun", source.Name)
	case wish.Undo && replicas == 0:
		return one, len(wish.Names) == 0, refuseIf(len(wish.Names) > 0, "nothing has to be done", "no move of %s was begun", source.Name)
	case replicas == 0 && source.replicas() == 0:
		return one, len(wish.Names) == 0, refuseIf(len(wish.Names) > 0, "name a workload that runs", "%s has no replicas in %s", source.Name, m.From.Name)
	}
	if running := source.replicas(); running > 0 {
		one.replicas = running // it was begun anew, or somebody has started it again
	}
	if owner := metav1.GetControllerOf(source.object); owner != nil {
		return one, false, refuse("scale it with the setting that this controller has for it, and start it in the other cluster when the volumes are free",
			"%s is controlled by %s %s, which would undo it", source.Name, owner.Kind, owner.Name)
	}
	if target == nil {
		return one, false, refuse(fmt.Sprintf("install it there, with 0 replicas and the same names of claims, class and annotations: kubectl --context %s", m.To.Name),
			"%s has no %s in namespace %s", m.To.Name, source.Name, wish.Namespace)
	}
	one.started = target.replicas() > 0
	return one, false, nil
}

func refuseIf(wrong bool, do, what string, arguments ...any) error {
	if !wrong {
		return nil
	}
	return refuse(do, what, arguments...)
}

// findVolumes looks at the claims' volumes at both ends.
func (m *Mover) findVolumes(ctx context.Context, plan *Plan) error {
	here, err := m.From.volumes(ctx, plan.wish.Namespace)
	if err != nil {
		return err
	}
	there, err := m.To.volumes(ctx, plan.wish.Namespace)
	if err != nil {
		return err
	}
	var wrong []error
	seen := map[string]bool{}
	for _, item := range plan.items {
		for _, claim := range item.from.claims(item.replicas) {
			if seen[claim] || slices.Contains(plan.wish.Stay, claim) {
				continue
			}
			seen[claim] = true
			volume, err := m.findVolume(item.Name, claim, here[claim], there[claim])
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			plan.volumes = append(plan.volumes, volume)
			if there[claim] == nil {
				plan.New = append(plan.New, claim)
			}
		}
	}
	return together(wrong)
}

// findVolume is a claim at both ends, as both clusters show it.
func (m *Mover) findVolume(of Name, claim string, here, there *v1alpha1.MigratableVolume) (one volume, err error) {
	if here == nil {
		return one, refuse("make it migratable, or leave its data behind with --leave "+claim,
			"claim %s of %s has no volume in %s that can move (no MigratableVolume): its data would stay there", claim, of, m.From.Name)
	}
	one = volume{claim: claim, owned: here.Status.Image != "", image: base(here.Status.Image)}
	if there != nil && there.Status.Image != "" && base(there.Status.Image) != one.image {
		return one, refuse("compare the claims of both clusters, their classes and annotations",
			"claim %s has image %s in %s and image %s in %s: it would start on another volume", claim, one.image, m.From.Name, base(there.Status.Image), m.To.Name)
	}
	return one, m.owned(one, here)
}

// owned refuses a volume that is not the source's to give, nor the target's already.
func (m *Mover) owned(one volume, here *v1alpha1.MigratableVolume) error {
	status := here.Status
	switch {
	case !one.owned, status.State == v1alpha1.VolumeFree:
		return nil
	case status.State == v1alpha1.VolumeFencing:
		return refuse("wait until that is done", "the volume of claim %s is being taken from cluster %s", one.claim, ownerOf(here))
	case status.State == v1alpha1.VolumeHeld && status.Owner != nil && (status.Owner.UID == m.From.UID || status.Owner.UID == m.To.UID):
		return nil
	case status.State == v1alpha1.VolumeHeld:
		return refuse("move it from there", "the volume of claim %s is cluster %s's", one.claim, ownerOf(here))
	}
	return refuse("look at kubectl cephferry status", "who owns the volume of claim %s is not known to cluster %s", one.claim, m.From.Name)
}

func ownerOf(volume *v1alpha1.MigratableVolume) string {
	if volume.Status.Owner == nil {
		return "unknown"
	}
	return volume.Status.Owner.Name
}

// base is an image's name without the key of its owner.
func base(image string) string {
	name, _, _ := strings.Cut(image, "~")
	return name
}

// shown is what a cluster shows of the volumes of a namespace, by claim.
type shown map[string]*v1alpha1.MigratableVolume

func (c *Cluster) volumes(ctx context.Context, namespace string) (shown, error) {
	var list v1alpha1.MigratableVolumeList
	if err := c.API.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, c.says(fmt.Errorf("list MigratableVolumes in namespace %s: %w", namespace, err))
	}
	all := shown{}
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all, nil
}

// pods are those of a workload that may have its volumes.
func (c *Cluster) pods(ctx context.Context, namespace string, of *workload) (int, error) {
	selector, err := metav1.LabelSelectorAsSelector(of.selector())
	if err != nil {
		return 0, c.says(fmt.Errorf("%s: selector: %w", of.Name, err))
	}
	var list corev1.PodList
	if err := c.API.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return 0, c.says(fmt.Errorf("list the pods of %s: %w", of.Name, err))
	}
	running := 0
	for _, pod := range list.Items {
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			running++
		}
	}
	return running, nil
}

func (c *Cluster) says(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", c.Name, err)
}

// together is one refusal out of several.
func together(all []error) error {
	if len(all) < 2 {
		return errors.Join(all...)
	}
	var texts []string
	for _, err := range all {
		texts = append(texts, err.Error())
	}
	last := texts[len(texts)-1]
	what, do, _ := strings.Cut(last, "\n  do this   ")
	return &Refusal{strings.Join(append(texts[:len(texts)-1], what), "\n"), do}
}
