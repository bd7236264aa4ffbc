package postrender_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/postrender"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/testdata"
)

var update = flag.Bool("update", false, "rewrite the expected results of the golden cases")

// Folders of testdata.
const (
	golden        = "postrender"
	goldenCluster = "cluster"
)

// onDisk is where -update writes what is embedded in the next run.
const onDisk = "../../testdata"

// goldenCase is a folder of testdata/postrender:
//
//	input.yaml      the stream
//	expected.yaml   what comes out, or
//	error.txt       the error; then nothing comes out
//	notes.txt       what is said besides; without it, nothing is compared
//	case.json       optional settings
//	volumes.yaml    optional PersistentVolumes of the cluster
//
// The classes are those of testdata/postrender/classes.yaml.
type goldenCase struct {
	// Namespace of the release; null means that it is not known.
	Namespace *string `json:"namespace"`
	// Never renders for images that somebody else makes.
	Never bool `json:"never"`
	// ClusterName is the key of this cluster.
	ClusterName string `json:"clusterName"`
	// Ceph is what is in pool "replicapool" and in group "csi" of file system
	// "shared" before; without it, the run connects to nothing.
	Ceph *struct {
		Images []struct {
			Name, Size, ClaimSize string
			Features              []string
			Keyed                 bool
			Epoch                 uint64
		}
		Subvolumes []struct{ Name, Size, ClaimSize string }
		Full       bool
	} `json:"ceph"`
}

// TestGolden renders every case and compares bytes. A case that renders is
// rendered a second time, which changes nothing.
func TestGolden(t *testing.T) {
	eachGolden(t, golden, func(t *testing.T, folder string) {
		renderer := settings(t, folder).renderer(t, folder)
		var notes []string
		runGolden(t, folder, func(in io.Reader, out io.Writer) error {
			said, err := renderer.Render(t.Context(), in, out)
			if notes == nil { // those of the first run
				notes = said
			}
			return err
		})
		if file := path.Join(folder, "notes.txt"); exists(file) {
			compare(t, file, strings.Join(notes, "\n")+"\n")
		}
	})
}

// TestGoldenForCluster does the same for volumes that the cluster makes. Its cases
// need no settings.
func TestGoldenForCluster(t *testing.T) {
	eachGolden(t, goldenCluster, func(t *testing.T, folder string) { runGolden(t, folder, forCluster) })
}

func eachGolden(t *testing.T, root string, run func(t *testing.T, folder string)) {
	inputs, err := fs.Glob(testdata.Files, path.Join(root, "*", "input.yaml"))
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	for _, input := range inputs {
		folder := path.Dir(input)
		t.Run(path.Base(folder), func(t *testing.T) { run(t, folder) })
	}
}

func settings(t *testing.T, folder string) goldenCase {
	var settings goldenCase
	shop := "shop"
	settings.Namespace = &shop
	if data, err := testdata.Files.ReadFile(path.Join(folder, "case.json")); err == nil {
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&settings); err != nil {
			t.Fatal(err)
		}
	}
	return settings
}

func runGolden(t *testing.T, folder string, render func(io.Reader, io.Writer) error) {
	input := read(t, path.Join(folder, "input.yaml"))
	var out bytes.Buffer
	if err := render(strings.NewReader(input), &out); err != nil {
		if out.Len() > 0 {
			t.Errorf("output beside an error: %q", out.String())
		}
		compare(t, path.Join(folder, "error.txt"), err.Error()+"\n")
		absent(t, path.Join(folder, "expected.yaml"))
		return
	}
	compare(t, path.Join(folder, "expected.yaml"), out.String())
	absent(t, path.Join(folder, "error.txt"))

	var again bytes.Buffer
	if err := render(strings.NewReader(out.String()), &again); err != nil {
		t.Fatalf("second run: %v", err)
	}
	if diff := cmp.Diff(out.String(), again.String()); diff != "" {
		t.Errorf("second run changed something (-first +second):\n%s", diff)
	}
}

func (c goldenCase) renderer(t *testing.T, folder string) postrender.Renderer {
	renderer := postrender.Renderer{
		Namespace: func(context.Context) (string, error) {
			if c.Namespace == nil {
				return "", errors.New("the release's namespace is not known; pass --namespace")
			}
			return *c.Namespace, nil
		},
		Classes: goldenClasses(t),
		Images:  func(context.Context) (postrender.Images, error) { return postrender.Untouched{Key: c.ClusterName}, nil },
	}
	if c.Ceph == nil {
		return renderer
	}
	pool := cephtest.Pool{Name: "replicapool", Full: c.Ceph.Full}
	for _, image := range c.Ceph.Images {
		pool.Images = append(pool.Images, cephtest.Image{
			Name:      image.Name,
			Layout:    ceph.Layout{Size: quantity(t, image.Size), Features: image.Features},
			ClaimSize: quantity(t, image.ClaimSize),
			Keyed:     image.Keyed,
			Epoch:     image.Epoch,
		})
	}
	shared := cephtest.Filesystem{Name: "shared"}
	for _, s := range c.Ceph.Subvolumes {
		shared.Subvolumes = append(shared.Subvolumes, cephtest.Subvolume{
			Group: "csi", Name: s.Name, Size: quantity(t, s.Size), ClaimSize: quantity(t, s.ClaimSize),
		})
	}
	fake := cephtest.New(pool)
	fake.AddFilesystem(shared)
	client, err := fake.Dial(t.Context(), cephtest.Provisioner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	renderer.Images = func(context.Context) (postrender.Images, error) {
		provisioned := postrender.Provisioned{
			Connect: func(context.Context, storageclass.Class) (provision.Location, error) {
				return provision.Location{Cluster: client, SubvolumeGroup: "csi", Key: c.ClusterName}, nil
			},
			Volumes: func(context.Context) ([]corev1.PersistentVolume, error) {
				return volumes(t, path.Join(folder, "volumes.yaml")), nil
			},
		}
		if c.Never {
			return postrender.Existing{Provisioned: provisioned, DryRun: func(context.Context) (bool, error) { return false, nil }}, nil
		}
		return provisioned, nil
	}
	return renderer
}

// goldenClasses are the classes of the golden cases.
func goldenClasses(t testing.TB) storageclass.Source {
	t.Helper()
	return storageclass.FromFiles(testdata.Copy(t, path.Join(golden, "classes.yaml")))
}

// volumes reads the PersistentVolumes in a file, none if there is no file.
func volumes(t *testing.T, file string) []corev1.PersistentVolume {
	if !exists(file) {
		return nil
	}
	var list corev1.PersistentVolumeList
	if err := yaml.UnmarshalStrict([]byte(read(t, file)), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func exists(file string) bool {
	_, err := fs.Stat(testdata.Files, file)
	return err == nil
}

func quantity(t *testing.T, text string) uint64 {
	if text == "" {
		return 0
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(q.Value())
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join(onDisk, file), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(read(t, file), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", filepath.Join(onDisk, file), diff)
	}
}

// absent fails if a case has an expectation of the other kind too.
func absent(t *testing.T, file string) {
	t.Helper()
	if *update {
		_ = os.Remove(filepath.Join(onDisk, file))
		return
	}
	if exists(file) {
		t.Errorf("%s: is not the result of this case", filepath.Join(onDisk, file))
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := testdata.Files.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func forCluster(in io.Reader, out io.Writer) error {
	_, err := postrender.ForCluster(in, out)
	return err
}
