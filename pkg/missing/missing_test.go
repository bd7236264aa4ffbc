package missing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/missing"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
)

var (
	east = ceph.Party{UID: "u-east", Name: "east"}
	west = ceph.Party{UID: "u-west", Name: "west"}
	noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	e1   = ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "b1", UID: "n1", MachineID: "m1", Clients: []string{"10.0.1.11:0/1"}}
)

func heldBy(owner ceph.Party, change ...func(*ceph.Record)) ceph.Record {
	record := ceph.Record{State: ceph.Held, Epoch: 3, Owner: &ceph.Owner{Party: owner, Namespace: "shop", Claim: "data", Since: noon}}
	for _, c := range change {
		c(&record)
	}
	return record
}

func on(nodes ...ceph.Node) func(*ceph.Record) {
	return func(r *ceph.Record) { r.Owner.Nodes = nodes }
}

func pending(pods ...string) func(*ceph.Record) { return func(r *ceph.Record) { r.Pending = pods } }

func pod(node string, ends ...time.Time) usage.Use {
	use := usage.Use{Node: node, Pod: "p", Object: "shop/db-0", Begun: noon}
	for _, t := range ends {
		use.Ends = t
	}
	return use
}

func attachment(ends ...time.Time) usage.Use {
	use := usage.Use{Node: "e1", Object: "csi-1", Begun: noon}
	for _, t := range ends {
		use.Ends = t
	}
	return use
}

func client(address, node, why string) usage.Evidence {
	return usage.Evidence{Foreign: []usage.Foreign{{Watcher: ceph.Watcher{Addr: address, Client: "client.7"}, Node: node, Why: why}}}
}

