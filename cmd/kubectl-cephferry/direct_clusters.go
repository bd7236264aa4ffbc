package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/usage"
)

// directClusters shows the registrations in Ceph.
type directClusters struct{ *clustersOptions }

// registered is one cluster for people and scripts.
type registered struct {
	Name    string `json:"name,omitempty"`
	UID     string `json:"uid"`
	Version string `json:"version,omitempty"`
	// ThisCluster: it is the one that was asked.
	ThisCluster bool        `json:"thisCluster,omitempty"`
	Nodes       []ceph.Node `json:"nodes,omitempty"`
	Written     *time.Time  `json:"written,omitempty"`
	// Error is why the registration cannot be read.
	Error string `json:"error,omitempty"`
}

func (c directClusters) run(ctx context.Context) error {
	if err := c.output.check(); err != nil {
		return err
	}
	connected, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer connected.storages.Close()
	self, err := usage.Party(ctx, connected.API, connected.settings.cluster)
	if err != nil {
		return err
	}
	places, err := connected.places(ctx)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return errors.New("this cluster has no guarded volume, so nothing says in which pools clusters are registered; run this in a cluster that has one")
	}
	rows := []registered{}
	for _, place := range places {
		all, unread, err := failover.Registrations(ctx, place.storage, place.spaces)
		if err != nil {
			return err
		}
		rows = append(rows, registeredRows(all, unread, self)...)
	}
	return c.print(rows, time.Now())
}

func registeredRows(all []ceph.Registration, unread []ceph.RegistrationOf, self ceph.Party) []registered {
	var rows []registered
	for _, r := range all {
		rows = append(rows, registered{Name: r.Name, UID: r.UID, Version: r.Version, ThisCluster: r.UID == self.UID, Nodes: r.Nodes, Written: &r.Written})
	}
	for _, of := range unread {
		rows = append(rows, registered{UID: of.UID, ThisCluster: of.UID == self.UID, Error: of.Err.Error() + "; " + ceph.Advice(of.Err)})
	}
	return rows
}

// print shows the rows. The error is the exit code, where one cannot be read.
func (c directClusters) print(rows []registered, now time.Time) error {
	var code error
	for _, row := range rows {
		if row.Error != "" {
			code = unknown(errShown)
		}
	}
	if c.output == "" {
		return cmp.Or(c.table(rows, now), code)
	}
	document, err := c.output.encode(struct {
		Clusters []registered `json:"clusters"`
	}{rows})
	if err != nil {
		return err
	}
	if _, err := c.std.stdout.Write(document); err != nil {
		return err
	}
	return code
}

func (c directClusters) table(rows []registered, now time.Time) error {
	if len(rows) == 0 {
		fmt.Fprintln(c.std.stderr, "No cluster has registered itself yet in the pools of this cluster's volumes.")
		return nil
	}
	table := tabwriter.NewWriter(c.std.stdout, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tUID\tVERSION\tNODES\tLAST WRITTEN")
	for _, row := range rows {
		name := row.Name
		if row.ThisCluster {
			name += " (this cluster)"
		}
		if row.Error != "" {
			fmt.Fprintf(table, "-\t%s\tcannot know: %s\n", row.UID, row.Error)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s ago\n", name, row.UID, row.Version, len(row.Nodes), duration.HumanDuration(max(0, now.Sub(*row.Written))))
	}
	return table.Flush()
}
