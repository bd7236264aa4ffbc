package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/usage"
)

// watchInterval is how often --watch looks.
const watchInterval = 2 * time.Second

type statusOptions struct {
	*options
	allNamespaces, watch bool
	output               outputFormat
	// self is this cluster.
	self ceph.Party
}

func newStatus(o *options) *cobra.Command {
	s := &statusOptions{options: o}
	command := &cobra.Command{
		Use:   "status",
		Short: "List the guarded volumes: who owns them, and who has them open",
		Long: `Lists the guarded volumes of this cluster: the image, the cluster that owns it and
since when, and the clients that have it open. Those that this cluster accounts for
are "ours". An owner that has the name of this cluster and is another one, as before this
cluster was built anew, is shown with its uid. A volume about which something cannot be found out says so, and the exit
code is 1.`,
		Example: `  kubectl cephferry status -A
  kubectl cephferry status -n shop -o yaml
  kubectl cephferry status -n shop --watch`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return s.run(command.Context()) },
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "volumes of all namespaces")
	s.output.addTo(flags)
	flags.BoolVarP(&s.watch, "watch", "w", false, "look again every 2 seconds, and show what has changed")
	return command
}

func (s *statusOptions) run(ctx context.Context) error {
	if err := s.output.check(); err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	if s.self, err = usage.Party(ctx, c.API, c.settings.cluster); err != nil {
		return err
	}
	namespace := c.namespace
	if s.allNamespaces {
		namespace = ""
	}
	var before []inventory.Status
	for {
		volumes, err := c.Volumes(ctx, namespace)
		if err != nil {
			return err
		}
		rows := c.Status(ctx, volumes)
		if ctx.Err() != nil {
			return nil // Ctrl-C ends a watch
		}
		if err := s.print(rows, before); err != nil {
			return err
		}
		if !s.watch {
			return anyUnknown(rows, namespace, s.std.stderr)
		}
		before = rows
		c.storages.configuration.Forget()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}

// anyUnknown is the exit code.
func anyUnknown(rows []inventory.Status, namespace string, stderr io.Writer) error {
	if len(rows) == 0 {
		where := "this cluster"
		if namespace != "" {
			where = "namespace " + namespace
		}
		fmt.Fprintf(stderr, "There is no guarded volume in %s.\n", where)
	}
	for _, row := range rows {
		if row.Error != "" {
			return errShown
		}
	}
	return nil
}

// print shows the rows. Of a table it shows those that are not among before, and the
// head the first time; of the other formats the whole, if it has changed.
func (s *statusOptions) print(rows, before []inventory.Status) error {
	if s.output == "" {
		return s.table(rows, before)
	}
	document, err := s.document(rows)
	if err != nil {
		return err
	}
	if before != nil {
		last, err := s.document(before)
		if err != nil || bytes.Equal(document, last) {
			return err
		}
		if s.output == "yaml" {
			document = append([]byte("---\n"), document...)
		}
	}
	_, err = s.std.stdout.Write(document)
	return err
}

func (s *statusOptions) document(rows []inventory.Status) ([]byte, error) {
	return s.output.encode(struct {
		Volumes []inventory.Status `json:"volumes"`
	}{append([]inventory.Status{}, rows...)})
}

func (s *statusOptions) table(rows, before []inventory.Status) error {
	known := map[string]bool{}
	for _, row := range before {
		known[compare(row)] = true
	}
	table := tabwriter.NewWriter(s.std.stdout, 0, 8, 3, ' ', 0)
	if before == nil && len(rows) > 0 {
		fmt.Fprintln(table, "NAMESPACE\tCLAIM\tIMAGE\tOWNER\tSINCE\tSTATE\tOPEN")
	}
	for _, row := range rows {
		if !known[compare(row)] {
			fmt.Fprintln(table, strings.Join(cells(row, s.self, time.Now()), "\t"))
		}
	}
	return table.Flush()
}

// compare is what makes a row another one.
func compare(row inventory.Status) string {
	document, err := json.Marshal(row)
	if err != nil {
		panic(err) // strings, numbers and times always marshal
	}
	return string(document)
}

// clusterName is the cluster's name, and more where it is that of this cluster, and the cluster
// is not: a cluster that was built anew often has the name of the one before.
func clusterName(party, self ceph.Party) string {
	if party.UID == self.UID || party.Name != self.Name {
		return party.Name
	}
	return fmt.Sprintf("%s (another cluster, %.8s)", party.Name, party.UID)
}

// cells are one line of the table.
func cells(row inventory.Status, self ceph.Party, now time.Time) []string {
	owner, since, open := "-", "-", opened(row.Watchers)
	if row.Owner != nil {
		owner, since = clusterName(row.Owner.Party, self), duration.HumanDuration(now.Sub(row.Owner.Since))
	}
	if row.Takeover != nil {
		owner += " -> " + clusterName(row.Takeover.Party, self)
	}
	if row.Error != "" {
		open = "cannot know: " + row.Error
	}
	image := row.Image
	if image == "" {
		image = "-"
	}
	return []string{row.Namespace, row.Claim, image, owner, since, row.State, open}
}

// opened counts who has the image open.
func opened(watchers []inventory.Watcher) string {
	var ours, exempt, foreign int
	for _, watcher := range watchers {
		switch {
		case watcher.Exempt:
			exempt++
		case watcher.Foreign == "":
			ours++
		default:
			foreign++
		}
	}
	var parts []string
	for _, part := range []struct {
		count int
		name  string
	}{{ours, "ours"}, {foreign, "foreign"}, {exempt, "exempt"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.name))
		}
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, ", ")
}
