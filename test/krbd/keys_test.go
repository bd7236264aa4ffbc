//go:build krbd

package krbd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/krbd/vm/serial"
)

// The name of an image says whose it is: cluster east, to which holder belongs, maps it
// as "<base>~east", and cluster west, with newcomer, as "<base>~west".
func namesAreKeys(t *testing.T, w *world, holder, newcomer *machine) {
	for _, test := range []struct {
		name string
		test func(t *testing.T, w *world, holder, newcomer *machine)
	}{
		{"a frozen holder is fenced before the rename", fencedBeforeRename},
		{"a map that found the old name gets in after the rename", lateMap},
		{"it gets the lock before the owner", lateMapFirst},
		{"an exclusive owner keeps it out", lateMapRefused},
		{"the old name leads nowhere", oldName},
	} {
		t.Run(test.name, func(t *testing.T) { test.test(t, w, holder, newcomer) })
	}
}

// rename gives the image that name alone. A live holder that is slow to answer is asked
// again.
func (w *world) rename(t *testing.T, spec ceph.ImageSpec, name string, others ...string) ceph.ImageSpec {
	t.Helper()
	image, err := w.operator.Image(t.Context(), spec)
	must(t, err)
	var renamed ceph.Image
	eventually(t, takeover, fmt.Sprintf("%s is renamed to %s", spec, name), func() (err error) {
		renamed, err = w.operator.RenameImage(t.Context(), image, name, others...)
		return err
	})
	w.wantNames(t, image, name, append(others, spec.Name)...)
	return renamed.ImageSpec
}

// wantNames checks that this name leads to the image, and that none of others does.
func (w *world) wantNames(t *testing.T, image ceph.Image, name string, others ...string) {
	t.Helper()
	names, err := w.operator.ImageNames(t.Context(), image, append(others, name)...)
	must(t, err)
	if len(names) != 1 || names[0] != name {
		t.Errorf("the names of image %s are %q; want %q", image.ID, names, name)
	}
}

// findsNothing checks that a machine that maps an image by a name that it no longer has
// is told that there is none.
func (m *machine) findsNothing(t *testing.T, spec ceph.ImageSpec) {
	t.Helper()
	for _, options := range []string{private, private + exclusive} {
		d, err := m.try(t.Context(), atOnce, m.world.ceph.Node, spec, options)
		if err == nil || !strings.Contains(err.Error(), "No such file or directory") {
			t.Errorf("%s mapped %s with %q: %v, %v", m.Name, spec, options, d, err)
		}
	}
}

// writesOn waits for further stamps, and checks that no write has failed since the
// writing began.
func (d *device) writesOn(t *testing.T) {
	t.Helper()
	before := d.writing(t)
	after := d.await(t, "writes on", func(s serial.Writing) bool { return s.Written >= before.Written+10 })
	if after.Failed != 0 {
		t.Errorf("%s of %s: %+v", d.path, d.machine.Name, after)
	}
}

func oldName(t *testing.T, w *world, holder, newcomer *machine) {
	east := w.create(t, "old-name~east")
	held := holder.mapImage(t, east, private)
	held.write(t)
	west := w.rename(t, east, "old-name~west")
	held.writesOn(t)
	w.wantWatchers(t, west, held.addr)
	holder.findsNothing(t, east)
	newcomer.findsNothing(t, east)

	must(t, holder.Reboot(t.Context()))
	holder.findsNothing(t, east)
	// A map takes the lock, and would wait until the client that died is no watcher.
	must(t, w.operator.Blocklist(t.Context(), []string{held.addr}, ceph.MaxFence))
	next := newcomer.mapImage(t, west, private)
	next.write(t)
	next.writesOn(t)
	w.wantOneAfterTheOther(t, west, holder, newcomer)
	// Back with its owner, the image opens again for the machine that was rebooted.
	next.stop(t)
	next.unmap(t)
	w.rename(t, west, east.Name)
	newcomer.findsNothing(t, west)
	holder.mapImage(t, east, private).unmap(t)
}

