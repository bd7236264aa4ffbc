//go:build lab && cgo

package goceph

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
)

// labTimeout is long enough for a busy machine, and twice of it is short enough
// for an OSD that must not be frozen for longer than 16 s.
const labTimeout = 3 * time.Second

// harness is a real Ceph as the conformance suite wants it.
type harness struct {
	*lab.Ceph
	// admin is a connection of our own, without this package.
	admin *rados.Conn
	users map[cephtest.User]lab.User
}

// shared is for tests that have their own images in it.
var shared labtest.Shared

func TestMain(m *testing.M) { shared.Main(m) }

func sharedHarness(t *testing.T) *harness {
	t.Helper()
	return prepareHarness(t, shared.Ceph(t), nil)
}

// startHarness starts a Ceph with these pools, and with RBD only unless one of them is full.
func startHarness(t *testing.T, pools []cephtest.Pool) *harness {
	t.Helper()
	start := labtest.RBD
	if slices.ContainsFunc(pools, func(pool cephtest.Pool) bool { return pool.Full }) {
		start = labtest.Ceph
	}
	return prepareHarness(t, start(t), pools)
}

// startFilesystem starts a Ceph with a file system, and returns when that can be used.
func startFilesystem(t *testing.T) *harness {
	t.Helper()
	h := prepareHarness(t, labtest.Ceph(t), nil)
	must(t, h.WaitFilesystem(t.Context()))
	return h
}

func prepareHarness(t *testing.T, started *lab.Ceph, pools []cephtest.Pool) *harness {
	t.Helper()
	h := &harness{Ceph: started}
	h.admin = adminConn(t, h.Ceph)
	for _, pool := range pools {
		h.mon(t, command{"prefix": "osd pool create", "pool": pool.Name})
		ioctx := h.ioctx(t, ceph.ImageSpec{Pool: pool.Name})
		must(t, rbd.PoolInit(ioctx, false))
		for _, namespace := range pool.Namespaces {
			must(t, rbd.NamespaceCreate(ioctx, namespace))
		}
		for _, image := range pool.Images {
			createImage(t, ioctx, image)
		}
		if pool.Full {
			h.fill(t, pool.Name)
		}
	}
	h.users = map[cephtest.User]lab.User{
		cephtest.Provisioner: h.Provisioner,
		cephtest.Operator: h.user(t, "operator", "mon", `allow r, allow command "osd blocklist"`,
			"osd", "profile rbd-read-only, allow rw object_prefix cephferry."),
		cephtest.Observer: h.user(t, "observer", "mon", "allow r", "osd", "profile rbd-read-only"),
		cephtest.Stranger: h.user(t, "stranger", "mon", "allow r", "osd", "profile rbd pool="+lab.OtherPool),
		cephtest.Impostor: {ID: h.Provisioner.ID, Key: h.Admin.Key},
	}
	return h
}

func (h *harness) config(user cephtest.User) Config {
	return Config{
		// With neither a usual port nor a version, librados tries both versions of
		// the protocol, and reports a wrong key only as a timeout.
		Monitors: []string{"v2:" + h.Monitors[0]},
		User:     h.users[user].ID,
		Key:      h.users[user].Key,
		Timeout:  labTimeout,
	}
}

func (h *harness) Dial(t *testing.T, user cephtest.User) (ceph.Cluster, error) {
	return Dial(t.Context(), h.config(user))
}

func (h *harness) Bound() time.Duration { return 2*labTimeout + time.Second }

func (h *harness) RemoveImage(t *testing.T, spec ceph.ImageSpec) {
	t.Helper()
	must(t, rbd.RemoveImage(h.ioctx(t, spec), spec.Name))
}

func (h *harness) ImageLayout(t *testing.T, spec ceph.ImageSpec) ceph.Layout {
	t.Helper()
	image := h.open(t, spec)
	info, err := image.Stat()
	must(t, err)
	features, err := image.GetFeatures()
	must(t, err)
	set := rbd.FeatureSet(features)
	layout := ceph.Layout{Size: info.Size, ObjectSize: info.Obj_size, Features: set.Names()}
	slices.Sort(layout.Features)
	layout.StripeUnit, err = image.GetStripeUnit()
	must(t, err)
	layout.StripeCount, err = image.GetStripeCount()
	must(t, err)
	if slices.Contains(layout.Features, "data-pool") {
		id, err := image.GetDataPoolID()
		must(t, err)
		layout.DataPool, err = h.admin.GetPoolByID(id)
		must(t, err)
	}
	return layout
}

func (h *harness) Watchers(t *testing.T, spec ceph.ImageSpec) int {
	t.Helper()
	return len(h.status(t, spec))
}

