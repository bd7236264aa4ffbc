//go:build krbd

package krbd

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/test/krbd/vm"
	"github.com/cephferry/cephferry/test/krbd/vm/serial"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

const (
	// atOnce bounds what waits for nobody. It is far from the 25 s after which a
	// dead client's watch ends at the earliest, and large for a busy machine.
	atOnce = 15 * time.Second
	// unhurried bounds what only has to end. The machines are emulated, and a busy host
	// leaves them little.
	unhurried = 2 * time.Minute
	// takeover bounds what waits for that.
	takeover = time.Minute
	poll     = 50 * time.Millisecond
)

// world is what the tests share.
type world struct {
	ceph    *lab.Ceph
	network *lab.Network
	image   *vm.Image
	// operator is a connection of the person who fails over.
	operator ceph.Cluster
}

func newWorld(t *testing.T) *world {
	t.Helper()
	kernel := os.Getenv("CEPHFERRY_KERNEL")
	if kernel == "" {
		t.Fatal("CEPHFERRY_KERNEL is not set; start this through `make test-krbd`")
	}
	guest, err := lab.Tools(os.Getenv(lab.ToolsVariable)).Find("krbd-guest")
	must(t, err)
	w := &world{}
	w.image, err = vm.Build(t.TempDir(), kernel, guest)
	must(t, err)
	w.ceph, w.network = labtest.CephInNetwork(t)
	must(t, w.image.Boot(t.Context(), w.network, 10))
	w.operator, err = goceph.Dial(t.Context(), goceph.Config{ConfFile: w.ceph.ConfFile})
	must(t, err)
	t.Cleanup(func() { must(t, w.operator.Close()) })
	return w
}

// create makes an image as postrender does for a class with krbd's usual features.
func (w *world) create(t *testing.T, name string) ceph.ImageSpec {
	t.Helper()
	spec := ceph.ImageSpec{Pool: lab.Pool, Name: name}
	_, err := w.operator.CreateImage(t.Context(), spec, ceph.Layout{
		Size: 64 << 20, Features: []string{"layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"},
	})
	must(t, err)
	return spec
}

// start starts machines.
func (w *world) start(t *testing.T, numbers ...int) []*machine {
	t.Helper()
	var machines []*machine
	dir := t.TempDir()
	for _, number := range numbers {
		started, err := vm.Start(t.Context(), w.image, w.network, fmt.Sprintf("machine-%d", number), number, dir)
		must(t, err)
		t.Cleanup(func() { must(t, started.Stop()) })
		machines = append(machines, &machine{started, w})
	}
	return machines
}

// machine is a virtual machine with the kernel client.
type machine struct {
	*vm.VM
	world *world
}

// device is a mapped image.
type device struct {
	machine *machine
	// path is in /dev.
	path string
	// addr is the client instance's.
	addr string
}

// The options of a mapping.
const (
	exclusive = ",exclusive"
	// private makes the mapping a client of its own.
	private = ",noshare"
	plain   = ""
)

// run runs a script that waits for nobody.
func (m *machine) run(t *testing.T, script string) string {
	t.Helper()
	out, err := m.Run(t.Context(), unhurried, script)
	must(t, err)
	return out
}

// try maps an image. Maps of one machine by one user share a client instance, unless
// they are private.
func (m *machine) try(ctx context.Context, limit time.Duration, user lab.User, spec ceph.ImageSpec, options string) (*device, error) {
	out, err := m.Run(ctx, limit, m.world.add(user, spec, options))
	if err != nil {
		return nil, err
	}
	path, addr, _ := strings.Cut(out, " ")
	return &device{m, path, addr}, nil
}

// add is a script that maps an image and prints what it has become.
func (w *world) add(user lab.User, spec ceph.ImageSpec, options string) string {
	return fmt.Sprintf(`
		known=" $(echo $(ls /sys/bus/rbd/devices)) "
		echo "%[1]s name=%[2]s,secret=%[3]s,ms_mode=crc%[4]s %[5]s %[6]s" >/sys/bus/rbd/add_single_major
		for device in /sys/bus/rbd/devices/*; do
			number=$(basename $device)
			if [ $(cat $device/name) = %[6]s ] && [ "${known#* $number }" = "$known" ]; then
				echo /dev/rbd$number $(cat $device/client_addr)
			fi
		done`,
		strings.Join(w.ceph.Monitors, ","), user.ID, user.Key, options, spec.Pool, spec.Name)
}

// mapImage maps an image that nobody else has.
func (m *machine) mapImage(t *testing.T, spec ceph.ImageSpec, options string) *device {
	t.Helper()
	d, err := m.try(t.Context(), atOnce, m.world.ceph.Node, spec, options)
	must(t, err)
	return d
}

func (d *device) unmap(t *testing.T) {
	t.Helper()
	d.machine.run(t, d.removal())
}

// start starts a command that goes on until end is called with the same name.
func (m *machine) start(t *testing.T, name, command string) {
	t.Helper()
	m.run(t, fmt.Sprintf("{ %s & echo $! >%[2]s.pid; wait $! || true; rm %[2]s.pid; } >/dev/null 2>&1 &\nuntil [ -s %[2]s.pid ]; do sleep 0.1; done", command, name))
}

