//go:build krbd

package krbd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// privateClients shows on one machine what noshare is for: a fence of the client that
// has an image cuts off that mapping, and nothing else.
func privateClients(t *testing.T, w *world, holder *machine) {
	t.Run("a dead device that is still mounted", func(t *testing.T) { deadDevice(t, w, holder) })
	t.Run("a fence hits one volume", func(t *testing.T) { fenceHitsOne(t, w, holder) })
	// It leaves a machine that cannot map anything.
	t.Run("without noshare it hits all", func(t *testing.T) { fenceHitsAll(t, w, holder) })
}

// fence fences the device's client as a failover does.
func (w *world) fence(t *testing.T, spec ceph.ImageSpec, d *device) {
	t.Helper()
	must(t, w.operator.Blocklist(t.Context(), []string{d.addr}, ceph.MaxFence))
	must(t, w.operator.Barrier(t.Context(), spec))
	w.wantWatchers(t, spec)
}

func fenceHitsOne(t *testing.T, w *world, holder *machine) {
	lost, neighbour, free := w.create(t, "one-lost"), w.create(t, "one-neighbour"), w.create(t, "one-free")
	dead, alive := holder.mapImage(t, lost, private+exclusive), holder.mapImage(t, neighbour, private+exclusive)
	dead.write(t)
	alive.write(t)
	w.fence(t, lost, dead)
	dead.fails(t)
	alive.writesOn(t)

	another := holder.mapImage(t, free, private+exclusive)
	another.write(t)
	dead.stop(t)
	dead.unmap(t)
	again := holder.mapImage(t, lost, private+exclusive)
	again.write(t)
	w.wantFencedForGood(t, dead)
	for _, d := range []*device{again, alive, another} {
		d.writesOn(t)
		d.stop(t)
		d.unmap(t)
	}
	for _, spec := range []ceph.ImageSpec{lost, neighbour, free} {
		if err := w.stamps(t, spec).Check(); err != nil {
			t.Errorf("stamps in %s: %v", spec, err)
		}
	}
}

func fenceHitsAll(t *testing.T, w *world, holder *machine) {
	lost, neighbour, free := w.create(t, "all-lost"), w.create(t, "all-neighbour"), w.create(t, "all-free")
	dead, cutOff := holder.mapImage(t, lost, exclusive), holder.mapImage(t, neighbour, exclusive)
	dead.write(t)
	cutOff.write(t)
	w.fence(t, lost, dead)
	dead.fails(t)
	cutOff.fails(t)
	if d, err := holder.try(t.Context(), atOnce, w.ceph.Node, free, exclusive); err == nil || !strings.Contains(err.Error(), "transport endpoint shutdown") {
		t.Errorf("mapped a free image: %v, %v", d, err)
	}
}

// deadDevice shows what a machine has after a fence when somebody still has a file open:
// the device stays, under the image's name, beside the one of a new map. Who looks for
// the image's device by its name, as ceph-csi does, finds the dead one.
func deadDevice(t *testing.T, w *world, holder *machine) {
	spec := w.create(t, "mounted")
	dead := holder.mapImage(t, spec, private+exclusive)
	sums := holder.run(t, fmt.Sprintf(fill, dead.path))
	holder.start(t, "/tmp/reader", "sleep 1000 </mnt/1")
	w.fence(t, spec, dead)

	devices := func() string {
		return holder.run(t, `for d in /sys/bus/rbd/devices/*; do [ $(cat $d/name) != mounted ] || echo /dev/rbd$(basename $d); done`)
	}
	if out, err := holder.Run(t.Context(), atOnce, "echo new >/mnt/new && sync /mnt/new"); err == nil {
		t.Errorf("a file was written: %s", out)
	}
	if out, err := holder.Run(t.Context(), atOnce, dead.removal()); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("the device was unmapped while it was mounted: %s, %v", out, err)
	}
	next := holder.mapImage(t, spec, private+exclusive)
	if got := devices(); got != dead.path+"\n"+next.path {
		t.Errorf("the devices of %s are %s", spec, got)
	}
	if out := holder.run(t, "grep /mnt /proc/mounts"); !strings.HasPrefix(out, dead.path+" ") {
		t.Errorf("mounted is %s", out)
	}

	// The way out: end who has it open, and unmount.
	holder.end(t, "/tmp/reader")
	holder.run(t, "umount /mnt")
	dead.unmap(t)
	if got := devices(); got != next.path {
		t.Errorf("the devices of %s are %s", spec, got)
	}
	if got := holder.run(t, fmt.Sprintf("mount %[1]s /mnt; cd /mnt; sha256sum [0-9]; cd /; umount /mnt; e2fsck -fn %[1]s >/dev/null 2>&1", next.path)); got != sums {
		t.Errorf("the files are\n%s\nand were\n%s", got, sums)
	}
	next.unmap(t)
	w.wantFencedForGood(t, dead)
}
