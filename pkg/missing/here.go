package missing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
)

// Here is what is missing in the cluster that asks, whoever owns the image.
func Here(f Facts) []ceph.Missing {
	if all, used := pods(f); used {
		return all
	}
	all := slices.Concat(attachments(f), reports(f))
	if len(all) > 0 {
		return all
	}
	for _, of := range []func(Facts) []ceph.Missing{clients, admitted, holders, strays} {
		if all := of(f); len(all) > 0 {
			return all
		}
	}
	return nil
}

// pods are those that should be gone, or on a node that reports. While there is a pod, nothing
// else is asked for: used is true.
func pods(f Facts) (all []ceph.Missing, used bool) {
	for _, use := range f.Evidence.Uses {
		if use.Pod == "" {
			continue
		}
		used = true
		namespace, name, _ := strings.Cut(use.Object, "/")
		pod := ceph.Missing{Subject: "Pod/" + use.Object, WayOut: fmt.Sprintf("kubectl -n %s describe pod %s says why", namespace, name)}
		since, silent := f.Evidence.Silent[use.Node]
		switch {
		case silent:
			all = append(all, ceph.Missing{
				Kind: NodeSilent, Subject: "Node/" + use.Node, Since: since,
				What:   fmt.Sprintf("node %s has pod %s and does not report", use.Node, use.Object),
				WayOut: bringBack(use.Node),
			})
		case !use.Ends.IsZero():
			pod.Kind, pod.Since, pod.What = PodNotGone, use.Ends, fmt.Sprintf("pod %s%s is being deleted and has not ended", use.Object, on(use.Node))
			pod.WayOut = fmt.Sprintf("kubectl -n %s describe pod %s says what holds it: a finalizer, or a container or a mount on the node that does not end", namespace, name)
			all = append(all, pod)
		case use.Node == "":
			pod.Kind, pod.Since, pod.What = PodWithoutNode, use.Begun, fmt.Sprintf("pod %s was admitted and no node takes it", use.Object)
			pod.WayOut += "; delete it or scale its workload to zero to give the image up"
			all = append(all, pod)
		default:
			return nil, true // it runs, and that is what the image is for
		}
	}
	return once(all), used
}

// attachments are those that no pod needs.
func attachments(f Facts) []ceph.Missing {
	var all []ceph.Missing
	for _, use := range f.Evidence.Uses {
		if use.Pod != "" || use.Object == "" {
			continue
		}
		one := ceph.Missing{Kind: AttachmentNotGone, Subject: "VolumeAttachment/" + use.Object, Since: use.Ends}
		one.What = fmt.Sprintf("VolumeAttachment %s of node %s exists although no pod needs it", use.Object, use.Node)
		if !use.Ends.IsZero() {
			one.What = fmt.Sprintf("VolumeAttachment %s of node %s is being deleted and does not go away", use.Object, use.Node)
		}
		if use.Trouble != "" {
			one.What += " (" + use.Trouble + ")"
		}
		since, silent := f.Evidence.Silent[use.Node]
		switch {
		case silent:
			one.What += fmt.Sprintf(", and the node has not reported since %s", minute(since))
			one.WayOut = bringBack(use.Node)
		case lists(f.Evidence.Uses, use.Node):
			one.WayOut = notUnmounted(use.Node)
		default:
			one.WayOut = "the node has unmounted the volume, so ceph-csi's attacher does not answer: look at its provisioner pods, container csi-attacher; " +
				"the attachment of a PersistentVolume with controllerPublishSecretRef never goes away"
		}
		all = append(all, one)
	}
	return all
}

// reports are nodes that list the volume as in use and have no attachment any more.
func reports(f Facts) []ceph.Missing {
	var all []ceph.Missing
	for _, use := range f.Evidence.Uses {
		if use.Pod != "" || use.Object != "" || attached(f.Evidence.Uses, use.Node) {
			continue
		}
		one := ceph.Missing{
			Kind: VolumeNotUnmounted, Subject: "Node/" + use.Node,
			What: fmt.Sprintf("node %s lists the volume in status.volumesInUse although no pod needs it", use.Node), WayOut: notUnmounted(use.Node),
		}
		if since, silent := f.Evidence.Silent[use.Node]; silent {
			one.Kind, one.Since, one.WayOut = NodeSilent, since, bringBack(use.Node)
			one.What = fmt.Sprintf("node %s has the volume in status.volumesInUse and does not report", use.Node)
		}
		all = append(all, one)
	}
	return once(all)
}

// clients have the image open although nothing in the cluster uses it.
func clients(f Facts) []ceph.Missing {
	var all []ceph.Missing
	for _, foreign := range f.Evidence.Foreign {
		all = append(all, client(f.Claim, f.Record, foreign))
	}
	return all
}

