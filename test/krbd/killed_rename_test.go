//go:build krbd

package krbd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
)

func dyingRenames(t *testing.T, w *world, holder *machine) {
	t.Run("two names", func(t *testing.T) { halfDoneRenames(t, w, holder) })
	t.Run("killed", func(t *testing.T) { killedRenames(t, w, holder) })
}

// halfDoneRenames are those that died between their steps: both names open the image,
// for kernels too. The next rename leaves one, and the holder notices nothing.
func halfDoneRenames(t *testing.T, w *world, holder *machine) {
	for name, listed := range map[string]bool{"half": false, "half-listed": true} {
		spec := w.create(t, name)
		east, west := spec, spec
		east.Name, west.Name = name+"~east", name+"~west"
		held := holder.mapImage(t, spec, private)
		held.write(t)
		from, to := spec, east
		if listed {
			w.rename(t, spec, east.Name)
			from, to = east, spec
		}
		out, err := exec.CommandContext(t.Context(), "rados", "-c", w.ceph.ConfFile, "-p", spec.Pool, "cp", "rbd_id."+from.Name, "rbd_id."+to.Name).CombinedOutput()
		if err != nil {
			t.Fatalf("copy the name of %s: %v: %s", from, err, out)
		}
		for _, each := range []ceph.ImageSpec{spec, east} {
			holder.mapImage(t, each, private).unmap(t)
		}
		w.rename(t, to, west.Name, spec.Name, east.Name)
		holder.findsNothing(t, spec)
		holder.findsNothing(t, east)
		held.writesOn(t)
		w.wantWatchers(t, west, held.addr)
		held.stop(t)
		held.unmap(t)
	}
}

// renamerVariable says to TestRenamer what to rename: configuration file, pool, id,
// old and new name.
const renamerVariable = "KRBD_TEST_RENAMER"

// TestRenamer is the process that is killed.
func TestRenamer(t *testing.T) {
	given := strings.Split(os.Getenv(renamerVariable), "\n")
	if len(given) != 5 {
		return
	}
	cluster, err := goceph.Dial(t.Context(), goceph.Config{ConfFile: given[0]})
	must(t, err)
	image := ceph.Image{ImageSpec: ceph.ImageSpec{Pool: given[1], Name: given[3]}, ID: given[2]}
	_, err = cluster.RenameImage(t.Context(), image, given[4])
	must(t, err)
	must(t, cluster.Close())
}

// killedRenames kills processes while they rename what a machine writes into, when they
// are seen to have done a step. One that dies with the image's lock stops the holder,
// for up to 30 s: then the kernel takes the lock back, and no write has failed.
func killedRenames(t *testing.T, w *world, holder *machine) {
	names := func(image ceph.Image, name string) []string {
		found, _ := w.operator.ImageNames(t.Context(), image, name)
		return found
	}
	moments := map[string]func(image ceph.Image, name string) bool{
		"watches": func(image ceph.Image, name string) bool {
			watchers, err := w.operator.Watchers(t.Context(), image.ImageSpec)
			return err != nil || len(watchers) > 1
		},
		"two-names": func(image ceph.Image, name string) bool { return len(names(image, name)) == 2 },
		"renamed":   func(image ceph.Image, name string) bool { return slices.Equal(names(image, name), []string{name}) },
	}
	type killed struct {
		image  ceph.Image
		device *device
		to     string
	}
	var all []killed
	// A killed renamer is a watcher for up to 30 s, so all wait for that at once.
	var mends sync.WaitGroup
	halfway := 0
	for moment, reached := range moments {
		for round := range 2 {
			base := fmt.Sprintf("killed-%s-%d", moment, round)
			spec, east := w.create(t, base), base+"~east"
			image, err := w.operator.Image(t.Context(), spec)
			must(t, err)
			k := killed{image, holder.mapImage(t, spec, private), base + []string{"~west", ""}[round]}
			k.device.write(t)
			w.killRenamer(t, image, east, func() bool { return reached(image, east) })

			found, err := w.operator.ImageNames(t.Context(), image, east)
			must(t, err)
			locker := w.locker(t, image, found[0])
			t.Logf("killed at %q: the names are %q, %q has the lock", moment, found, locker)
			if len(found) == 2 || locker != "" && locker != k.device.addr {
				halfway++
			}
			all = append(all, k)
			mends.Go(func() {
				if err := w.renameAtLast(t.Context(), image, k.to, east); err != nil {
					t.Error(err)
				}
			})
		}
	}
	mends.Wait()
	if halfway == 0 {
		t.Errorf("none of %d renames was killed with two names or with the lock", len(all))
	}
	for _, k := range all {
		w.wantNames(t, k.image, k.to, k.image.Name, k.image.Name+"~east")
		k.device.writesOn(t)
		to := k.image.ImageSpec
		to.Name = k.to
		w.wantWatchers(t, to, k.device.addr)
		k.device.stop(t)
		k.device.unmap(t)
		if err := w.stamps(t, to).Check(); err != nil {
			t.Errorf("stamps in %s: %v", to, err)
		}
	}
}

// killRenamer kills a process that renames the image, at that moment or when it has
// ended before: it gives up when the holder, which is emulated, is slow to answer.
func (w *world) killRenamer(t *testing.T, image ceph.Image, name string, moment func() bool) {
	t.Helper()
	var output bytes.Buffer
	renamer := exec.Command(os.Args[0], "-test.run=^TestRenamer$")
	renamer.Env = append(os.Environ(), renamerVariable+"="+strings.Join([]string{w.ceph.ConfFile, image.Pool, image.ID, image.Name, name}, "\n"))
	renamer.Stdout, renamer.Stderr = &output, &output
	must(t, renamer.Start())
	ended := make(chan error, 1)
	go func() { ended <- renamer.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Logf("%v: %s", err, &output)
			}
			return
		default:
		}
		if moment() {
			_ = renamer.Process.Kill() // it may have ended just now
			<-ended
			return
		}
	}
}

// locker is the client that has the image's lock, by its address.
func (w *world) locker(t *testing.T, image ceph.Image, name string) string {
	t.Helper()
	spec := image.ImageSpec
	spec.Name = name
	out, err := w.ceph.RBD(t.Context(), "lock", "ls", spec.String())
	must(t, err)
	fields := strings.Fields(string(out))
	if len(fields) == 0 {
		return ""
	}
	return fields[len(fields)-1]
}

// renameAtLast renames the image when the killed renamer is no watcher any more and has
// lost its turn. Until then librbd waits for that one's answer when it asks the holder
// for the lock, and may take longer than a call.
func (w *world) renameAtLast(ctx context.Context, image ceph.Image, name string, others ...string) error {
	for deadline := time.Now().Add(2 * takeover); ; time.Sleep(poll) {
		_, err := w.operator.RenameImage(ctx, image, name, others...)
		again := errors.Is(err, ceph.ErrImageLocked) || errors.Is(err, ceph.ErrUnreachable)
		if !again || time.Now().After(deadline) {
			return err
		}
	}
}
