package helmrender_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/helmrender"
	"github.com/cephferry/cephferry/pkg/postrender"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/testdata"
)

// What Helm hands over.
const (
	source = "---\n# Source: db/templates/claim.yaml\n"
	claim  = source + `apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
  annotations:
    cephferry.io/migratable: "true"
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ceph-block
  resources:
    requests:
      storage: 8Gi
`
	service = "---\n# Source: db/templates/service.yaml\napiVersion: v1\nkind: Service\nmetadata: {name: db}\n"
)

// TestForCluster compares with what package postrender writes, whose own tests say
// what that is.
func TestForCluster(t *testing.T) {
	for name, input := range map[string]string{
		"a release with a migratable claim":  service + claim,
		"a release without one, left alone":  service,
		"a release without manifests at all": "",
		"what comes out, rendered once more": render(t, claim),
	} {
		t.Run(name, func(t *testing.T) {
			var want strings.Builder
			if _, err := postrender.ForCluster(strings.NewReader(input), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.String(), render(t, input)); diff != "" {
				t.Errorf("manifests (-postrender +helmrender):\n%s", diff)
			}
		})
	}
}

// render is what Helm does with a post-renderer.
func render(t *testing.T, manifests string) string {
	t.Helper()
	out, err := helmrender.ForCluster().Run(bytes.NewBufferString(manifests))
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestMistakesAreFoundInTheError(t *testing.T) {
	twice := strings.ReplaceAll(claim, "ReadWriteOnce", "ReadWriteSometimes") + strings.ReplaceAll(claim, `"true"`, `"perhaps"`)
	out, err := helmrender.ForCluster().Run(bytes.NewBufferString(twice))
	if out != nil {
		t.Errorf("there is an error and a manifest, which Helm would store:\n%s", out)
	}
	var mistakes postrender.Mistakes
	if !errors.As(err, &mistakes) || len(mistakes) == 0 || mistakes[0].Object != "PersistentVolumeClaim data" {
		t.Errorf("error %v is no list of the claim's mistakes", err)
	}
}

func TestWhatWasWrittenBeforeAnErrorIsThrownAway(t *testing.T) {
	broken := errors.New("broken")
	half := helmrender.Renderer(func(_ io.Reader, out io.Writer) error {
		if _, err := io.WriteString(out, service); err != nil {
			t.Error(err)
		}
		return broken
	})
	if out, err := half.Run(bytes.NewBufferString(service + claim)); out != nil || !errors.Is(err, broken) {
		t.Errorf("got %v, %v; want no buffer, and the error", out, err)
	}
}

// TestPairs renders a pair in a program that embeds Helm, which gives the namespace.
func TestPairs(t *testing.T) {
	ctx := context.Background()
	pairs := postrender.Renderer{
		Namespace: func(context.Context) (string, error) { return "shop", nil },
		Classes:   storageclass.FromFiles(testdata.Copy(t, "postrender/classes.yaml")),
		Images:    func(context.Context) (postrender.Images, error) { return postrender.Untouched{}, nil },
	}
	out, err := helmrender.Renderer(func(in io.Reader, out io.Writer) error {
		_, err := pairs.Render(ctx, in, out)
		return err
	}).Run(bytes.NewBufferString(claim))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kind: PersistentVolume\n", "namespace: shop\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the pair has no %q:\n%s", want, out)
		}
	}
}

// TestSeveralReleasesAtOnce is for the race detector: an operator has one renderer
// and many workers.
func TestSeveralReleasesAtOnce(t *testing.T) {
	want, renderer := render(t, claim), helmrender.ForCluster()
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			out, err := renderer.Run(bytes.NewBufferString(claim))
			if err != nil || out.String() != want {
				t.Errorf("got %v, %v", out, err)
			}
		})
	}
	workers.Wait()
}
