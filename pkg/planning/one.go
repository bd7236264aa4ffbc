package planning

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
)

// printOne shows what would be done for one volume.
func printOne(out io.Writer, v Volume) {
	plan := v.Plan
	fmt.Fprintf(out, "volume %s (image %s)\n", v.Claim, plan.Image)
	if plan.Done {
		fmt.Fprintf(out, "  %s\n", plan.Why)
		return
	}
	line := func(head, format string, arguments ...any) {
		fmt.Fprintf(out, "  %-11s %s\n", head, fmt.Sprintf(format, arguments...))
	}
	owner := plan.Record.Owner
	for _, doubt := range plan.Doubts {
		line("uncertain", "%s", doubt)
	}
	stays := ""
	if plan.Ours {
		stays = ", and stays so"
	}
	line("owner", "cluster %s, claim %s/%s, since %s%s", owner.Name, owner.Namespace, owner.Claim, owner.Since.Format(time.RFC3339), stays)
	head := "cut off"
	for _, addr := range plan.Fence.Machines {
		line(head, "%s%s: everything that comes from there", strings.TrimSuffix(addr, ":0/0"), nodeAt(plan.Nodes, addr))
		head = ""
	}
	for _, addr := range plan.Fence.Instances {
		what := "a client"
		if slices.Contains(plan.Record.Renamers, addr) {
			what = "a program that may be giving the image its name"
		}
		line(head, "%s: %s", addr, what)
		head = ""
	}
	if plan.Because != "" {
		line("because", "%s", plan.Because)
	}
	if head != "" {
		line(head, "nobody: no node has had the volume, and no pod waits for a node")
	}
	if plan.OnlyThis() && head == "" {
		line("cuts off:", "this volume only")
	}
	for _, carried := range plan.Carried {
		line("also hit", "%s/%s in cluster %s (image %s), by %s",
			carried.Owner.Namespace, carried.Owner.Claim, carried.Owner.Name, carried.Image, strings.Join(carried.By, ", "))
	}
	for _, image := range plan.Unknown {
		line("cannot know", "image %s: this version cannot read its record", image)
	}
	line("looked at", "the records in %s%s", places(v), elsewhere(plan.OnlyThis(), len(plan.Fence.Machines)))
}

// places are where the records are that were looked at.
func places(v Volume) string {
	var all []string
	for _, space := range v.Spaces {
		all = append(all, space.String())
	}
	return strings.Join(all, ", ")
}

// elsewhere is what the fence cuts off besides, and no record says.
func elsewhere(onlyThese bool, machines int) string {
	switch {
	case onlyThese:
		return ""
	case machines == 0:
		return "; what those clients have in other pools of this Ceph is cut off as well"
	}
	return "; what those machines have in other pools and file systems of this Ceph is cut off as well"
}

// nodeAt is the name of the node behind the entry, for people.
func nodeAt(nodes []ceph.Node, addr string) string {
	for _, node := range nodes {
		for _, text := range node.Addresses {
			if machine, err := failover.ParseAddress(text); err == nil && machine == addr {
				return " (node " + node.Name + ")"
			}
		}
	}
	return ""
}
