//go:build lab && cgo

package goceph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
)

// The steps of librbd's creation, see clearRemains.

func addToDirectory(t *testing.T, ioctx *rados.IOContext, name, id string) {
	t.Helper()
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Exec("rbd", "dir_add_image", append(encodeString(name), encodeString(id)...))
	must(t, op.Operate(ioctx, directoryObject, rados.OperationNoFlag))
}

func writeID(t *testing.T, ioctx *rados.IOContext, name, id string) {
	t.Helper()
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Create(rados.CreateExclusive)
	op.WriteFull(encodeString(id))
	must(t, op.Operate(ioctx, idObject(name), rados.OperationNoFlag))
}

func writeHeader(ioctx *rados.IOContext, id string) error {
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Create(rados.CreateExclusive)
	request := binary.LittleEndian.AppendUint64(nil, 1<<20) // size
	request = append(request, 22)                           // 4 MiB objects
	request = binary.LittleEndian.AppendUint64(request, 0)  // features
	request = append(request, encodeString("rbd_data."+id)...)
	request = binary.LittleEndian.AppendUint64(request, ^uint64(0)) // no data pool
	op.Exec("rbd", "create", request)
	return op.Operate(ioctx, headerObject(id), rados.OperationNoFlag)
}

func TestCreationAfterOneThatDied(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	tests := map[string]func(t *testing.T, ioctx *rados.IOContext, name, id string){
		"after the first step": addToDirectory,
		"after the second step": func(t *testing.T, ioctx *rados.IOContext, name, id string) {
			addToDirectory(t, ioctx, name, id)
			writeID(t, ioctx, name, id)
		},
		"after it had undone all but a second step that came late": writeID,
		"and whose remains were cleared half-way": func(t *testing.T, ioctx *rados.IOContext, name, id string) {
			addToDirectory(t, ioctx, name, id)
			writeID(t, ioctx, name, id)
			must(t, takeHeader(ioctx, id))
		},
		"twice": func(t *testing.T, ioctx *rados.IOContext, name, id string) {
			addToDirectory(t, ioctx, name, id)
			writeID(t, ioctx, name, id+"0")
		},
	}
	n := 0
	for name, die := range tests {
		n++
		spec := ceph.ImageSpec{Pool: lab.Pool, Name: fmt.Sprintf("died-%d", n)}
		deadID := fmt.Sprintf("dead%d", n)
		t.Run(name, func(t *testing.T) {
			ioctx := h.ioctx(t, spec)
			die(t, ioctx, spec.Name, deadID)
			if _, err := h.RBD(t.Context(), "create", "--size", "1M", spec.String()); err == nil {
				t.Fatal("rbd create does not mind this")
			}
			if _, err := cluster.Image(t.Context(), spec); !errors.Is(err, ceph.ErrImageNotFound) {
				t.Errorf("before: %v; want %v", err, ceph.ErrImageNotFound)
			}

			// Several at once clear it; still one makes the image.
			var mu sync.Mutex
			var made []ceph.Image
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					image, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: 2 << 20})
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						made = append(made, image)
					case !errors.Is(err, ceph.ErrImageExists):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if len(made) != 1 {
				t.Fatalf("%d made the image; want 1", len(made))
			}
			read, err := cluster.Image(t.Context(), spec)
			must(t, err)
			if read.ID != made[0].ID || read.Size != 2<<20 {
				t.Errorf("the image is %+v; made was %+v", read, made[0])
			}
			if names := strings.Fields(h.rbd(t, "ls", lab.Pool)); !slices.Contains(names, spec.Name) {
				t.Errorf("rbd ls shows %q", names)
			}
			h.rbd(t, "resize", "--size", "8M", spec.String())

			// A creator that was only slow is stopped.
			if err := writeHeader(ioctx, deadID); errno(err) != eexist {
				t.Errorf("the dead creation can go on: %v", err)
			}
		})
	}
}

func TestNameOfAnImageOfTheOldFormat(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	spec := ceph.ImageSpec{Pool: lab.Pool, Name: "old-format"}
	// Nothing makes them any more; librbd still goes by the object's name.
	must(t, h.ioctx(t, spec).WriteFull(spec.Name+".rbd", []byte("<<< Rados Block Device Image >>>\n")))
	if _, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: 1}); !errors.Is(err, ceph.ErrImageExists) {
		t.Errorf("got %v; want %v", err, ceph.ErrImageExists)
	}
	awaitCounts(t, cluster.calls, 0, 0)
}

func TestCreationUnderWayIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	spec := ceph.ImageSpec{Pool: lab.Pool, Name: "slowly-made"}
	ioctx := h.ioctx(t, spec)
	addToDirectory(t, ioctx, spec.Name, "slow")
	result := make(chan error)
	go func() {
		_, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: 2 << 20})
		result <- err
	}()
	for inside := 0; inside == 0; inside, _ = cluster.calls.counts() {
	}
	writeID(t, ioctx, spec.Name, "slow")
	must(t, writeHeader(ioctx, "slow"))
	if err := <-result; !errors.Is(err, ceph.ErrImageExists) {
		t.Errorf("got %v; want %v", err, ceph.ErrImageExists)
	}
	image, err := cluster.Image(t.Context(), spec)
	must(t, err)
	if image.ID != "slow" || image.Size != 1<<20 {
		t.Errorf("the slow creator's image became %+v", image)
	}
}
