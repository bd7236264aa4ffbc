package failover

import (
	"fmt"
	"slices"
	"strings"
)

// Cut is what plans cut off, as a person confirms it.
type Cut struct {
	// Machines and Instances are addresses.
	Machines, Instances []string
	// Boots are those of a lost node of the own cluster, by their ids.
	Boots []string
}

// Cut is what the plan cuts off. Done, it is nothing.
func (p Plan) Cut() Cut {
	cut := Cut{Machines: p.Fence.Machines, Instances: p.Fence.Instances}
	if p.Wish.Lost == "" || p.Done {
		return cut
	}
	for _, boot := range p.Nodes {
		if boot.BootID != "" {
			cut.Boots = append(cut.Boots, boot.BootID)
		}
	}
	return cut
}

// Beyond is what the plan cuts off besides what was confirmed, as a sentence, or empty.
//
// While an image is being taken from another cluster, nobody can start anything there, so a client
// that was not confirmed is a late one of what was. In the own cluster nothing holds a node back:
// it may have booted since, or have opened the image again, and work. A machine of the
// same address may be another boot of it; and of a boot whose id is not known, nobody can say
// whether it is the one that was confirmed.
func (p Plan) Beyond(confirmed Cut) string {
	for _, machine := range p.Fence.Machines {
		if !slices.Contains(confirmed.Machines, machine) {
			return fmt.Sprintf("machine %s would be fenced too, which was not in the plan", strings.TrimSuffix(machine, ":0/0"))
		}
	}
	if p.Wish.Lost == "" {
		return ""
	}
	for _, boot := range p.Nodes {
		switch {
		case boot.BootID == "":
			return fmt.Sprintf("nothing says whether node %s has rebooted since the plan was confirmed: its bootID was not recorded", boot.Name)
		case !slices.Contains(confirmed.Boots, boot.BootID):
			return fmt.Sprintf("node %s has rebooted since the plan was made, and would be cut off again (bootID %s)", boot.Name, boot.BootID)
		}
	}
	for _, client := range p.Fence.Instances {
		if !slices.Contains(confirmed.Instances, client) {
			return fmt.Sprintf("client %s would be fenced too, which was not in the plan: node %s has opened the image since", client, p.Wish.Lost)
		}
	}
	return ""
}