func (h *harness) RenameImage(t *testing.T, spec ceph.ImageSpec, name string) {
	t.Helper()
	must(t, rbd.GetImage(h.ioctx(t, spec), spec.Name).Rename(name))
}

// Watch opens the image on a connection of its own, as another machine would.
func (h *harness) Watch(t *testing.T, spec ceph.ImageSpec) (ceph.Watcher, func()) {
	t.Helper()
	before := h.status(t, spec)
	image, err := rbd.OpenImage(h.ownIoctx(t, spec), spec.Name, rbd.NoSnapshot)
	must(t, err)
	stop := sync.OnceFunc(func() { must(t, image.Close()) })
	t.Cleanup(stop)
	for _, watcher := range h.status(t, spec) {
		if !slices.Contains(before, watcher) {
			return watcher, stop
		}
	}
	t.Fatalf("librbd does not show the watcher of image %q", spec)
	return ceph.Watcher{}, nil
}

// Open opens the image on a connection of its own, as Watch does.
func (h *harness) Open(t *testing.T, spec ceph.ImageSpec) (cephtest.Writing, error) {
	t.Helper()
	before := h.status(t, spec)
	w := &writing{}
	var err error
	w.image, err = rbd.OpenImage(h.ownIoctx(t, spec), spec.Name, rbd.NoSnapshot)
	must(t, err)
	// The close of a client that was fenced says so.
	t.Cleanup(func() { _ = w.image.Close() })
	for _, watcher := range h.status(t, spec) {
		if !slices.Contains(before, watcher) {
			w.watcher = watcher
		}
	}
	features, err := w.image.GetFeatures()
	must(t, err)
	if features&rbd.FeatureExclusiveLock != 0 {
		err = w.image.LockAcquire(rbd.LockModeExclusive)
	}
	return w, err
}

// writing is an image that is open read-write.
type writing struct {
	image   *rbd.Image
	watcher ceph.Watcher
}

func (h *harness) OpenWith(t *testing.T, cluster ceph.Cluster, spec ceph.ImageSpec) func() {
	t.Helper()
	ioctx, err := cluster.(*connection).open(spec.Pool)
	must(t, err)
	ioctx.SetNamespace(spec.Namespace)
	image, err := rbd.OpenImage(ioctx, spec.Name, rbd.NoSnapshot)
	must(t, err)
	return func() {
		must(t, image.Close())
		ioctx.Destroy()
	}
}

func (h *harness) HalfClaimKey(t *testing.T, pool, namespace, key, uid string) {
	t.Helper()
	must(t, listKey(h.ioctx(t, ceph.ImageSpec{Pool: pool, Namespace: namespace}), key, uid))
}

func (w *writing) Watcher() ceph.Watcher { return w.watcher }

func (w *writing) Write() error {
	if _, err := w.image.WriteAt([]byte("something"), 0); err != nil {
		return translate(err, nil)
	}
	return translate(w.image.Flush(), nil)
}

// status is what librbd, and so `rbd status`, says about an image's watchers. The package itself
// asks librados.
func (h *harness) status(t *testing.T, spec ceph.ImageSpec) []ceph.Watcher {
	t.Helper()
	image, err := rbd.OpenImageReadOnly(h.ioctx(t, spec), spec.Name, rbd.NoSnapshot)
	must(t, err)
	listed, err := image.ListWatchers()
	must(t, err)
	must(t, image.Close())
	var watchers []ceph.Watcher
	for _, w := range listed {
		watchers = append(watchers, ceph.Watcher{Addr: w.Addr, Client: fmt.Sprintf("client.%d", w.Id), Cookie: w.Cookie})
	}
	return watchers
}

func (h *harness) WriteRecord(t *testing.T, image ceph.Image, data []byte) {
	t.Helper()
	ioctx, object := h.ioctx(t, image.ImageSpec), ceph.RecordObject(image.ID)
	must(t, ioctx.Create(object, rados.CreateIdempotent))
	must(t, ioctx.Truncate(object, 0))
	if len(data) > 0 { // go-ceph panics when there is nothing to write
		must(t, ioctx.Write(object, data, 0))
	}
}

func (h *harness) Cut(t *testing.T) func() {
	t.Helper()
	must(t, h.OSD.Freeze())
	return func() { must(t, h.OSD.Thaw()) }
}

func (h *harness) MapImage(t *testing.T, spec ceph.ImageSpec) (ceph.Watcher, func()) {
	t.Helper()
	before := h.status(t, spec)
	device := h.mapExclusively(t, spec, answers)
	for _, watcher := range h.status(t, spec) {
		if !slices.Contains(before, watcher) {
			return watcher, func() { device.unmap(t) }
		}
	}
	t.Fatalf("librbd does not show the watcher of image %q", spec)
	return ceph.Watcher{}, nil
}

