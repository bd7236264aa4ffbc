package model

import (
	"errors"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
)

// kubelet is what a node does with pods and attachments. A node that is cut off from
// its API server takes none of these steps.
func (m *Model) kubelet(s state, n int) {
	step := func(kind kind, change func(*node)) {
		t := s
		change(&t.nodes[n])
		m.emit(Step{kind, int8(n), 0, 0}, t)
	}
	now, hasPod := s.nodes[n], m.hasPod(s, n)
	runs := hasPod || now.forced
	if now.replaced {
		return // its API server knows another machine by its name
	}
	if now.forced {
		step(forgetPod, func(x *node) { x.forced = false })
	}
	// The kubelet mounts only after its status has the volume in use, and after it
	// has seen the attachment; and says that it is not in use only after unstaging.
	if runs && (now.attached || hasPod) && !now.gone && s.mountable(m.Nodes[n]) && now.mount == notMounted && m.attachable(s, n) {
		step(reportInUse, func(x *node) { x.attached, x.inUse, x.anew, x.stale, x.mount = true, true, false, false, ready })
	}
	if now.inUse && !runs && now.mount == notMounted {
		step(reportUnused, func(x *node) { x.inUse, x.stale = false, false })
	}
	if now.stale && !now.gone {
		step(reportBoot, func(x *node) { x.stale = false })
	}
	if now.attached && !hasPod && !now.inUse {
		step(detach, func(x *node) { x.attached = false })
	}
	if now.attached && !hasPod && now.inUse && m.Force[m.Nodes[n]] {
		step(forceDetach, func(x *node) { x.attached = false })
	}
	if now.gone {
		step(registerNode, func(x *node) { x.gone, x.inUse = false, x.mount != notMounted || x.forced })
		if m.Anew[m.Nodes[n]] {
			step(registerAnew, func(x *node) { x.gone, x.anew = false, true })
		}
		if m.Replace[m.Nodes[n]] {
			step(replaceNode, func(x *node) { x.gone, x.replaced = false, true })
		}
	}
	if now.anew {
		step(firstReport, func(x *node) { x.anew, x.inUse = false, x.mount != notMounted || x.forced })
	}
}

// client is what ceph-csi and krbd do on a node.
func (m *Model) client(s state, n int) {
	now := s.nodes[n]
	runs := m.hasPod(s, n) || now.forced
	switch {
	case now.readdressed:
	case m.Keys && now.mount < resolved:
		m.resolve(s, n)
	case now.mount == resolved && !now.address.effective():
		m.mapImage(s, n)
	case now.mount == ready && m.Coarse[m.Nodes[n]]:
		if !now.address.effective() && !m.watched(s) {
			m.mapImage(s, n)
		}
	case now.mount == ready && !now.address.effective() && !m.watched(s):
		t := s
		t.nodes[n].mount = checked
		m.emit(Step{checkWatchers, int8(n), 0, 0}, t)
	case now.mount == checked && !now.address.effective():
		m.mapImage(s, n)
	}
	if now.mount != notMounted && !runs {
		t := s
		x := &t.nodes[n]
		x.mount, x.watch, x.instance = notMounted, noWatch, noEntry
		if t.lock == uint8(n+1) {
			t.lock = 0
		}
		m.emit(Step{unmap, int8(n), 0, 0}, m.dies(t, n))
	}
	if now.watch == registered && (!m.Heard || now.mount != mapped) && (s.record != 0 || !m.Before || m.Silent) {
		t := s
		t.nodes[n].watch = noWatch
		if now.mount == mapped {
			t.nodes[n].watch = expired
		} else {
			t.nodes[n].moved, t.nodes[n].former = false, noEntry
		}
		m.emit(Step{expireWatch, int8(n), 0, 0}, t)
	}
	if now.watch == expired {
		t := s
		t.nodes[n].watch = registered
		m.emit(Step{registerWatch, int8(n), 0, 0}, t)
	}
	if now.instance == hour && !m.Lasting {
		t := s
		t.nodes[n].instance = noEntry
		m.emit(Step{entryEnds, int8(n), 0, 0}, t)
	}
	if now.address == hour && !m.Lasting {
		t := s
		t.nodes[n].address = noEntry
		m.emit(Step{entryEnds, int8(n), 1, 0}, t)
	}
	if now != now.propagated() {
		t := s
		t.nodes[n] = now.reached()
		m.emit(Step{reachOSDs, int8(n), 0, 0}, t)
	}
}

// mapImage is a new client instance that maps the image.
func (m *Model) mapImage(s state, n int) {
	t := s
	if m.Mapping != NoLock && s.lock != 0 && int(s.lock) != n+1 {
		holder := &t.nodes[s.lock-1]
		switch {
		case holder.watch == registered && m.Mapping == Exclusive:
			return // the holder does not release
		case holder.watch != registered && holder.mount == mapped:
			// The lock is broken, and Ceph puts the holder on the blocklist first.
			holder.instance = holder.instance.added(false).propagated()
			holder.watch = lost
		}
	}
	if m.Mapping != NoLock {
		t.lock = uint8(n + 1)
	}
	x := &t.nodes[n]
	x.mount, x.watch, x.instance, x.moved, x.former = mapped, registered, noEntry, false, noEntry
	m.emit(Step{mapNode, int8(n), 0, 0}, t)
}

