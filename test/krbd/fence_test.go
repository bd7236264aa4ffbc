//go:build krbd

package krbd

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/krbd/vm/serial"
)

const years = 10 * 365 * 24 * time.Hour

// takesOver maps the image of a holder that does not answer, and checks that this
// is fenced when it is mapped: so before the newcomer can have written anything.
func (m *machine) takesOver(t *testing.T, spec ceph.ImageSpec, from *device) *device {
	t.Helper()
	next, err := m.try(t.Context(), takeover, m.world.ceph.Node, spec, exclusive)
	must(t, err)
	if _, fenced := m.world.entry(t, from.addr); !fenced {
		t.Errorf("%s is mapped, and %s is not on the blocklist", spec, from.addr)
	}
	m.world.wantWatchers(t, spec, next.addr)
	return next
}

func killedHolder(t *testing.T, w *world, holder, newcomer *machine) {
	spec := w.create(t, "killed")
	held := holder.mapImage(t, spec, exclusive)
	sums := holder.run(t, fmt.Sprintf(fill, held.path))
	must(t, holder.Kill())
	w.wantWatchers(t, spec, held.addr)

	next := newcomer.takesOver(t, spec, held)
	// The filesystem was not unmounted.
	if got := newcomer.run(t, fmt.Sprintf("mount %[1]s /mnt; cd /mnt; sha256sum [0-9]; cd /; umount /mnt; e2fsck -fn %[1]s >/dev/null 2>&1", next.path)); got != sums {
		t.Errorf("the files are\n%s\nand were\n%s", got, sums)
	}
}

// cutHolder loses the network, and is fenced, and comes back. The entry is a short
// one, as Ceph itself makes it, and is prolonged while the client tries to write.
func cutHolder(t *testing.T, w *world, holder, newcomer *machine) {
	spec := w.create(t, "cut")
	held := holder.mapImage(t, spec, exclusive)
	held.write(t)
	must(t, holder.Cut(t.Context()))
	w.wantWatchers(t, spec, held.addr)
	must(t, w.operator.Blocklist(t.Context(), []string{held.addr}, time.Hour))
	must(t, w.operator.Barrier(t.Context(), spec))
	w.wantWatchers(t, spec)
	next := newcomer.mapImage(t, spec, exclusive)
	next.write(t)
	must(t, holder.Heal(t.Context()))
	held.fails(t)
	w.wantWatchers(t, spec, next.addr)

	before, all := held.writing(t), holder.Address+":0/0"
	if err := w.operator.Blocklist(t.Context(), []string{held.addr}, years); !errors.Is(err, ceph.ErrFenceShort) {
		t.Errorf("prolong the entry of a client that tries to write: %v; want %v", err, ceph.ErrFenceShort)
	}
	must(t, w.operator.Blocklist(t.Context(), []string{all}, time.Hour))
	for lasting := 4 * time.Hour; lasting < years; lasting *= 8 {
		must(t, w.operator.Blocklist(t.Context(), []string{held.addr}, lasting))
		if entry, _ := w.entry(t, held.addr); time.Until(entry.Until) < lasting/2 {
			t.Errorf("the entry lasts until %v; want %v", entry.Until, lasting)
		}
	}
	must(t, w.operator.Unblocklist(t.Context(), []string{all}))
	held.fails(t)
	if after := held.writing(t); after.Written != before.Written {
		t.Errorf("%d stamps were written while the entry was prolonged", after.Written-before.Written)
	}
	next.stop(t)
	w.wantOneAfterTheOther(t, spec, holder, newcomer)
}

// frozenHolder has two images on one machine, each with a client instance of its
// own, because each is mapped by another user. While the machine is frozen, one
// instance is fenced for years, as a failover does it. The other one only gets the
// entry that Ceph makes when its lock is taken over.
//
// When that entry has ended, the machine that was revived writes into the other
// image, beside the new holder, and no watcher shows it. It never writes into the
// first.
func frozenHolder(t *testing.T, w *world, holder, newcomer *machine) {
	forLong, forShort := w.create(t, "fenced-for-years"), w.create(t, "fenced-by-ceph")
	long := holder.mapImage(t, forLong, exclusive)
	short, err := holder.try(t.Context(), atOnce, w.ceph.Provisioner, forShort, exclusive)
	must(t, err)
	if long.addr == short.addr {
		t.Fatalf("both images have client instance %s", long.addr)
	}
	long.write(t)
	short.write(t)
	must(t, holder.Freeze())
	// Who only wants to grow the image must not be the one who fences.
	if err := w.operator.GrowImage(t.Context(), forShort, 128<<20); !errors.Is(err, ceph.ErrImageLocked) {
		t.Errorf("grow: %v; want %v", err, ceph.ErrImageLocked)
	}
	if _, fenced := w.entry(t, short.addr); fenced {
		t.Errorf("%s was fenced", short.addr)
	}

	must(t, w.operator.Blocklist(t.Context(), []string{long.addr}, years))
	must(t, w.operator.Barrier(t.Context(), forLong))
	w.wantWatchers(t, forLong)
	w.wantWatchers(t, forShort, short.addr)
	// Nothing has to be waited for, and the long entry stays.
	nextLong := newcomer.mapImage(t, forLong, exclusive)
	nextLong.write(t)
	if entry, _ := w.entry(t, long.addr); time.Until(entry.Until) < years/2 {
		t.Errorf("%s is fenced until %v only", long.addr, entry.Until)
	}
	nextShort := newcomer.takesOver(t, forShort, short)
	nextShort.write(t)

	must(t, holder.Thaw())
	long.fails(t)
	short.fails(t)
	w.wantOneAfterTheOther(t, forLong, holder, newcomer)
	w.wantOneAfterTheOther(t, forShort, holder, newcomer)

	eventually(t, 2*automaticFence*time.Second, "the automatic entry ends", func() error {
		if entry, fenced := w.entry(t, short.addr); fenced {
			return fmt.Errorf("it lasts until %v", entry.Until)
		}
		return nil
	})
	before := short.writing(t)
	short.await(t, "writes again", func(s serial.Writing) bool { return s.Written >= before.Written+5 })
	w.wantWatchers(t, forShort, nextShort.addr)
	w.wantTwoAtATime(t, forShort, holder)

	long.fails(t)
	nextLong.stop(t)
	w.wantOneAfterTheOther(t, forLong, holder, newcomer)
}
