package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// watchInterval is how often --watch looks.
	watchInterval = 2 * time.Second
	// staleAfter is when what a cluster shows is old: its leader writes once a minute.
	staleAfter = 5 * time.Minute
)

type statusOptions struct {
	*options
	allNamespaces, watch bool
	selector             string
	output               outputFormat
}

func newStatus(o *options) *cobra.Command {
	s := &statusOptions{options: o}
	command := &cobra.Command{
		Use:   "status [NAMESPACE/CLAIM...]",
		Short: "List the guarded volumes: who owns them, and who waits for them",
		Long: `Lists this cluster's guarded volumes: the state of the image, the cluster that owns it, on
which nodes and since when, and who waits for it here. Below the table it says what keeps an
image from being released, since when, and what to do. It reads this cluster's MigratableVolume
objects, which the webhook's leader writes from the records in Ceph.

With --direct it queries Ceph and shows who has each image open; "ours" are the clients that
this cluster accounts for.

An owner with this cluster's name that is a different cluster, such as the one before a rebuild,
is shown with its uid. If something about a volume cannot be determined, its row says so, and
the exit code is 3.`,
		Example: `  kubectl cephferry status -A
  kubectl cephferry status shop/data-db-0 -o wide
  kubectl cephferry status -n shop --watch`,
		ValidArgsFunction: o.completeClaims,
		RunE: func(command *cobra.Command, args []string) error {
			if s.direct {
				return (&directStatus{statusOptions: s}).run(command.Context(), args)
			}
			return s.run(command.Context(), args)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "volumes of all namespaces")
	flags.StringVarP(&s.selector, "selector", "l", "", "`labels` of the objects that are shown")
	s.output.addTo(flags)
	flags.BoolVarP(&s.watch, "watch", "w", false, "look again every 2 seconds, and show what has changed")
	return command
}

func (s *statusOptions) run(ctx context.Context, args []string) error {
	printer, err := s.output.printer()
	if err != nil {
		return err
	}
	selector, err := labels.Parse(s.selector)
	if err != nil {
		return fmt.Errorf("--selector %s: %w", s.selector, err)
	}
	if len(args) > 0 && s.selector != "" {
		return fmt.Errorf("--selector %s: name claims, or select them", s.selector)
	}
	c, err := s.cluster("")
	if err != nil {
		return err
	}
	named, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	shown := &shownVolumes{statusOptions: s, api: c.Client, printer: printer, namespace: c.namespace, named: named, selector: selector}
	if s.allNamespaces {
		shown.namespace = ""
	}
	for {
		err := shown.show(ctx)
		if ctx.Err() != nil {
			return nil // Ctrl-C ends a watch
		}
		if err != nil || !s.watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}

// shownVolumes are the volumes of a cluster that are shown, again and again.
type shownVolumes struct {
	*statusOptions
	api client.Client
	// printer is nil for tables.
	printer   printers.ResourcePrinter
	namespace string
	named     []claim
	selector  labels.Selector
	// before are the versions of the objects that were shown last, nil at first.
	before map[client.ObjectKey]string
}

// show shows those that have changed. The error is the exit code, where one is not known.
func (s *shownVolumes) show(ctx context.Context) error {
	list, err := s.list(ctx)
	if err != nil {
		return err
	}
	var code error
	changed := v1alpha1.MigratableVolumeList{ListMeta: list.ListMeta}
	now := map[client.ObjectKey]string{}
	for _, volume := range list.Items {
		key := client.ObjectKeyFromObject(&volume)
		now[key] = volume.ResourceVersion
		if s.before == nil || s.before[key] != volume.ResourceVersion {
			changed.Items = append(changed.Items, volume)
		}
		if whyUnknown(&volume) != "" {
			code = unknown(errShown)
		}
	}
	first := s.before == nil
	gone := len(s.before) > len(now)
	s.before = now
	switch {
	case s.printer != nil && (first || len(changed.Items) > 0 || gone):
		err = s.output.printList(s.printer, list, "MigratableVolume", s.std.stdout)
	case s.printer == nil:
		err = s.table(changed.Items, first, s.thisCluster(ctx, first))
	}
	if err != nil {
		return err
	}
	return code
}

// list reads the volumes.
func (s *shownVolumes) list(ctx context.Context) (*v1alpha1.MigratableVolumeList, error) {
	list := &v1alpha1.MigratableVolumeList{}
	if len(s.named) == 0 {
		err := s.api.List(ctx, list, client.InNamespace(s.namespace), client.MatchingLabelsSelector{Selector: s.selector})
		if err != nil {
			return nil, fmt.Errorf("list MigratableVolumes: %w", noObjects(err))
		}
		return list, nil
	}
	for _, claim := range s.named {
		var volume v1alpha1.MigratableVolume
		err := s.api.Get(ctx, client.ObjectKey{Namespace: claim.namespace, Name: claim.name}, &volume)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read MigratableVolume %s: %w", claim, noObjects(err))
		}
		if err != nil {
			return nil, fmt.Errorf("claim %s: this cluster shows no guarded volume for it", claim)
		}
		list.Items = append(list.Items, volume)
	}
	return list, nil
}

// thisCluster is how this cluster has registered itself, empty if this person may not read
// that. Old objects must not pass for what is true now, so it says when they are.
func (s *shownVolumes) thisCluster(ctx context.Context, first bool) v1alpha1.FerryClusterStatus {
	if !first {
		return v1alpha1.FerryClusterStatus{}
	}
	this, err := registeredHere(ctx, s.api)
	if err != nil {
		return v1alpha1.FerryClusterStatus{}
	}
	if old := staleness(this, time.Now()); old != "" {
		fmt.Fprintln(s.std.stderr, old)
	}
	return this
}

// registeredHere is the FerryCluster of the cluster that is asked.
func registeredHere(ctx context.Context, api client.Reader) (v1alpha1.FerryClusterStatus, error) {
	var list v1alpha1.FerryClusterList
	if err := api.List(ctx, &list); err != nil {
		return v1alpha1.FerryClusterStatus{}, fmt.Errorf("list FerryClusters: %w", noObjects(err))
	}
	for _, one := range list.Items {
		if one.Status.ThisCluster {
			return one.Status, nil
		}
	}
	return v1alpha1.FerryClusterStatus{}, nil
}

// staleness says that nobody writes the objects of a cluster, empty if somebody does.
func staleness(this v1alpha1.FerryClusterStatus, now time.Time) string {
	if this.LastSeen == nil || now.Sub(this.LastSeen.Time) < staleAfter {
		return ""
	}
	return fmt.Sprintf("warning: the webhook of cluster %s last wrote this %s ago, so it may be stale; --direct asks Ceph itself",
		this.Name, duration.HumanDuration(now.Sub(this.LastSeen.Time)))
}

func (s *shownVolumes) table(volumes []v1alpha1.MigratableVolume, first bool, this v1alpha1.FerryClusterStatus) error {
	if first && len(volumes) == 0 {
		where := "this cluster"
		if s.namespace != "" {
			where = "namespace " + s.namespace
		}
		fmt.Fprintf(s.std.stderr, "There is no guarded volume in %s.\n", where)
		return nil
	}
	table := tabwriter.NewWriter(s.std.stdout, 0, 8, 3, ' ', 0)
	if first {
		head := []string{"NAMESPACE", "CLAIM", s.std.paint(plain, "STATE"), "OWNER", "NODE", "SINCE", "WAITING"}
		if s.output == wide {
			head = append(head, "IMAGE", "VOLUME")
		}
		fmt.Fprintln(table, strings.Join(head, "\t"))
	}
	for _, volume := range volumes {
		cells := volumeCells(&volume, this, time.Now())
		cells[2] = s.std.paint(stateColour(&volume), cells[2])
		if s.output == wide {
			cells = append(cells, orDash(volume.Status.Image), orDash(volume.Status.PersistentVolume))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, volume := range volumes {
		writeMissing(s.std.stdout, volume.Namespace+"/"+volume.Name, noted(volume.Status.Missing))
	}
	return nil
}

// noted is what an object shows to be missing.
func noted(shown []v1alpha1.VolumeMissing) []ceph.Missing {
	var all []ceph.Missing
	for _, one := range shown {
		m := ceph.Missing{Kind: one.Kind, Subject: one.Subject, What: one.What, WayOut: one.WayOut}
		if one.Since != nil {
			m.Since = one.Since.Time
		}
		all = append(all, m)
	}
	return all
}

// writeMissing writes what keeps the image of a volume from being released, and the way out.
func writeMissing(w io.Writer, volume string, all []ceph.Missing) {
	for _, m := range all {
		fmt.Fprintf(w, "\n%s is not released: %s\n  do this   %s\n", volume, oneLine(m.Clause()), oneLine(m.WayOut))
	}
}

func stateColour(volume *v1alpha1.MigratableVolume) string {
	switch {
	case whyUnknown(volume) != "":
		return red
	case volume.Status.State == v1alpha1.VolumeFencing:
		return amber
	case meta.IsStatusConditionTrue(volume.Status.Conditions, v1alpha1.ConditionOwnedElsewhere):
		return red
	case meta.IsStatusConditionTrue(volume.Status.Conditions, v1alpha1.ConditionUsable):
		return green
	}
	return plain
}

// whyUnknown is why nobody knows who owns the image now; empty if that is known.
func whyUnknown(volume *v1alpha1.MigratableVolume) string {
	if known := meta.FindStatusCondition(volume.Status.Conditions, v1alpha1.ConditionKnown); known != nil && known.Status != "True" {
		return "cannot know: " + oneLine(known.Message)
	}
	switch volume.Status.State {
	case v1alpha1.VolumeFree, v1alpha1.VolumeHeld, v1alpha1.VolumeFencing:
		return ""
	case v1alpha1.VolumeUnknown:
	}
	return "cannot know: its record was not read yet"
}

// volumeCells are a line of the table, without the wide ones.
func volumeCells(volume *v1alpha1.MigratableVolume, this v1alpha1.FerryClusterStatus, now time.Time) []string {
	status := volume.Status
	owner, nodes, since := "-", "-", "-"
	if status.Owner != nil {
		owner, nodes = ownerName(status.Owner, this), orDash(strings.Join(status.Owner.Nodes, ","))
		if status.Owner.Since != nil {
			since = duration.HumanDuration(max(0, now.Sub(status.Owner.Since.Time)))
		}
	}
	if status.Takeover != nil {
		owner += " -> " + status.Takeover.Cluster
	}
	waiting := orDash(oneLine(status.Waiting))
	if why := whyUnknown(volume); why != "" {
		waiting = why
	}
	return []string{volume.Namespace, volume.Name, orDash(string(status.State)), owner, nodes, since, waiting}
}

// ownerName is more than the name where that is the name of this cluster, and the owner is
// another one: a cluster that was built anew often has the name of the one before.
func ownerName(owner *v1alpha1.VolumeOwner, this v1alpha1.FerryClusterStatus) string {
	if owner.ThisCluster || this.Name == "" || owner.Name != this.Name {
		return owner.Name
	}
	return fmt.Sprintf("%s (another cluster, %.8s)", owner.Name, owner.UID)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
