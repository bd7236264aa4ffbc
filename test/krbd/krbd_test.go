//go:build krbd

package krbd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/test/krbd/vm/serial"
)

// automaticFence is how long Ceph fences the client whose lock is taken over. It
// is shortened here, to see what happens when it ends; everywhere else it is an
// hour.
const automaticFence = 40

func TestKernelClient(t *testing.T) {
	w := newWorld(t)
	_, err := w.ceph.Run(t.Context(), "config", "set", "mon", "mon_osd_blocklist_default_expire", strconv.Itoa(automaticFence))
	must(t, err)
	// Side by side, each with machines of its own: most of their time they wait
	// for Ceph's timeouts.
	for number, test := range []struct {
		name string
		test func(t *testing.T, w *world, holder, newcomer *machine)
	}{
		{"holders that are alive", inTurns},
		{"a killed holder", killedHolder},
		{"a holder that was cut off", cutHolder},
		{"a frozen holder", frozenHolder},
		{"names are keys", namesAreKeys},
		{"one machine each", oneMachineEach},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first := 11 + 2*number
			machines := w.start(t, first, first+1)
			test.test(t, w, machines[0], machines[1])
		})
	}
}

// The uses that follow each other on one pair of machines.
func inTurns(t *testing.T, w *world, holder, newcomer *machine) {
	for name, test := range map[string]func(t *testing.T, w *world, holder, newcomer *machine){
		"a filesystem goes from machine to machine": filesystem,
		"a filesystem grows while it is mounted":    mountedGrows,
		"who maps exclusively excludes all others":  excludes,
		"who does not gives way to one who does":    givesWay,
	} {
		t.Run(name, func(t *testing.T) { test(t, w, holder, newcomer) })
	}
}

// The uses of a single machine.
func oneMachineEach(t *testing.T, w *world, first, second *machine) {
	for _, test := range []struct {
		name    string
		test    func(t *testing.T, w *world, holder *machine)
		machine *machine
	}{
		{"private clients", privateClients, first},
		{"renames that die", dyingRenames, second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.test(t, w, test.machine)
			// What is left of it would try to write until the other one is done.
			must(t, test.machine.Kill())
		})
	}
}

// fill makes a filesystem with some files, and prints their sums.
const fill = `
	mkfs.ext4 -q %[1]s
	mount %[1]s /mnt
	for i in 1 2 3 4 5; do dd if=/dev/urandom of=/mnt/$i bs=64k count=16 2>/dev/null; done
	sync
	cd /mnt; sha256sum [0-9]`

func filesystem(t *testing.T, w *world, holder, newcomer *machine) {
	spec := w.create(t, "filesystem")
	first := holder.mapImage(t, spec, exclusive)
	sums := holder.run(t, fmt.Sprintf(fill, first.path)+"; cd /; umount /mnt")
	first.unmap(t)
	w.wantWatchers(t, spec)

	second := newcomer.mapImage(t, spec, exclusive)
	w.wantWatchers(t, spec, second.addr)
	if got := newcomer.run(t, fmt.Sprintf("mount %[1]s /mnt; cd /mnt; sha256sum [0-9]; cd /; umount /mnt; e2fsck -fn %[1]s >/dev/null 2>&1", second.path)); got != sums {
		t.Errorf("the files are\n%s\nand were\n%s", got, sums)
	}
	second.unmap(t)
}

// What a node does when the capacity of a PersistentVolume was raised: the kernel has noticed that
// the image has grown, and resize2fs, which ceph-csi calls then, grows what is mounted. A file that
// is open all the time is written on.
func mountedGrows(t *testing.T, w *world, holder, _ *machine) {
	spec := w.create(t, "grows")
	held := holder.mapImage(t, spec, plain)
	sums := holder.run(t, fmt.Sprintf(fill, held.path))
	kilobytes := func() int {
		t.Helper()
		n, err := strconv.Atoi(holder.run(t, "df -k /mnt | tail -1 | awk '{print $2}'"))
		must(t, err)
		return n
	}
	before := kilobytes()
	must(t, w.operator.GrowImage(t.Context(), spec, 128<<20))
	eventually(t, atOnce, "the kernel notices that the image has grown", func() error {
		if size := holder.run(t, "blockdev --getsize64 "+held.path); size != strconv.Itoa(128<<20) {
			return fmt.Errorf("it sees %s bytes", size)
		}
		return nil
	})
	if now := kilobytes(); now != before {
		t.Errorf("the filesystem had %d KiB and has %d before anybody grew it", before, now)
	}
	holder.run(t, fmt.Sprintf("exec 3>/mnt/open; echo a >&3; resize2fs %s >/dev/null 2>&1; echo b >&3; exec 3>&-; sync", held.path))
	if now := kilobytes(); now < 100<<10 || before > 70<<10 {
		t.Errorf("the filesystem had %d KiB and has %d, of an image of 128 MiB that had 64", before, now)
	}
	if open := holder.run(t, "tr -d '\\n' </mnt/open"); open != "ab" {
		t.Errorf("the file that was open has %q", open)
	}
	if got := holder.run(t, fmt.Sprintf("cd /mnt; sha256sum [0-9]; cd /; umount /mnt; e2fsck -fn %s >/dev/null 2>&1", held.path)); got != sums {
		t.Errorf("the files are\n%s\nand were\n%s", got, sums)
	}
	held.unmap(t)
}