// TestOf: each cause, with what is named, since when and the way out.
func TestOf(t *testing.T) {
	const (
		back     = "bring node e1 back; if its machine is lost, kubectl cephferry failover --node e1"
		unmount  = "node e1 has not unmounted the volume: look at its kubelet and at ceph-csi's pod there; a reboot of the node ends it"
		onNode   = "on node e1, rbd device list shows what has the image mapped: unmount and unmap it there, or drain and reboot the node"
		attacher = "the node has unmounted the volume, so ceph-csi's attacher does not answer: look at its provisioner pods, container csi-attacher; " +
			"the attachment of a PersistentVolume with controllerPublishSecretRef never goes away"
		off = "if you know that the machine which had the image is off, kubectl cephferry release shop/data --without-proof"
	)
	reports := usage.Use{Node: "e1"}
	silent := map[string]time.Time{"e1": noon}
	of := func(kind, subject, what string, since time.Time, wayOut string) []ceph.Missing {
		return []ceph.Missing{{Kind: kind, Subject: subject, What: what, Since: since, WayOut: wayOut}}
	}
	uses := func(all ...usage.Use) usage.Evidence { return usage.Evidence{Uses: all} }
	tests := map[string]struct {
		facts missing.Facts
		want  []ceph.Missing
	}{
		"nobody owns it":               {missing.Facts{Record: ceph.Record{}, Evidence: uses(attachment(noon))}, nil},
		"it is being taken":            {missing.Facts{Record: ceph.Record{State: ceph.Fencing, Owner: &ceph.Owner{Party: west}}}, nil},
		"it is idle":                   {missing.Facts{Record: heldBy(east)}, nil},
		"a pod runs":                   {missing.Facts{Record: heldBy(east, on(e1)), Evidence: uses(pod("e1"), attachment(), reports)}, nil},
		"a pod runs, and another ends": {missing.Facts{Record: heldBy(east), Evidence: uses(pod("e1", noon), pod("e2"))}, nil},
		"a pod does not end": {missing.Facts{Record: heldBy(east), Evidence: uses(pod("e1", noon), attachment(), reports)},
			of(missing.PodNotGone, "Pod/shop/db-0", "pod shop/db-0 on node e1 is being deleted and has not ended", noon,
				"kubectl -n shop describe pod db-0 says what holds it: a finalizer, or a container or a mount on the node that does not end")},
		"a pod ends on a node that does not report": {missing.Facts{Record: heldBy(east), Evidence: usage.Evidence{Uses: []usage.Use{pod("e1", noon), attachment()}, Silent: silent}},
			of(missing.NodeSilent, "Node/e1", "node e1 has pod shop/db-0 and does not report", noon, back)},
		"a pod that no node takes": {missing.Facts{Record: heldBy(east), Evidence: uses(pod(""))},
			of(missing.PodWithoutNode, "Pod/shop/db-0", "pod shop/db-0 was admitted and no node takes it", noon,
				"kubectl -n shop describe pod db-0 says why; delete it or scale its workload to zero to give the image up")},
		"an attachment that nobody deletes": {missing.Facts{Record: heldBy(east), Evidence: uses(attachment())},
			of(missing.AttachmentNotGone, "VolumeAttachment/csi-1", "VolumeAttachment csi-1 of node e1 exists although no pod needs it", time.Time{}, attacher)},
		"an attachment that does not go": {missing.Facts{Record: heldBy(east), Evidence: uses(usage.Use{Node: "e1", Object: "csi-1", Ends: noon, Trouble: "rpc error: no secret"})},
			of(missing.AttachmentNotGone, "VolumeAttachment/csi-1", "VolumeAttachment csi-1 of node e1 is being deleted and does not go away (rpc error: no secret)", noon, attacher)},
		"an attachment whose node has not unmounted": {missing.Facts{Record: heldBy(east), Evidence: uses(attachment(noon), reports)},
			of(missing.AttachmentNotGone, "VolumeAttachment/csi-1", "VolumeAttachment csi-1 of node e1 is being deleted and does not go away", noon, unmount)},
		"an attachment whose node does not report": {missing.Facts{Record: heldBy(east), Evidence: usage.Evidence{Uses: []usage.Use{attachment(noon), reports}, Silent: silent}},
			of(missing.AttachmentNotGone, "VolumeAttachment/csi-1",
				"VolumeAttachment csi-1 of node e1 is being deleted and does not go away, and the node has not reported since 2026-11-27 12:00 UTC", noon, back)},
		"a node that lists the volume": {missing.Facts{Record: heldBy(east), Evidence: uses(reports)},
			of(missing.VolumeNotUnmounted, "Node/e1", "node e1 lists the volume in status.volumesInUse although no pod needs it", time.Time{}, unmount)},
		"a node that lists the volume and does not report": {missing.Facts{Record: heldBy(east), Evidence: usage.Evidence{Uses: []usage.Use{reports}, Silent: silent}},
			of(missing.NodeSilent, "Node/e1", "node e1 has the volume in status.volumesInUse and does not report", noon, back)},
		"a client of a holder, after its attachment": {missing.Facts{Record: heldBy(east, on(e1)), Evidence: client("10.0.1.11:0/1", "", "")},
			of(missing.ClientUnknown, "Client/10.0.1.11", "client.7 at 10.0.1.11 has the image open: node e1, where nothing uses the volume any more", time.Time{}, onNode)},
		"a client on a node that does not use it": {missing.Facts{Record: heldBy(east), Evidence: client("10.0.1.11:0/9", "e1", "the address of node e1, which does not use the volume")},
			of(missing.ClientUnknown, "Client/10.0.1.11",
				"client.7 at 10.0.1.11 has the image open, and nothing in this cluster accounts for it (the address of node e1, which does not use the volume)", time.Time{}, onNode)},
		"a client from elsewhere": {missing.Facts{Record: heldBy(east), Evidence: client("10.0.9.9:0/7", "", "not a node of this cluster")},
			of(missing.ClientUnknown, "Client/10.0.9.9", "client.7 at 10.0.9.9 has the image open, and nothing in this cluster accounts for it (not a node of this cluster)", time.Time{},
				"find the machine with that address, and end what has the image open there; if that machine is dead, kubectl cephferry failover shop/data --also-fence 10.0.9.9:0/7 keeps it out")},
		"a pod that never came": {missing.Facts{Record: heldBy(east, pending("p1"))},
			of(missing.PodNotSeen, "Pod/p1", "a pod was admitted and is not at the API server", time.Time{}, "wait: without another admission it is given up 1m15s after the last one")},
		"the pod after a failover": {missing.Facts{Record: heldBy(east, pending(ownership.Awaited))},
			of(missing.PodNotSeen, "Pod/awaited", "the pod that was to start after the failover has not come", time.Time{},
				"start the workload here; without it, the image is released 1m15s after the failover")},
		"a holder that is gone": {missing.Facts{Record: heldBy(east, on(e1))},
			of(missing.NodeNotConfirmed, "Node/e1", "the image was on node e1, whose Node object is gone", time.Time{},
				"start the machine, so that its kubelet registers and says that it has let go; "+off)},
		"a holder whose Node was made anew": {missing.Facts{Record: heldBy(east, on(e1)), Evidence: usage.Evidence{Seen: ownership.Seen{Present: []ownership.Present{
			{Node: ceph.Node{Name: "e1", BootID: "b1", UID: "n2", MachineID: "m1"}}}}}},
			of(missing.NodeNotConfirmed, "Node/e1", "the image was on node e1, whose Node object was recreated, and lists no volume in use yet", time.Time{},
				"it says so as soon as it lists any volume: start a pod with a volume there, or reboot the node")},
		"a holder whose name another machine may have": {missing.Facts{Record: heldBy(east, on(e1)), Evidence: usage.Evidence{Silent: silent, Seen: ownership.Seen{Present: []ownership.Present{
			{Node: ceph.Node{Name: "e1", BootID: "b2", UID: "n2", MachineID: "m2"}}}}}},
			of(missing.NodeNotConfirmed, "Node/e1", "the image was on node e1, and nothing proves that the Node of that name is the same machine; the Node of that name does not report", noon,
				"start the machine that had that name; "+off)},
		"a holder whose boot nobody knows": {missing.Facts{Record: heldBy(east, on(ceph.Node{Name: "e1"})), Evidence: usage.Evidence{Seen: ownership.Seen{Present: []ownership.Present{
			{Node: ceph.Node{Name: "e1", BootID: "b2", UID: "n2", MachineID: "m2"}}}}}},
			of(missing.NodeNotConfirmed, "Node/e1", "the image was on node e1, whose boot is not known", time.Time{}, "its kubelet reports the boot: restart kubelet there; "+off)},
		"a holder that has rebooted": {missing.Facts{Record: heldBy(east, on(e1)), Evidence: usage.Evidence{Seen: ownership.Seen{Present: []ownership.Present{
			{Node: ceph.Node{Name: "e1", BootID: "b2", UID: "n1", MachineID: "m1"}}}}}}, nil},
		"a use of a volume that is gone": {missing.Facts{Record: heldBy(east), Stray: &usage.Stray{Node: "e1", What: "volumeattachment csi-2"}},
			of(missing.VolumeGone, "Node/e1", "node e1 may use the image: volumeattachment csi-2", time.Time{}, unmount)},

		"another cluster has it, and says nothing": {missing.Facts{Record: heldBy(west), Leader: noon.Add(-time.Minute)}, nil},
		"another cluster has it, with a pod":       {missing.Facts{Record: heldBy(west), Note: ceph.Note{Owner: "u-west", Epoch: 3, Pods: []ceph.NotedPod{{Name: "shop/db-0"}}}}, nil},
		"another cluster says what is missing": {missing.Facts{Record: heldBy(west), Note: ceph.Note{Owner: "u-west", Epoch: 3, Missing: of("K", "Node/w1", "node w1 is lazy", noon, "wake it")}},
			of("K", "Node/w1", "in cluster west, node w1 is lazy", noon, "in west: wake it")},
		"a note of the epoch before":           {missing.Facts{Record: heldBy(west), Note: ceph.Note{Owner: "u-west", Epoch: 2, Missing: of("K", "Node/w1", "w", noon, "o")}}, nil},
		"a note of the owner before":           {missing.Facts{Record: heldBy(west), Note: ceph.Note{Owner: "u-east", Epoch: 3, Missing: of("K", "Node/w1", "w", noon, "o")}}, nil},
		"another cluster has registered never": {missing.Facts{Record: heldBy(west)}, nil},
		"another cluster has no leader": {missing.Facts{Record: heldBy(west), Leader: noon.Add(-3 * time.Minute)},
			of(missing.LeaderGone, "FerryCluster/west", "perhaps nobody in cluster west releases the image, or its clock is behind this cluster's: by that clock, its webhook has written nothing", noon.Add(-3*time.Minute),
				"check the pods of cephferry there; while none of them runs, kubectl cephferry release shop/data in west gives the image up")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := test.facts
			f.Self, f.Claim, f.Release, f.Grace, f.Now = east, "shop/data", "kubectl cephferry release shop/data", 75*time.Second, noon
			got := missing.Of(f)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, m := range got {
				// Who has no pod is never told to scale to zero, and a node of one's own is never fenced.
				if strings.Contains(m.WayOut, "zero") && m.Kind != missing.PodWithoutNode || strings.Contains(m.WayOut, "--also-fence") && strings.Contains(m.What, "node e1") {
					t.Errorf("%s leads to %q", m.What, m.WayOut)
				}
			}
		})
	}
}

