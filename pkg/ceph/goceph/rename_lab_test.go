//go:build lab && cgo

package goceph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
)

// idObjects are the names whose object has the image's id, found by looking at every
// object there is.
func (h *harness) idObjects(t *testing.T, image ceph.Image) []string {
	t.Helper()
	ioctx := h.ioctx(t, image.ImageSpec)
	var names []string
	must(t, ioctx.ListObjects(func(object string) {
		if name, ok := strings.CutPrefix(object, idObject("")); ok {
			if id, err := readID(ioctx, name); err == nil && id == image.ID {
				names = append(names, name)
			}
		}
	}))
	slices.Sort(names)
	return names
}

// wantOneName checks that this name leads to the image and no other object does.
func (h *harness) wantOneName(t *testing.T, image ceph.Image, name string) {
	t.Helper()
	if names := h.idObjects(t, image); !slices.Equal(names, []string{name}) {
		t.Errorf("the names of image %s are %q; want %q", image.ID, names, name)
	}
	listed, err := readListed(h.ioctx(t, image.ImageSpec), image.ID)
	must(t, err)
	if listed != name {
		t.Errorf("the directory has image %s as %q; want %q", image.ID, listed, name)
	}
	opened, err := rbd.OpenImageReadOnly(h.ioctx(t, image.ImageSpec), name, rbd.NoSnapshot)
	must(t, err)
	id, err := opened.GetId()
	must(t, errors.Join(err, opened.Close()))
	if id != image.ID {
		t.Errorf("%q opens image %s; want %s", name, id, image.ID)
	}
}

// renamerVariable says to TestRenamer what to rename: configuration file, pool, id,
// old and new name.
const renamerVariable = "GOCEPH_TEST_RENAMER"

// TestRenamer is the process that TestRenamesThatAreKilled kills.
func TestRenamer(t *testing.T) {
	given := strings.Split(os.Getenv(renamerVariable), "\n")
	if len(given) != 5 {
		return
	}
	cluster, err := Dial(t.Context(), Config{ConfFile: given[0], Timeout: labTimeout})
	must(t, err)
	image := ceph.Image{ImageSpec: ceph.ImageSpec{Pool: given[1], Name: given[3]}, ID: given[2]}
	_, err = cluster.RenameImage(t.Context(), image, given[4])
	must(t, err)
	must(t, cluster.Close())
}

// A process is killed when it is seen to have done one of the steps of a rename. The
// next rename always ends with one name.
func TestRenamesThatAreKilled(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	ioctx := h.ioctx(t, replica)
	moments := map[string]func(image ceph.Image, name string) bool{
		"the lock is taken": func(image ceph.Image, name string) bool {
			lock, err := ioctx.ListLockers(headerObject(image.ID), imageLock)
			return err == nil && lock.NumLockers != 0
		},
		"the new name leads to the image": func(image ceph.Image, name string) bool {
			id, err := readID(ioctx, name)
			return err == nil && id == image.ID
		},
		"the directory has the new name": func(image ceph.Image, name string) bool {
			listed, err := readListed(ioctx, image.ID)
			return err == nil && listed == name
		},
	}
	which := map[bool]string{true: "old", false: "new"}
	const rounds = 8
	met := map[string]int{}
	type mend struct {
		image ceph.Image
		name  string
	}
	var mended []mend
	// A killed renamer is a watcher for up to 30 s, so all wait for that at once.
	var mends sync.WaitGroup
	for moment, reached := range moments {
		for round := range rounds {
			features := []string{"exclusive-lock", "layering"}
			locks := round%2 == 0
			if !locks && moment != "the lock is taken" {
				features = []string{"layering"}
			}
			base := fmt.Sprintf("%s-%d", strings.ReplaceAll(moment, " ", "-"), round)
			image, err := cluster.CreateImage(t.Context(), ceph.ImageSpec{Pool: lab.Pool, Name: base}, ceph.Layout{Size: 1 << 20, Features: features})
			must(t, err)
			h.killRenamer(t, image, base+"~east", func() bool { return reached(image, base+"~east") })

			names, err := cluster.findNames(ioctx, image, []string{base + "~east"})
			must(t, err)
			state := fmt.Sprintf("killed when %s: %d names, the directory has the %s one", moment, len(names.leading), which[names.listed == base])
			lock, err := ioctx.ListLockers(headerObject(image.ID), imageLock)
			must(t, err)
			if lock.NumLockers != 0 {
				state += ", with the lock"
			}
			met[state]++

			to := base + []string{"", "~east", "~west"}[round%3]
			mended = append(mended, mend{image, to})
			mends.Go(func() {
				renamed, err := renameAtLast(t, cluster, image, to, base+"~east")
				if err != nil || renamed.ID != image.ID || renamed.Name != to {
					t.Errorf("%s: renamed to %+v, %v", state, renamed, err)
				}
			})
		}
	}
	mends.Wait()
	for _, m := range mended {
		h.wantOneName(t, m.image, m.name)
	}
	two := 0
	for _, state := range slices.Sorted(maps.Keys(met)) {
		t.Logf("%d times: %s", met[state], state)
		if strings.Contains(state, "2 names") {
			two += met[state]
		}
	}
	if two == 0 {
		t.Errorf("no rename of %d was killed half-way", len(moments)*rounds)
	}
}