// client is one that nobody accounts for. Only of a client that comes from no node of this cluster
// is it said how to fence it, and only for a person who knows what it is.
func client(claim string, record ceph.Record, foreign usage.Foreign) ceph.Missing {
	at := foreign.Addr
	if address, err := ceph.ParseAddress(at); err == nil {
		at = address.String()
	}
	one := ceph.Missing{Kind: ClientUnknown, Subject: "Client/" + at}
	if node := holderOf(record, foreign.Addr); node != "" {
		one.What = fmt.Sprintf("%s at %s has the image open: node %s, where nothing uses the volume any more", foreign.Client, at, node)
		one.WayOut = onTheNode(node)
		return one
	}
	one.What = fmt.Sprintf("%s at %s has the image open, and nothing in this cluster accounts for it (%s)", foreign.Client, at, foreign.Why)
	if foreign.Node != "" {
		one.WayOut = onTheNode(foreign.Node)
		return one
	}
	one.WayOut = fmt.Sprintf("find the machine with that address, and end what has the image open there; "+
		"if that machine is dead, kubectl cephferry failover %s --also-fence %s keeps it out", claim, foreign.Addr)
	return one
}

// admitted are pods that were admitted and are not at the API server.
func admitted(f Facts) []ceph.Missing {
	pending := f.Record.Pending
	if len(pending) == 0 && len(f.Record.Unbound) == 0 {
		return nil
	}
	one := ceph.Missing{
		Kind: PodNotSeen, Subject: "Pod/" + strings.Join(pending[:min(1, len(pending))], ""), What: "a pod was admitted and is not at the API server",
		WayOut: fmt.Sprintf("wait: without another admission it is given up %s after the last one", f.Grace),
	}
	if slices.Contains(pending, ownership.Awaited) {
		one.What = "the pod that was to start after the failover has not come"
		one.WayOut = fmt.Sprintf("start the workload here; without it, the image is released %s after the failover", f.Grace)
	}
	return []ceph.Missing{one}
}

// holders are those of the record that nothing proves to have let go.
func holders(f Facts) []ceph.Missing {
	if f.Record.Owner == nil {
		return nil
	}
	var all []ceph.Missing
	for _, holder := range f.Record.Owner.Nodes {
		doubt := ownership.DoubtAbout(holder, f.Evidence.Present)
		if doubt == "" {
			continue
		}
		one := ceph.Missing{
			Kind: NodeNotConfirmed, Subject: "Node/" + holder.Name,
			What: fmt.Sprintf("the image was on node %s, %s", holder.Name, doubt),
		}
		proof := fmt.Sprintf("if you know that the machine which had the image is off, %s --without-proof", f.Release)
		if since, silent := f.Evidence.Silent[holder.Name]; silent {
			one.Since = since
			one.What += "; the Node of that name does not report"
		}
		switch doubt {
		case ownership.NodeGone:
			one.WayOut = "start the machine, so that its kubelet registers and says that it has let go; " + proof
		case ownership.NodeAnew:
			one.WayOut = "it says so as soon as it lists any volume: start a pod with a volume there, or reboot the node"
		case ownership.OtherMachine:
			one.WayOut = "start the machine that had that name; " + proof
		default:
			one.WayOut = "its kubelet reports the boot: restart kubelet there; " + proof
		}
		all = append(all, one)
	}
	return all
}

func strays(f Facts) []ceph.Missing {
	if f.Stray == nil {
		return nil
	}
	one := ceph.Missing{Kind: VolumeGone, Subject: "Node/" + f.Stray.Node, What: "node " + f.Stray.Node + " may use the image: " + f.Stray.What, WayOut: notUnmounted(f.Stray.Node)}
	if since, silent := f.Evidence.Silent[f.Stray.Node]; silent {
		one.Since, one.WayOut = since, bringBack(f.Stray.Node)
	}
	return []ceph.Missing{one}
}

// holderOf is the holder in the record that has that client, or its address.
func holderOf(record ceph.Record, client string) string {
	if record.Owner == nil {
		return ""
	}
	address, err := ceph.ParseAddress(client)
	for _, node := range record.Owner.Nodes {
		if slices.Contains(node.Clients, client) || err == nil && slices.Contains(node.IPs(), address) {
			return node.Name
		}
	}
	return ""
}

func lists(uses []usage.Use, node string) bool {
	return slices.ContainsFunc(uses, func(u usage.Use) bool { return u.Pod == "" && u.Object == "" && u.Node == node })
}

func attached(uses []usage.Use, node string) bool {
	return slices.ContainsFunc(uses, func(u usage.Use) bool { return u.Pod == "" && u.Object != "" && u.Node == node })
}

// once is each kind and subject once.
func once(all []ceph.Missing) []ceph.Missing {
	var kept []ceph.Missing
	for _, m := range all {
		if !slices.ContainsFunc(kept, func(k ceph.Missing) bool { return k.Kind == m.Kind && k.Subject == m.Subject }) {
			kept = append(kept, m)
		}
	}
	return kept
}

func on(node string) string {
	if node == "" {
		return ""
	}
	return " on node " + node
}

// bringBack names the fence for a machine that is lost only: a node that does not report may
// be well, and failover --node cuts it off from all its volumes.
func bringBack(node string) string {
	return fmt.Sprintf("bring node %s back; if its machine is lost, kubectl cephferry failover --node %s", node, node)
}

func notUnmounted(node string) string {
	return fmt.Sprintf("node %s has not unmounted the volume: look at its kubelet and at ceph-csi's pod there; a reboot of the node ends it", node)
}

func onTheNode(node string) string {
	return fmt.Sprintf("on node %s, rbd device list shows what has the image mapped: unmount and unmap it there, or drain and reboot the node", node)
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