// TestRemember: since when is known by the cluster, or by whoever noted it first.
func TestRemember(t *testing.T) {
	first := ceph.Missing{Kind: "A", Subject: "Node/e1", Since: noon}
	now := []ceph.Missing{{Kind: "A", Subject: "Node/e1"}, {Kind: "A", Subject: "Node/e2"}, {Kind: "B", Subject: "Node/e1", Since: noon.Add(-time.Hour)}}
	at := noon.Add(time.Minute + time.Millisecond)
	want := []time.Time{noon, noon.Add(time.Minute), noon.Add(-time.Hour)}
	for i, m := range missing.Remember([]ceph.Missing{first}, now, at) {
		if !m.Since.Equal(want[i]) {
			t.Errorf("%s %s since %s, want %s", m.Kind, m.Subject, m.Since, want[i])
		}
	}
}

// TestLasting: what has lasted for 30 seconds, and when the next one will have.
func TestLasting(t *testing.T) {
	at := func(ago time.Duration) ceph.Missing { return ceph.Missing{Since: noon.Add(-ago)} }
	for name, test := range map[string]struct {
		all     []ceph.Missing
		lasting int
		next    time.Duration
	}{
		"nothing":                           {nil, 0, 0},
		"it has just begun":                 {[]ceph.Missing{at(0)}, 0, 30 * time.Second},
		"almost, and one that is older":     {[]ceph.Missing{at(29 * time.Second), at(time.Hour)}, 1, time.Second},
		"two that have not, of another age": {[]ceph.Missing{at(10 * time.Second), at(20 * time.Second)}, 0, 10 * time.Second},
		"it has":                            {[]ceph.Missing{at(30 * time.Second)}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			lasting, next := missing.Lasting(test.all, noon)
			if len(lasting) != test.lasting || next != test.next {
				t.Errorf("%d have lasted, the next after %s", len(lasting), next)
			}
		})
	}
}