// A failover: a rename does not take the lock from a holder, alive or not. It works at
// once when that was fenced, and leaves the long entry as it is.
func fencedBeforeRename(t *testing.T, w *world, holder, newcomer *machine) {
	east := w.create(t, "frozen~east")
	held := holder.mapImage(t, east, private+exclusive)
	held.write(t)
	image, err := w.operator.Image(t.Context(), east)
	must(t, err)
	refused := func(answers bool) {
		t.Helper()
		w.wantLockHolder(t, east, held, answers)
		eventually(t, takeover, fmt.Sprintf("a LockedError of %s, which answers: %t", held.addr, answers), func() error {
			_, err := w.operator.RenameImage(t.Context(), image, "frozen~west")
			var locked *ceph.LockedError
			if errors.As(err, &locked) && locked.Addr == held.addr && locked.Answers == answers {
				return nil
			}
			return fmt.Errorf("rename: %w", err)
		})
		w.wantNames(t, image, east.Name, "frozen~west")
		if entry, fenced := w.entry(t, held.addr); fenced {
			t.Errorf("the holder was fenced by a rename: %v", entry)
		}
		// The refusal came before the watch of a dead holder ends, and so before
		// librbd would have broken the lock.
		w.wantWatchers(t, east, held.addr)
	}
	refused(true)
	held.writesOn(t)

	must(t, holder.Freeze())
	refused(false)
	must(t, w.operator.Blocklist(t.Context(), []string{held.addr}, ceph.MaxFence))
	must(t, w.operator.Barrier(t.Context(), east))
	renamed, err := w.operator.RenameImage(t.Context(), image, "frozen~west")
	must(t, err)
	west := renamed.ImageSpec
	w.wantNames(t, image, west.Name, east.Name)
	w.wantWatchers(t, west)
	w.wantFencedForGood(t, held)
	free, err := w.operator.LockHolder(t.Context(), west)
	if err != nil || free != nil {
		t.Errorf("the lock of %s: %v, %v", west, free, err)
	}

	next := newcomer.mapImage(t, west, private+exclusive)
	next.write(t)
	must(t, holder.Thaw())
	held.fails(t)
	next.writesOn(t)
	w.wantWatchers(t, west, next.addr)
	holder.findsNothing(t, east)
	next.stop(t)
	w.wantOneAfterTheOther(t, west, holder, newcomer)
	w.wantFencedForGood(t, held)
	next.unmap(t)
	held.stop(t)
	held.unmap(t)
}

// wantLockHolder checks who has the image's lock. A machine that is alive may be slow to
// answer: it is emulated.
func (w *world) wantLockHolder(t *testing.T, spec ceph.ImageSpec, d *device, answers bool) {
	t.Helper()
	eventually(t, atOnce, fmt.Sprintf("%s has the lock of %s, and answers: %t", d.addr, spec, answers), func() error {
		locked, err := w.operator.LockHolder(t.Context(), spec)
		if err == nil && (locked == nil || locked.Addr != d.addr || locked.Answers != answers) {
			err = fmt.Errorf("it is %v", locked)
		}
		return err
	})
}

// wantFencedForGood checks that the client's entry is not the one of an hour that Ceph
// makes by itself.
func (w *world) wantFencedForGood(t *testing.T, d *device) {
	t.Helper()
	if entry, fenced := w.entry(t, d.addr); !fenced || time.Until(entry.Until) < years {
		t.Errorf("%s is fenced: %t, until %v", d.addr, fenced, entry.Until)
	}
}

// pending is a map on its way: it has found the image by its name, and its watch has
// not left the machine.
type pending struct {
	machine *machine
	spec    ceph.ImageSpec
}

const pendingLog = "/tmp/pending"

// mapAndStopMidway maps an image, and cuts the machine off between the answer to the
// image's name and the watch. What leaves the machine is delayed, so that there is time
// for that. When the watch has left all the same, it is tried again.
func (m *machine) mapAndStopMidway(t *testing.T, spec ceph.ImageSpec, options string) pending {
	t.Helper()
	image, err := m.world.operator.Image(t.Context(), spec)
	must(t, err)
	const tries = 8
	for try := range tries {
		_, err := m.Run(t.Context(), takeover, fmt.Sprintf(`
			rm -f %[3]s
			/bin/tc qdisc add dev eth0 root netem delay 300ms
			{ set +e; (set -e; %[2]s; echo mapped); echo ended; } >%[3]s 2>&1 &
			until grep -qs 'rbd_header\.%[1]s.*watch-watch' /sys/kernel/debug/ceph/*/osdc || [ -s %[3]s ]; do sleep 0.05; done
			ip link set dev eth0 down
			/bin/tc qdisc del dev eth0 root`, image.ID, m.world.add(m.world.ceph.Node, spec, options), pendingLog))
		must(t, err)
		p := pending{m, spec}
		watchers, err := m.world.operator.Watchers(t.Context(), spec)
		must(t, err)
		if len(watchers) == 0 {
			t.Logf("try %d: %s knows the image, and does not watch it yet", try+1, m.Name)
			return p
		}
		p.arrives(t).unmap(t)
	}
	t.Fatalf("in none of %d tries the watch was stopped on its way", tries)
	return pending{}
}

