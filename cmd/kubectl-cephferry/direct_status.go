package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/usage"
)

// directStatus shows what Ceph says.
type directStatus struct {
	*statusOptions
	// self is this cluster.
	self ceph.Party
}

func (s *directStatus) run(ctx context.Context, args []string) error {
	if err := s.output.check(); err != nil {
		return err
	}
	if s.selector != "" {
		return errors.New("--selector: records have no labels; leave --direct out, or name claims")
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	if s.self, err = usage.Party(ctx, c.API, c.settings.cluster); err != nil {
		return err
	}
	named, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	namespace := c.namespace
	if s.allNamespaces || len(named) > 0 {
		namespace = ""
	}
	var before []inventory.Status
	for {
		volumes, err := c.Volumes(ctx, namespace)
		if err != nil {
			return err
		}
		if volumes, err = onlyNamed(volumes, named); err != nil {
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

// onlyNamed are the volumes of those claims, all if none is named.
func onlyNamed(all []inventory.Found, named []claim) ([]inventory.Found, error) {
	if len(named) == 0 {
		return all, nil
	}
	var some []inventory.Found
	for _, c := range named {
		before := len(some)
		for _, found := range all {
			if found.Namespace == c.namespace && found.Claim == c.name {
				some = append(some, found)
			}
		}
		if len(some) == before {
			return nil, fmt.Errorf("claim %s: this cluster has no guarded volume for it", c)
		}
	}
	return some, nil
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
			return unknown(errShown)
		}
	}
	return nil
}

// print shows the rows. Of a table it shows those that are not among before, and the
// head the first time; of the other formats the whole, if it has changed.
func (s *directStatus) print(rows, before []inventory.Status) error {
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

func (s *directStatus) document(rows []inventory.Status) ([]byte, error) {
	return s.output.encode(struct {
		Volumes []inventory.Status `json:"volumes"`
	}{append([]inventory.Status{}, rows...)})
}

func (s *directStatus) table(rows, before []inventory.Status) error {
	known := map[string]bool{}
	for _, row := range before {
		known[rowKey(row)] = true
	}
	table := tabwriter.NewWriter(s.std.stdout, 0, 8, 3, ' ', 0)
	if before == nil && len(rows) > 0 {
		fmt.Fprintln(table, "NAMESPACE\tCLAIM\tIMAGE\tOWNER\tSINCE\tSTATE\tOPEN")
	}
	for _, row := range rows {
		if !known[rowKey(row)] {
			fmt.Fprintln(table, strings.Join(cells(row, s.self, time.Now()), "\t"))
		}
	}
	return table.Flush()
}

// rowKey is what makes a row another one.
func rowKey(row inventory.Status) string {
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