// reached is the node when the OSDs have the newest map.
func (x node) reached() node {
	x = x.propagated()
	if x.fenced() {
		x.watch = noWatch
		if x.mount == mapped {
			x.watch = lost
		}
	}
	return x
}

// propagated is the node with the entries that the OSDs have then.
func (x node) propagated() node {
	x.instance, x.address, x.former = x.instance.propagated(), x.address.propagated(), x.former.propagated()
	return x
}

// faults are what happens to nodes.
func (m *Model) faults(s state, n int) {
	now := s.nodes[n]
	if m.Reboot[m.Nodes[n]] && (now.mount != notMounted || now.forced) {
		m.emit(Step{reboot, int8(n), 0, 0}, m.boots(s, n))
	}
	if m.Move[m.Nodes[n]] && !now.moved && (now.mount != notMounted || now.forced || m.hasPod(s, n)) {
		m.emit(Step{bootElsewhere, int8(n), 0, 0}, m.moves(m.boots(s, n), n))
	}
	if m.Readdress[m.Nodes[n]] && !now.readdressed && now.mount == mapped {
		t := m.moves(s, n)
		t.nodes[n].readdressed = true
		m.emit(Step{moveAddress, int8(n), 0, 0}, t)
	}
	if m.Delete[m.Nodes[n]] && !now.gone {
		t := s
		for p := range m.Pods {
			if s.pods[m.Nodes[n]][p] == (pod{phase: bound, node: uint8(n + 1)}) {
				t.pods[m.Nodes[n]][p] = pod{}
				t.nodes[n].forced = true
				t.record = m.ended(t.record, m.Nodes[n], p)
			}
		}
		x := &t.nodes[n]
		x.gone, x.attached, x.inUse, x.anew, x.replaced, x.stale = true, false, false, false, false, false
		m.emit(Step{deleteNode, int8(n), 0, 0}, t)
	}
	if m.Unfence && now.address == years && (m.Without == Rule7Unfence || m.letGo(s, n) == nil) {
		t := s
		t.nodes[n].address = noEntry
		m.emit(Step{unfence, int8(n), 0, 0}, t)
	}
}

// boots is the node after a boot. What it had registered expires.
func (m *Model) boots(s state, n int) state {
	x := &s.nodes[n]
	for p := range m.Pods {
		if pod := &s.pods[m.Nodes[n]][p]; pod.phase == looked && int(pod.node) == n+1 {
			pod.stale = true
		}
	}
	s.record = m.records.rename(s.record, 'o', n, func() map[string]string {
		return map[string]string{m.boot(n, false): m.boot(n, true)}
	})
	x.mount, x.forced, x.instance, x.stale = notMounted, false, noEntry, !x.gone && !x.replaced
	x.confirmed = x.confirmed.after(confirmedBoot, confirmedFormerBoot)
	if x.watch != registered {
		x.watch = noWatch
	}
	return m.dies(s, n)
}

// moves is the node with another address. Its client, if it is alive, goes on as the
// one that it was.
func (m *Model) moves(s state, n int) state {
	s.record = m.records.rename(s.record, 'x', n, func() map[string]string {
		to := map[string]string{m.address(n).String(): m.formerAddress(n).String()}
		for _, dead := range []bool{false, true} {
			to[m.instance(n, dead, false)] = m.instance(n, dead, true)
		}
		return to
	})
	x := &s.nodes[n]
	if x.moved = x.mount == mapped || x.watch == registered; x.moved {
		x.former = x.address
	}
	x.address = noEntry
	for who := range m.Persons {
		machines := &s.persons[who].machines
		*machines = *machines&^(1<<n|1<<(n+earlier)) | *machines>>n&1<<(n+earlier)
	}
	return s
}

// letGo is the proof that package failover asks for before a fence is lifted, when the
// node has rebooted. That is taken for granted here: what a node says it uses has to
// be enough. The API requests that were under way when the image was taken have
// ended by then.
func (m *Model) letGo(s state, n int) error {
	c, now := m.Nodes[n], s.nodes[n]
	fenced := ceph.FencedNode{Cluster: party(c), Node: m.node(n)}
	fenced.Node.BootID = "before"
	sight := failover.Sight{Cluster: party(c), Exists: !now.gone, Node: m.node(n)}
	if now.inUse {
		sight.Uses = append(sight.Uses, "volumesInUse")
	}
	if now.attached {
		sight.Uses = append(sight.Uses, "VolumeAttachment")
	}
	for p := range m.Pods {
		switch s.pods[c][p].phase {
		case claimed, named, taken, admitted, bindingAdmitted:
			return errUnderWay
		case bound:
			sight.Uses = append(sight.Uses, "pod")
		}
	}
	return failover.MayLift(fenced, sight)
}

var errUnderWay = errors.New("an API request for a pod is under way, which is waited for before a fence is lifted")