// end ends it, and returns when its files are closed. Its shell knows that: a process that
// the kernel has stopped has files open for a while after its memory is gone.
func (m *machine) end(t *testing.T, name string) {
	t.Helper()
	m.run(t, fmt.Sprintf("kill $(cat %[1]s.pid); while [ -e %[1]s.pid ]; do sleep 0.1; done", name))
}

// removal is a script that unmaps the device.
func (d *device) removal() string {
	return "echo " + strings.TrimPrefix(d.path, "/dev/rbd") + " >/sys/bus/rbd/remove_single_major"
}

// write starts to write stamps into the device, and returns when the first are
// there.
func (d *device) write(t *testing.T) {
	t.Helper()
	d.writer(t, serial.WriterRequest{Start: true, Node: d.machine.Name})
	d.await(t, "writes", func(s serial.Writing) bool { return s.Written >= 5 })
}

// stop ends the writing.
func (d *device) stop(t *testing.T) {
	t.Helper()
	d.writer(t, serial.WriterRequest{Stop: true})
}

// writing says how it goes.
func (d *device) writing(t *testing.T) serial.Writing {
	t.Helper()
	return d.writer(t, serial.WriterRequest{})
}

func (d *device) writer(t *testing.T, request serial.WriterRequest) serial.Writing {
	t.Helper()
	request.Device = d.path
	state, err := d.machine.Writer(t.Context(), unhurried, request)
	must(t, err)
	return state
}

// await waits until the writing has come to what is described.
func (d *device) await(t *testing.T, what string, reached func(serial.Writing) bool) serial.Writing {
	t.Helper()
	var state serial.Writing
	// A client that was cut off connects again after pauses that grow.
	eventually(t, takeover, fmt.Sprintf("%s of %s %s", d.path, d.machine.Name, what), func() (err error) {
		state, err = d.machine.Writer(t.Context(), atOnce, serial.WriterRequest{Device: d.path})
		if err == nil && !reached(state) {
			err = fmt.Errorf("it is at %+v", state)
		}
		return err
	})
	return state
}

// fails waits until several further writes have failed, and checks that none has
// succeeded meanwhile.
func (d *device) fails(t *testing.T) {
	t.Helper()
	before := d.await(t, "cannot write", func(s serial.Writing) bool { return s.Error != "" })
	after := d.await(t, "still cannot write", func(s serial.Writing) bool { return s.Failed >= before.Failed+10 })
	if after.Written != before.Written {
		t.Errorf("%s of %s wrote %d stamps", d.path, d.machine.Name, after.Written-before.Written)
	}
}

// entry is the address's entry of the blocklist, if there is one.
func (w *world) entry(t *testing.T, addr string) (ceph.BlocklistEntry, bool) {
	t.Helper()
	entries, err := w.operator.Blocklisted(t.Context())
	must(t, err)
	i := slices.IndexFunc(entries, func(e ceph.BlocklistEntry) bool { return e.Addr == addr })
	if i < 0 {
		return ceph.BlocklistEntry{}, false
	}
	return entries[i], true
}

// wantWatchers checks who watches, by the addresses.
func (w *world) wantWatchers(t *testing.T, spec ceph.ImageSpec, want ...string) {
	t.Helper()
	watchers, err := w.operator.Watchers(t.Context(), spec)
	must(t, err)
	var got []string
	for _, watcher := range watchers {
		got = append(got, watcher.Addr)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("watchers of %s -want +got:\n%s", spec, diff)
	}
}

// stamps are read through librbd.
func (w *world) stamps(t *testing.T, spec ceph.ImageSpec) stamp.Log {
	t.Helper()
	log, err := w.ceph.ReadStamps(t.Context(), spec.String())
	must(t, err)
	return log
}

// wantOneAfterTheOther checks that first wrote, and then second, and first never
// again.
func (w *world) wantOneAfterTheOther(t *testing.T, spec ceph.ImageSpec, first, second *machine) {
	t.Helper()
	log := w.stamps(t, spec)
	if err := log.Check(); err != nil {
		t.Errorf("stamps in %s: %v", spec, err)
	}
	var writers []string
	for _, r := range log.Runs() {
		writers = append(writers, r.Node)
	}
	if diff := cmp.Diff([]string{first.Name, second.Name}, writers); diff != "" {
		t.Errorf("who wrote into %s -want +got:\n%s", spec, diff)
	}
}

// wantTwoAtATime checks that intruder wrote behind somebody's back.
func (w *world) wantTwoAtATime(t *testing.T, spec ceph.ImageSpec, intruder *machine) {
	t.Helper()
	if err := w.stamps(t, spec).Check(); err == nil || !strings.Contains(err.Error(), intruder.Name) {
		t.Errorf("the stamps in %s do not show that %s wrote behind another's back: %v", spec, intruder.Name, err)
	}
}

func eventually(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(poll) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", limit, what, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
