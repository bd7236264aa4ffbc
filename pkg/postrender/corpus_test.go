package postrender_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/manifest"
	"github.com/cephferry/cephferry/pkg/postrender"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/testdata"
)

// corpus are rendered charts: always the golden cases that render, and those in
// the folder CEPHFERRY_CORPUS, or beside the repository, where there are any. Go's test cache
// looks at no file outside of the repository, but at each variable that is read: make sets
// CEPHFERRY_CORPUS_SUM to a sum of that folder, so that tests run again when it changes.
func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	streams := map[string][]byte{}
	ours, err := fs.Glob(testdata.Files, path.Join(golden, "*", "expected.yaml"))
	if err != nil || len(ours) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	for _, expected := range ours {
		input := path.Join(path.Dir(expected), "input.yaml")
		streams[input] = []byte(read(t, input))
	}
	theirs, err := filepath.Glob(filepath.Join(cmp.Or(os.Getenv("CEPHFERRY_CORPUS"), "../../../shared/corpus"), "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range theirs {
		if streams[path.Join("corpus", filepath.Base(name))], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d streams of ours, %d of others with the sum %q", len(ours), len(theirs), os.Getenv("CEPHFERRY_CORPUS_SUM"))
	return streams
}

// sized makes every claim keep one size.
type sized struct{ size uint64 }

func (s sized) Ensure(_ context.Context, plans []staticpv.Plan) ([]provision.Result, []string) {
	results := make([]provision.Result, len(plans))
	for i := range results {
		results[i].ClaimSize = s.size
	}
	return results, nil
}

// TestCorpus renders real streams and checks what holds for every stream.
func TestCorpus(t *testing.T) {
	classes, err := goldenClasses(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, input := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			if _, err := meaning(input, clear); err != nil {
				t.Fatalf("helm could not read the input: %v", err)
			}
			output, ok := checkRender(t, classes, input)
			if !ok {
				t.Fatal("the stream is refused")
			}
			if !checkForCluster(t, input) {
				t.Error("the stream is refused for the cluster")
			}

			r, asked := renderer(t, nil)
			r.Images = func(context.Context) (postrender.Images, error) {
				asked.Images++
				return sized{3 << 30}, nil
			}
			var resized bytes.Buffer
			if _, err := r.Render(t.Context(), bytes.NewReader(input), &resized); err != nil {
				t.Fatal(err)
			}
			checkKept(t, input, resized.Bytes())
			checkMeaning(t, input, resized.Bytes(), clearSizes)
			if asked.Images == 0 {
				if !bytes.Equal(input, output) {
					t.Error("there is no pair, and the stream changed")
				}
				return
			}
			if n := checkSizes(t, resized.Bytes(), "3Gi"); n == 0 {
				t.Error("nothing has a size")
			}
		})
	}
}

// checkSizes expects all pairs and migratable templates to have that size, and
// returns how many sizes there are.
func checkSizes(t *testing.T, stream []byte, want string) (n int) {
	t.Helper()
	objects, err := meaning(stream, func(map[string]any) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		fields, _ := object.(map[string]any)
		for _, claim := range claims(fields) {
			n++
			if got := at(claim, "spec", "resources", "requests")["storage"]; got != want {
				t.Errorf("claim %v has size %v, want %v", at(claim, "metadata")["name"], got, want)
			}
		}
		if fields["kind"] == "PersistentVolume" {
			n++
			if got := at(fields, "spec", "capacity")["storage"]; got != want {
				t.Errorf("volume %v has size %v, want %v", at(fields, "metadata")["name"], got, want)
			}
		}
	}
	return n
}

// TestLargeStream renders 10 MB, with a claim now and then, and compares with the
// claims rendered alone.
func TestLargeStream(t *testing.T) {
	foreign, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "large"},
		"data": map[string]any{"script": strings.Repeat("---\necho \"not a document\" # \\n\n", 200)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, has := range map[string]func(document int) bool{
		"claims everywhere":   func(i int) bool { return i%16 == 0 },
		"a claim amid others": func(i int) bool { return i == 700 },
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := renderer(t, nil)
			var input, want bytes.Buffer
			claimed := 0
			for i := 0; input.Len() < 10<<20; i++ {
				document := "---\n# Source: large/templates/configmap.yaml\n" + string(foreign)
				input.WriteString(document)
				want.WriteString(document)
				if !has(i) {
					continue
				}
				alone := claim(fmt.Sprintf("data-%d", i), "1Gi", "")
				input.WriteString(alone)
				if _, err := r.Render(t.Context(), strings.NewReader(alone), &want); err != nil {
					t.Fatal(err)
				}
				claimed++
			}
			var got bytes.Buffer
			if _, err := r.Render(t.Context(), bytes.NewReader(input.Bytes()), &got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want.Bytes(), got.Bytes()) {
				t.Fatalf("%d bytes with %d claims became %d bytes, want %d", input.Len(), claimed, got.Len(), want.Len())
			}
			if diff := gocmp.Diff(len(slices.Collect(manifest.Split(input.Bytes())))+claimed, len(slices.Collect(manifest.Split(got.Bytes())))); diff != "" {
				t.Errorf("number of documents (-want +got):\n%s", diff)
			}
			var again bytes.Buffer
			if _, err := r.Render(t.Context(), bytes.NewReader(got.Bytes()), &again); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), again.Bytes()) {
				t.Error("second run changed something")
			}
		})
	}
}
