package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// history reads the record itself.
func (o *options) history(ctx context.Context, args []string, image string) error {
	storage, spec, done, err := o.oneImage(ctx, args, image)
	if err != nil {
		return err
	}
	defer done()
	found, err := storage.Image(ctx, spec)
	if err != nil {
		return err
	}
	record, err := ownership.Read(ctx, storage, found)
	if err != nil {
		return err
	}
	return printHistory(o.std.stdout, spec, record)
}

// oneImage finds the image of a claim, or the one that is named, with the Ceph flags
// alone.
func (o *options) oneImage(ctx context.Context, args []string, image string) (ceph.Cluster, ceph.ImageSpec, func(), error) {
	if image != "" {
		spec, err := parseImage(image)
		if err != nil {
			return nil, ceph.ImageSpec{}, nil, err
		}
		storage, err := dial(ctx, *o.cephConfig())
		if err != nil {
			return nil, ceph.ImageSpec{}, nil, err
		}
		return storage, spec, func() { _ = storage.Close() }, nil
	}
	c, err := o.connect(ctx)
	if err != nil {
		return nil, ceph.ImageSpec{}, nil, err
	}
	claims, err := claimArgs(args, c.namespace)
	if err != nil {
		return nil, ceph.ImageSpec{}, nil, err
	}
	volume, err := c.Volume(ctx, claims[0].namespace, claims[0].name)
	if err != nil {
		return nil, ceph.ImageSpec{}, nil, err
	}
	storage, spec, err := c.Image(ctx, volume)
	return storage, spec, func() { _ = c.storages.Close() }, err
}

func parseImage(text string) (ceph.ImageSpec, error) {
	switch parts := strings.Split(text, "/"); {
	case strings.Contains("/"+text+"/", "//"):
	case len(parts) == 2:
		return ceph.ImageSpec{Pool: parts[0], Name: parts[1]}, nil
	case len(parts) == 3:
		return ceph.ImageSpec{Pool: parts[0], Namespace: parts[1], Name: parts[2]}, nil
	}
	return ceph.ImageSpec{}, fmt.Errorf("--image %s: must be pool/name or pool/namespace/name", text)
}

func printHistory(out io.Writer, spec ceph.ImageSpec, record ceph.Record) error {
	fmt.Fprintf(out, "image %s: %s\n", spec, describe(record))
	if len(record.History) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "TIME\tEVENT\tCLUSTER\tFROM\tBY\tFENCED")
	for _, change := range record.History {
		from, by, fenced := "-", "-", "-"
		if change.From != nil {
			from = change.From.Name
		}
		if change.By != "" {
			by = change.By
		}
		if len(change.Fenced) > 0 {
			fenced = strings.Join(change.Fenced, ",")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", change.At.Format(time.RFC3339), change.Event, change.Name, from, by, fenced)
	}
	return table.Flush()
}

// describe is the present state of a record.
func describe(record ceph.Record) string {
	switch {
	case record.Takeover != nil:
		return fmt.Sprintf("cluster %s owns it; %s has been taking it for cluster %s since %s",
			record.Owner.Name, record.Takeover.By, record.Takeover.Name, record.Takeover.Since.Format(time.RFC3339))
	case record.Owner != nil:
		return fmt.Sprintf("cluster %s owns it, claim %s/%s, since %s",
			record.Owner.Name, record.Owner.Namespace, record.Owner.Claim, record.Owner.Since.Format(time.RFC3339))
	default:
		return "nobody owns it"
	}
}