func (h *harness) HalfRenameImage(t *testing.T, image ceph.Image, name string, listed bool) {
	t.Helper()
	ioctx := h.ioctx(t, image.ImageSpec)
	writeID(t, ioctx, name, image.ID)
	if listed {
		must(t, renameInDirectory(ioctx, image, name))
	}
}

// renameInDirectory is the second step of a rename, see mendNames.
func renameInDirectory(ioctx *rados.IOContext, image ceph.Image, name string) error {
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Exec("rbd", "dir_rename_image", slices.Concat(encodeString(image.Name), encodeString(name), encodeString(image.ID)))
	return op.Operate(ioctx, directoryObject, rados.OperationNoFlag)
}

// open opens an image read-only, until the test ends.
func (h *harness) open(t *testing.T, spec ceph.ImageSpec) *rbd.Image {
	t.Helper()
	image, err := rbd.OpenImageReadOnly(h.ioctx(t, spec), spec.Name, rbd.NoSnapshot)
	must(t, err)
	t.Cleanup(func() { must(t, image.Close()) })
	return image
}

// ownIoctx is the administrator's, with a connection of its own, until the test ends.
func (h *harness) ownIoctx(t *testing.T, spec ceph.ImageSpec) *rados.IOContext {
	t.Helper()
	ioctx, err := adminConn(t, h.Ceph).OpenIOContext(spec.Pool)
	must(t, err)
	ioctx.SetNamespace(spec.Namespace)
	t.Cleanup(ioctx.Destroy)
	return ioctx
}

// ioctx is the administrator's, until the test ends.
func (h *harness) ioctx(t *testing.T, spec ceph.ImageSpec) *rados.IOContext {
	t.Helper()
	ioctx, err := h.admin.OpenIOContext(spec.Pool)
	must(t, err)
	ioctx.SetNamespace(spec.Namespace)
	t.Cleanup(ioctx.Destroy)
	return ioctx
}

// command is one of those that the ceph command sends to the monitor.
type command map[string]any

// mon sends a command on the administrator's connection: there are many, and the ceph command
// takes longer to start than most of these tests.
func (h *harness) mon(t *testing.T, c command) []byte {
	t.Helper()
	data, err := json.Marshal(c)
	must(t, err)
	answer, status, err := h.admin.MonCommand(data)
	if err != nil {
		t.Fatalf("%s: %v: %s", data, err, status)
	}
	return answer
}

// block puts the address of a client on the blocklist, or takes it off ("add", "rm").
func (h *harness) block(t *testing.T, do, address string) {
	t.Helper()
	h.mon(t, command{"prefix": "osd blocklist", "blocklistop": do, "addr": address})
}

func (h *harness) user(t *testing.T, id string, caps ...string) lab.User {
	t.Helper()
	answer := h.mon(t, command{"prefix": "auth get-or-create", "entity": "client." + id, "caps": caps, "format": "json"})
	var made []struct{ Key string }
	must(t, json.Unmarshal(answer, &made))
	return lab.User{ID: id, Key: made[0].Key}
}

// fill sets a quota that the pool is over already: `rbd pool init` wrote a few
// bytes into it.
func (h *harness) fill(t *testing.T, pool string) {
	t.Helper()
	must(t, h.SetPoolQuota(t.Context(), pool, 1))
	must(t, h.WaitPoolFull(t.Context(), pool, true))
}

func (h *harness) rbd(t *testing.T, args ...string) string {
	t.Helper()
	out, err := h.RBD(t.Context(), args...)
	must(t, err)
	return string(out)
}

func createImage(t *testing.T, ioctx *rados.IOContext, image cephtest.Image) {
	t.Helper()
	options := rbd.NewRbdImageOptions()
	defer options.Destroy()
	must(t, options.SetUint64(rbd.ImageOptionFeatures, uint64(rbd.FeatureSetFromNames(image.Layout.Features))))
	must(t, rbd.CreateImage(ioctx, image.Name, image.Layout.Size, options))
}

func adminConn(t *testing.T, in *lab.Ceph) *rados.Conn {
	t.Helper()
	conn, err := rados.NewConn()
	must(t, err)
	must(t, conn.ReadConfigFile(in.ConfFile))
	// Longer than any test keeps Ceph from answering.
	for _, option := range []string{"client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"} {
		must(t, conn.SetConfigOption(option, "60"))
	}
	must(t, conn.Connect())
	t.Cleanup(conn.Shutdown)
	return conn
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