// killRenamer kills a process that renames the image, at that moment or when it has
// ended before.
func (h *harness) killRenamer(t *testing.T, image ceph.Image, name string, moment func() bool) {
	t.Helper()
	var output bytes.Buffer
	renamer := exec.Command(os.Args[0], "-test.run=^TestRenamer$")
	renamer.Env = append(os.Environ(), renamerVariable+"="+strings.Join([]string{h.ConfFile, image.Pool, image.ID, image.Name, name}, "\n"))
	renamer.Stdout, renamer.Stderr = &output, &output
	must(t, renamer.Start())
	ended := make(chan error, 1)
	go func() { ended <- renamer.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v: %s", err, &output)
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

// renameAtLast renames the image when the killed renamer is no watcher any more and has
// lost its turn. On a busy machine a rename may take longer than a caller waits: then it
// is still on its way, and the next one finds what it has done.
func renameAtLast(t *testing.T, cluster ceph.ImageRenamer, image ceph.Image, name string, others ...string) (ceph.Image, error) {
	for {
		renamed, err := cluster.RenameImage(t.Context(), image, name, others...)
		var locked *ceph.LockedError
		waits := errors.Is(err, ceph.ErrUnreachable) || errors.Is(err, ceph.ErrImageLocked)
		if !waits || errors.As(err, &locked) && locked.Answers {
			return renamed, err
		}
	}
}

// Renaming must never do what librbd does to a lock holder that does not answer, but
// for those that cannot write.
func TestRenameImageOfALockHolder(t *testing.T) {
	t.Parallel()
	h := startHarness(t, nil)
	cluster := h.connect(t)
	holder := func(t *testing.T, image ceph.Image) (client, addr string) {
		lock, err := h.ioctx(t, image.ImageSpec).ListLockers(headerObject(image.ID), imageLock)
		must(t, err)
		return lock.Clients[0], plainAddr(lock.Addrs[0])
	}
	refuses := func(answers bool) func(t *testing.T, err error) {
		return func(t *testing.T, err error) {
			var locked *ceph.LockedError
			if !errors.As(err, &locked) || locked.Answers != answers {
				t.Errorf("got %v; want a LockedError of a client that answers: %t", err, answers)
			}
		}
	}
	renames := func(t *testing.T, err error) { must(t, err) }
	tests := map[string]struct {
		hold func(t *testing.T, image ceph.Image)
		want func(t *testing.T, err error)
	}{
		"that uses librbd in the default mode": {
			func(t *testing.T, image ceph.Image) {
				opened, err := rbd.OpenImage(h.ioctx(t, image.ImageSpec), image.Name, rbd.NoSnapshot)
				must(t, err)
				t.Cleanup(func() { must(t, opened.Close()) })
				_, err = opened.WriteAt([]byte("data"), 0)
				must(t, err)
			}, renames,
		},
		"that refuses": {
			func(t *testing.T, image ceph.Image) { h.mapExclusively(t, image.ImageSpec, answers) }, refuses(true),
		},
		"that is connected and does not answer": {
			func(t *testing.T, image ceph.Image) { h.mapExclusively(t, image.ImageSpec, silent) }, refuses(false),
		},
		"that is gone": {
			func(t *testing.T, image ceph.Image) { h.mapExclusively(t, image.ImageSpec, answers).die(t) }, refuses(false),
		},
		"that is gone, and was fenced": {
			func(t *testing.T, image ceph.Image) {
				h.mapExclusively(t, image.ImageSpec, answers).die(t)
				_, addr := holder(t, image)
				must(t, cluster.Blocklist(t.Context(), []string{addr}, ceph.MaxFence))
			}, renames,
		},
		"that is gone, and had only renamed": {
			func(t *testing.T, image ceph.Image) {
				h.mapExclusively(t, image.ImageSpec, answers).die(t)
				client, _ := holder(t, image)
				must(t, h.ioctx(t, image.ImageSpec).SetXattr(headerObject(image.ID), renamerAttribute, []byte(client)))
			}, renames,
		},
		"that had only renamed and still watches": {
			func(t *testing.T, image ceph.Image) {
				h.mapExclusively(t, image.ImageSpec, silent)
				client, _ := holder(t, image)
				must(t, h.ioctx(t, image.ImageSpec).SetXattr(headerObject(image.ID), renamerAttribute, []byte(client)))
			}, refuses(false),
		},
		"that is a person": {
			func(t *testing.T, image ceph.Image) { h.rbd(t, "lock", "add", image.String(), "maintenance") },
			func(t *testing.T, err error) {
				if !errors.Is(err, ceph.ErrImageLocked) || !strings.Contains(err.Error(), "`rbd lock ls`") {
					t.Errorf("got %v", err)
				}
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			base := strings.NewReplacer(" ", "-", ",", "").Replace(name)
			image := h.image(t, cluster, base)
			test.hold(t, image)
			lock := h.rbd(t, "lock", "ls", image.String())
			ctx, cancel := context.WithTimeout(t.Context(), h.Bound())
			defer cancel()
			_, err := cluster.RenameImage(ctx, image, base+"~east")
			test.want(t, err)
			if err == nil {
				h.wantOneName(t, image, base+"~east")
				return
			}
			h.wantOneName(t, image, base)
			if now := h.rbd(t, "lock", "ls", image.String()); now != lock {
				t.Errorf("the lock was %q and is %q", lock, now)
			}
		})
	}
	entries, err := cluster.Blocklisted(t.Context())
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("on the blocklist: %v; want the fenced one and the one that had only renamed", entries)
	}
}

// Its Ceph is not shared: an OSD of Ceph 16 ends when somebody lists a trash that has an entry which
// it cannot read.
func TestNamesThatAreMended(t *testing.T) {
	t.Parallel()
	h := startHarness(t, nil)
	cluster := h.connect(t)
	tests := map[string]struct {
		// spoil leaves something of image "NAME" behind.
		spoil  func(t *testing.T, ioctx *rados.IOContext, image ceph.Image)
		others []string
		want   error
	}{
		"a rename goes on after it was taken for dead": {
			spoil: func(t *testing.T, ioctx *rados.IOContext, image ceph.Image) {
				h.HalfRenameImage(t, image, image.Name+"~east", false)
				_, err := cluster.RenameImage(t.Context(), image, image.Name, image.Name+"~east")
				must(t, err)
				must(t, renameInDirectory(ioctx, image, image.Name+"~east"))
				must(t, ioctx.Delete(idObject(image.Name)))
				if names := h.idObjects(t, image); len(names) != 0 {
					t.Fatalf("the names are %q", names)
				}
				// Who looks for it still finds it, in the directory.
				for _, key := range []string{"east", "west"} {
					spec := image.ImageSpec
					spec.Key = key
					if _, err := cluster.ClaimKey(t.Context(), spec.Pool, spec.Namespace, ceph.Party{UID: key, Name: key}); err != nil {
						t.Fatal(err)
					}
					found, err := cluster.Image(t.Context(), spec)
					if err != nil || found.ID != image.ID || found.Named != "" {
						t.Errorf("as %s: got %+v, %v", key, found, err)
					}
				}
			},
		},
		"a creation under the new name died in the directory": {
			spoil: func(t *testing.T, ioctx *rados.IOContext, image ceph.Image) {
				addToDirectory(t, ioctx, image.Name+"~west", "dead"+image.ID)
			},
		},
		"the directory's name was given to another image": {
			spoil: func(t *testing.T, ioctx *rados.IOContext, image ceph.Image) {
				must(t, ioctx.WriteFull(idObject(image.Name), encodeString("other")))
			},
			want: ceph.ErrImageRenamed,
		},
		"the image is in the trash": {
			spoil: func(t *testing.T, ioctx *rados.IOContext, image ceph.Image) {
				h.rbd(t, "trash", "mv", image.String())
			},
			want: ceph.ErrImageNotFound,
		},
		"the image is on its way to the trash": {
			spoil: func(t *testing.T, ioctx *rados.IOContext, image ceph.Image) {
				must(t, ioctx.SetOmap(trashObject, map[string][]byte{"id_" + image.ID: []byte("x")}))
				must(t, ioctx.Delete(idObject(image.Name)))
			},
			want: ceph.ErrImageNotFound,
		},
		"the image is being removed": {
			spoil: func(t *testing.T, ioctx *rados.IOContext, image ceph.Image) {
				must(t, ioctx.Delete(headerObject(image.ID)))
				must(t, ioctx.Delete(idObject(image.Name)))
			},
			want: ceph.ErrImageNotFound,
		},
	}
	n := 0
	for name, test := range tests {
		n++
		base := fmt.Sprintf("mended-%d", n)
		t.Run(name, func(t *testing.T) {
			image := h.image(t, cluster, base)
			test.spoil(t, h.ioctx(t, image.ImageSpec), image)
			before := h.idObjects(t, image)
			_, err := cluster.RenameImage(t.Context(), image, base+"~west", base+"~east")
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v; want %v", err, test.want)
			}
			if test.want == nil {
				h.wantOneName(t, image, base+"~west")
			} else if now := h.idObjects(t, image); !slices.Equal(now, before) {
				t.Errorf("the names were %q and are %q", before, now)
			}
		})
	}
}

// Why docs/security.md has no user that renames images and cannot read them: the new
// name is the beginning of an object's name.
func TestRenamingLooksForAnImageOfTheOldestFormat(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	image := h.image(t, h.connect(t), "narrow")
	grants := []string{"allow r class-read object_prefix rbd_info"}
	for _, prefix := range []string{"rbd_id.", "rbd_header.", "rbd_directory", "rbd_object_map."} {
		grants = append(grants, "allow rwx object_prefix "+prefix)
	}
	without := h.connectAs(t, h.user(t, "without", "mon", "allow r", "osd", strings.Join(grants, ", ")))
	if _, err := without.RenameImage(t.Context(), image, "new"); !errors.Is(err, ceph.ErrPermission) {
		t.Errorf("got %v; want %v", err, ceph.ErrPermission)
	}
	h.wantOneName(t, image, "narrow")
	grants = append(grants, "allow r object_prefix new.rbd")
	with := h.connectAs(t, h.user(t, "with", "mon", "allow r", "osd", strings.Join(grants, ", ")))
	_, err := with.RenameImage(t.Context(), image, "new")
	must(t, err)
	h.wantOneName(t, image, "new")
}
