package planning

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
)

// Print shows what would be done. Of several volumes each has a line, and what is cut off
// besides is said once for all of them.
func Print(out io.Writer, volumes []Volume) {
	if len(volumes) == 1 {
		printOne(out, volumes[0])
		return
	}
	table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "VOLUME\tIMAGE\tOWNER\tSINCE\tCUT OFF")
	var todo []Volume
	for _, v := range volumes {
		if v.Plan.Done {
			fmt.Fprintf(table, "%s\t%s\t-\t-\t%s\n", v.Claim, v.Plan.Image, "nothing to do: "+v.Plan.Why)
			continue
		}
		todo = append(todo, v)
		owner := v.Plan.Record.Owner
		stays := ""
		if v.Plan.Ours {
			stays = ", and stays so"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", v.Claim, v.Plan.Image, owner.Name+stays, owner.Since.Format(time.RFC3339), cutOff(v.Plan))
	}
	_ = table.Flush() // out has the error, if there is one
	for _, together := range ByCeph(todo) {
		printTogether(out, together)
	}
}

// cutOff are the addresses that a plan fences, machines without their port.
func cutOff(plan failover.Plan) string {
	var all []string
	for _, addr := range plan.Fence.Machines {
		all = append(all, strings.TrimSuffix(addr, ":0/0"))
	}
	all = append(all, plan.Fence.Instances...)
	return cmp.Or(strings.Join(all, ", "), "nobody")
}

// printTogether shows what the plans for one Ceph do together.
func printTogether(out io.Writer, volumes []Volume) {
	if len(volumes) == 1 {
		printOne(out, volumes[0])
		return
	}
	line := func(head, format string, arguments ...any) {
		fmt.Fprintf(out, "  %-11s %s\n", head, fmt.Sprintf(format, arguments...))
	}
	fmt.Fprintf(out, "%d volumes together\n", len(volumes))
	for _, text := range texts(volumes, func(p failover.Plan) []string { return p.Doubts }) {
		line("uncertain", "%s", text)
	}
	var machines, instances, renamers []string
	var nodes []ceph.Node
	for _, v := range volumes {
		machines = append(machines, v.Plan.Fence.Machines...)
		nodes = append(nodes, v.Plan.Nodes...)
		for _, addr := range v.Plan.Fence.Instances {
			if slices.Contains(v.Plan.Record.Renamers, addr) {
				renamers = append(renamers, addr)
			} else {
				instances = append(instances, addr)
			}
		}
	}
	head := "cut off"
	for _, addr := range sorted(machines) {
		line(head, "%s%s: everything that comes from there", strings.TrimSuffix(addr, ":0/0"), nodeAt(nodes, addr))
		head = ""
	}
	for _, part := range []struct {
		addrs     []string
		one, many string
	}{
		{instances, "1 client of these volumes", "clients of these volumes"},
		{renamers, "1 program that may be giving images their names", "programs that may be giving images their names"},
	} {
		switch n := len(sorted(part.addrs)); n {
		case 0:
			continue
		case 1:
			line(head, "%s", part.one)
		default:
			line(head, "%d %s", n, part.many)
		}
		head = ""
	}
	if head != "" {
		line(head, "nobody: no node has had one of the volumes, and no pod waits for a node")
	}
	for _, text := range texts(volumes, because) {
		line("because", "%s", text)
	}
	if OnlyThese(volumes) && head == "" {
		line("cuts off:", "these volumes only")
	}
	for _, carried := range besides(volumes) {
		line("also hit", "%s/%s in cluster %s (image %s), by %s",
			carried.Owner.Namespace, carried.Owner.Claim, carried.Owner.Name, carried.Image, strings.Join(carried.By, ", "))
	}
	var unknown []string
	for _, v := range volumes {
		for _, image := range v.Plan.Unknown {
			unknown = append(unknown, image.String())
		}
	}
	for _, image := range sorted(unknown) {
		line("cannot know", "image %s: this version cannot read its record", image)
	}
	line("looked at", "the records in %s%s", places(volumes[0]), elsewhere(OnlyThese(volumes), len(machines)))
}

func because(plan failover.Plan) []string {
	if plan.Because == "" {
		return nil
	}
	return []string{plan.Because}
}

// texts are what the plans say, each once, and of how many volumes if not of all.
func texts(volumes []Volume, of func(failover.Plan) []string) []string {
	var order []string
	count := map[string]int{}
	for _, v := range volumes {
		for _, text := range of(v.Plan) {
			if count[text] == 0 {
				order = append(order, text)
			}
			count[text]++
		}
	}
	for i, text := range order {
		if n := count[text]; n < len(volumes) {
			order[i] = fmt.Sprintf("%s (%d of %d volumes)", text, n, len(volumes))
		}
	}
	return order
}

// besides are the volumes that lose Ceph and are not among those that are taken.
func besides(volumes []Volume) []failover.Carried {
	taken := map[ceph.ImageSpec]bool{}
	for _, v := range volumes {
		taken[v.Plan.Image.Base()] = true
	}
	at := map[ceph.ImageSpec]int{}
	var all []failover.Carried
	for _, v := range volumes {
		for _, carried := range v.Plan.Carried {
			base := carried.Image.Base()
			if taken[base] {
				continue
			}
			i, known := at[base]
			if !known {
				at[base], all = len(all), append(all, carried)
				continue
			}
			all[i].By = sorted(append(slices.Clone(all[i].By), carried.By...))
		}
	}
	return all
}

// OnlyThese reports whether nothing but these volumes loses Ceph.
func OnlyThese(volumes []Volume) bool {
	alone := !slices.ContainsFunc(volumes, func(v Volume) bool {
		plan := v.Plan
		plan.Carried = nil
		return !plan.OnlyThis()
	})
	return alone && len(besides(volumes)) == 0
}

// sorted has each once.
func sorted(all []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(all)))
}
