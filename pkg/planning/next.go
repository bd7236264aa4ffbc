package planning

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Next is what a person does when the volumes are taken, and when the dead cluster is back.
func Next(taken []Volume) string {
	if len(taken) > 0 && taken[0].Plan.Wish.Lost != "" {
		return nextLost(taken)
	}
	var nodes, clusters []string
	for _, v := range taken {
		if name := cmp.Or(v.Plan.From.Name, "of those"); !slices.Contains(clusters, name) {
			clusters = append(clusters, name)
		}
		for _, fenced := range v.Plan.Fenced() {
			if name := cmp.Or(fenced.Node.Name, strings.Join(fenced.Node.Addresses, " ")); !slices.Contains(nodes, name) {
				nodes = append(nodes, name)
			}
		}
	}
	return fmt.Sprintf("Start the workload here. When cluster %s is back, %s.", strings.Join(clusters, " or "), whenBack(OnlyThese(taken), nodes))
}

// whenBack is what is to be done in the dead cluster. The client of another volume may be
// fenced although no machine is.
func whenBack(only bool, fenced []string) string {
	switch {
	case only:
		return "no node has to be rebooted or let in again for this"
	case len(fenced) > 0:
		return fmt.Sprintf("reboot %s and run `kubectl cephferry unfence %s` there", strings.Join(fenced, ", "), strings.Join(fenced, " "))
	}
	return "no node has to be let in again for this, and one whose other volumes lost Ceph with these clients has to be rebooted"
}