// goesOn lets the map go on, and returns what it says at its end.
func (p pending) goesOn(t *testing.T) string {
	t.Helper()
	p.machine.run(t, "ip link set dev eth0 up")
	var said string
	eventually(t, takeover, "the map ends", func() (err error) {
		said, err = p.machine.Run(t.Context(), atOnce, "grep -q ended "+pendingLog+"; cat "+pendingLog)
		return err
	})
	return said
}

// arrives lets the map go on, which gets the device.
func (p pending) arrives(t *testing.T) *device {
	t.Helper()
	said, ok := strings.CutSuffix(p.goesOn(t), "mapped\nended")
	path, addr, _ := strings.Cut(strings.TrimSpace(said), " ")
	if !ok || addr == "" {
		t.Fatalf("the map of %s on %s: %s", p.spec, p.machine.Name, said)
	}
	return &device{p.machine, path, addr}
}

// A rename stops who comes later, not who is on the way. Who looks at the watchers
// right after it sees nobody. Who looks again finds him, and can fence him.
func lateMap(t *testing.T, w *world, holder, newcomer *machine) {
	east := w.create(t, "late~east")
	midway := holder.mapAndStopMidway(t, east, private)
	west := w.rename(t, east, "late~west")
	w.wantWatchers(t, west)
	next := newcomer.mapImage(t, west, private)
	next.write(t)
	w.wantWatchers(t, west, next.addr)

	late := midway.arrives(t)
	w.wantWatchers(t, west, late.addr, next.addr)
	// He is no harmless watcher: he writes behind the owner's back.
	late.write(t)
	must(t, w.operator.Blocklist(t.Context(), []string{late.addr}, ceph.MaxFence))
	must(t, w.operator.Barrier(t.Context(), west))
	w.wantWatchers(t, west, next.addr)
	late.fails(t)
	before := late.writing(t)
	next.writesOn(t)
	if after := late.writing(t); after.Written != before.Written {
		t.Errorf("%d stamps were written behind the fence", after.Written-before.Written)
	}
	w.wantTwoAtATime(t, west, holder)
	holder.findsNothing(t, east)
	w.wantFencedForGood(t, late)
	for _, d := range []*device{late, next} {
		d.stop(t)
		d.unmap(t)
	}
}

// The option exclusive alone does not stop a map on its way that gets the lock first: the
// owner cannot map, and finds out who has the lock.
func lateMapFirst(t *testing.T, w *world, holder, newcomer *machine) {
	east := w.create(t, "first~east")
	midway := holder.mapAndStopMidway(t, east, private+exclusive)
	west := w.rename(t, east, "first~west")
	w.wantWatchers(t, west)
	late := midway.arrives(t)
	late.write(t)
	if d, err := newcomer.try(t.Context(), atOnce, w.ceph.Node, west, private+exclusive); err == nil || !strings.Contains(err.Error(), "Read-only file system") {
		t.Errorf("the owner mapped %s: %v, %v", west, d, err)
	}
	w.wantLockHolder(t, west, late, true)
	w.fence(t, west, late)
	next := newcomer.mapImage(t, west, private+exclusive)
	next.write(t)
	late.fails(t)
	next.writesOn(t)
	w.wantOneAfterTheOther(t, west, holder, newcomer)
	w.wantFencedForGood(t, late)
	for _, d := range []*device{late, next} {
		d.stop(t)
		d.unmap(t)
	}
}

// The same map is refused by Ceph when the owner has the lock.
func lateMapRefused(t *testing.T, w *world, holder, newcomer *machine) {
	for name, options := range map[string]string{"late-exclusive": private + exclusive, "late-plain": private} {
		east := w.create(t, name+"~east")
		midway := holder.mapAndStopMidway(t, east, options)
		west := w.rename(t, east, name+"~west")
		next := newcomer.mapImage(t, west, private+exclusive)
		next.write(t)
		if said := midway.goesOn(t); !strings.Contains(said, "Read-only file system") || strings.Contains(said, "mapped") {
			t.Errorf("the map with %q: %s", options, said)
		}
		w.wantWatchers(t, west, next.addr)
		next.writesOn(t)
		next.stop(t)
		next.unmap(t)
		log := w.stamps(t, west)
		if err := log.Check(); err != nil {
			t.Error(err)
		}
		if runs := log.Runs(); len(runs) != 1 || runs[0].Node != newcomer.Name {
			t.Errorf("who wrote into %s: %v", west, runs)
		}
	}
}