func excludes(t *testing.T, w *world, holder, newcomer *machine) {
	spec := w.create(t, "exclusive")
	held := holder.mapImage(t, spec, exclusive)
	held.write(t)
	for _, options := range []string{exclusive, plain} {
		_, err := newcomer.try(t.Context(), atOnce, w.ceph.Node, spec, options)
		if err == nil || !strings.Contains(err.Error(), "Read-only file system") {
			t.Errorf("mapped with %q beside an exclusive holder: %v", options, err)
		}
		w.wantWatchers(t, spec, held.addr)
	}
	if !strings.HasPrefix(held.addr, holder.Address+":0/") {
		t.Errorf("%s says that its client is %s", holder.Address, held.addr)
	}
	if err := w.operator.GrowImage(t.Context(), spec, 128<<20); !errors.Is(err, ceph.ErrImageLocked) {
		t.Errorf("grow: %v; want %v", err, ceph.ErrImageLocked)
	}
	w.grow(t, spec, provision.Result{ClaimSize: 128 << 20, Exclusive: true, Deferred: true}, 128<<20)
	if out, err := w.ceph.RBD(t.Context(), "snap", "create", spec.String()+"@backup"); err == nil || !strings.Contains(err.Error(), "Read-only file system") {
		t.Errorf("a snapshot of what is mapped exclusively: %s, %v", out, err)
	}
	if entry, fenced := w.entry(t, held.addr); fenced {
		t.Errorf("the holder is on the blocklist: %v", entry)
	}
	before := held.writing(t)
	if after := held.await(t, "writes on", func(s serial.Writing) bool { return s.Written > before.Written }); after.Failed != 0 {
		t.Errorf("the holder's writes: %+v", after)
	}
	held.stop(t)
	held.unmap(t)
	w.grow(t, spec, provision.Result{ClaimSize: 128 << 20, Exclusive: true, Grown: true}, 0)

	next := newcomer.mapImage(t, spec, exclusive)
	if size := newcomer.run(t, "blockdev --getsize64 "+next.path); size != strconv.Itoa(128<<20) {
		t.Errorf("the kernel sees %s bytes", size)
	}
	next.write(t)
	next.stop(t)
	next.unmap(t)
	w.wantOneAfterTheOther(t, spec, holder, newcomer)
}

// grow makes the image larger, as for a claim that adopts it: at once, or its record
// says to.
func (w *world) grow(t *testing.T, spec ceph.ImageSpec, want provision.Result, wish uint64) {
	t.Helper()
	yes := true
	got := provision.Ensure(t.Context(), []provision.Request{{
		Volume: provision.Image{Cluster: w.operator, ImageSpec: spec}, Size: 128 << 20, Adopt: true, Exclusive: &yes,
	}})
	if diff := cmp.Diff([]provision.Result{want}, got, cmpopts.IgnoreFields(provision.Result{}, "Features")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	image, err := w.operator.Image(t.Context(), spec)
	must(t, err)
	record, err := w.operator.Record(t.Context(), image)
	must(t, err)
	if record.GrowTo != wish || !record.Exclusive {
		t.Errorf("the record is %+v, want one to grow to %d", record, wish)
	}
}

// Why the option must be there at every mapping of an image, from the first day:
// one who maps without it loses the device, alive, to the first who maps with it.
// And gets it back when that one unmaps, and goes on from what it remembers.
func givesWay(t *testing.T, w *world, holder, newcomer *machine) {
	spec := w.create(t, "default")
	held := holder.mapImage(t, spec, plain)
	held.write(t)
	must(t, w.operator.GrowImage(t.Context(), spec, 128<<20))
	eventually(t, atOnce, "the kernel notices that the image has grown", func() error {
		if size := holder.run(t, "blockdev --getsize64 "+held.path); size != strconv.Itoa(128<<20) {
			return fmt.Errorf("it sees %s bytes", size)
		}
		return nil
	})
	next := newcomer.mapImage(t, spec, exclusive)
	next.write(t)
	held.fails(t)
	w.wantWatchers(t, spec, held.addr, next.addr)
	next.stop(t)
	w.wantOneAfterTheOther(t, spec, holder, newcomer)
	next.unmap(t)

	before := held.writing(t)
	held.await(t, "writes again", func(s serial.Writing) bool { return s.Written > before.Written })
	held.stop(t)
	held.unmap(t)
	w.wantTwoAtATime(t, spec, holder)
}
