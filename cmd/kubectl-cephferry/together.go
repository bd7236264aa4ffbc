package main

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

// printPlans shows what would be done. Of several volumes each has a line, and what is cut off
// besides is said once for all of them.
func printPlans(out io.Writer, jobs []job) {
	if len(jobs) == 1 {
		printPlan(out, jobs[0])
		return
	}
	table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "VOLUME\tIMAGE\tOWNER\tSINCE\tCUT OFF")
	var todo []job
	for _, j := range jobs {
		if j.plan.Done {
			fmt.Fprintf(table, "%s\t%s\t-\t-\t%s\n", j.claim, j.plan.Image, "nothing to do: "+j.plan.Why)
			continue
		}
		todo = append(todo, j)
		owner := j.plan.Record.Owner
		stays := ""
		if j.plan.Ours {
			stays = ", and stays so"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", j.claim, j.plan.Image, owner.Name+stays, owner.Since.Format(time.RFC3339), cutOff(j.plan))
	}
	_ = table.Flush() // out has the error, if there is one
	for _, together := range byCeph(todo) {
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
func printTogether(out io.Writer, jobs []job) {
	line := func(head, format string, arguments ...any) {
		fmt.Fprintf(out, "  %-11s %s\n", head, fmt.Sprintf(format, arguments...))
	}
	fmt.Fprintf(out, "%d volumes together\n", len(jobs))
	for _, text := range texts(jobs, func(p failover.Plan) []string { return p.Doubts }) {
		line("uncertain", "%s", text)
	}
	var machines, instances, renamers []string
	var nodes []ceph.Node
	for _, j := range jobs {
		machines = append(machines, j.plan.Fence.Machines...)
		nodes = append(nodes, j.plan.Nodes...)
		for _, addr := range j.plan.Fence.Instances {
			if slices.Contains(j.plan.Record.Renamers, addr) {
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
	for _, text := range texts(jobs, because) {
		line("because", "%s", text)
	}
	if onlyThese(jobs) && head == "" {
		line("cuts off:", "these volumes only")
	}
	for _, carried := range besides(jobs) {
		line("also hit", "%s/%s in cluster %s (image %s), by %s",
			carried.Owner.Namespace, carried.Owner.Claim, carried.Owner.Name, carried.Image, strings.Join(carried.By, ", "))
	}
	var unknown []string
	for _, j := range jobs {
		for _, image := range j.plan.Unknown {
			unknown = append(unknown, image.String())
		}
	}
	for _, image := range sorted(unknown) {
		line("cannot know", "image %s: this version cannot read its record", image)
	}
	line("looked at", "the records in %s%s", places(jobs[0]), elsewhere(onlyThese(jobs), len(machines)))
}

func because(plan failover.Plan) []string {
	if plan.Because == "" {
		return nil
	}
	return []string{plan.Because}
}

// texts are what the plans say, each once, and of how many volumes if not of all.
func texts(jobs []job, of func(failover.Plan) []string) []string {
	var order []string
	count := map[string]int{}
	for _, j := range jobs {
		for _, text := range of(j.plan) {
			if count[text] == 0 {
				order = append(order, text)
			}
			count[text]++
		}
	}
	for i, text := range order {
		if n := count[text]; n < len(jobs) {
			order[i] = fmt.Sprintf("%s (%d of %d volumes)", text, n, len(jobs))
		}
	}
	return order
}

// besides are the volumes that lose Ceph and are not among those that are taken.
func besides(jobs []job) []failover.Carried {
	taken := map[ceph.ImageSpec]bool{}
	for _, j := range jobs {
		taken[j.plan.Image.Base()] = true
	}
	at := map[ceph.ImageSpec]int{}
	var all []failover.Carried
	for _, j := range jobs {
		for _, carried := range j.plan.Carried {
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

// onlyThese reports whether nothing but these volumes loses Ceph.
func onlyThese(jobs []job) bool {
	alone := !slices.ContainsFunc(jobs, func(j job) bool {
		plan := j.plan
		plan.Carried = nil
		return !plan.OnlyThis()
	})
	return alone && len(besides(jobs)) == 0
}

// sorted has each once.
func sorted(all []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(all)))
}
