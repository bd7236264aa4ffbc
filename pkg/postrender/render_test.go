package postrender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/postrender"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// claim is a migratable PVC of class "ceph-block" unless more says otherwise.
func claim(name, size, more string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: %s
  annotations: {cephferry.io/migratable: "true"}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: %s}}
%s`, name, size, more)
}

// calls counts what a renderer asks for.
type calls struct{ Namespace, Classes, Images, Connect int }

// renderer renders for namespace "shop" with the golden classes, on that Ceph.
// With none, it connects to nothing.
func renderer(t *testing.T, c *cephtest.Ceph) (postrender.Renderer, *calls) {
	t.Helper()
	counted := &calls{}
	read := goldenClasses(t)
	return postrender.Renderer{
		Namespace: func(context.Context) (string, error) {
			counted.Namespace++
			return "shop", nil
		},
		Classes: func(ctx context.Context) ([]storagev1.StorageClass, error) {
			counted.Classes++
			return read(ctx)
		},
		Images: func(context.Context) (postrender.Images, error) {
			counted.Images++
			if c == nil {
				return postrender.Untouched{}, nil
			}
			return postrender.Provisioned{Connect: func(ctx context.Context, _ storageclass.Class) (provision.Location, error) {
				counted.Connect++
				client, err := c.Dial(ctx, cephtest.Provisioner)
				if err != nil {
					return provision.Location{}, err
				}
				t.Cleanup(func() { client.Close() })
				return provision.Location{Cluster: client, RadosNamespace: "tenant", SubvolumeGroup: "csi"}, nil
			}}, nil
		},
	}, counted
}

func newCeph(images ...cephtest.Image) *cephtest.Ceph {
	return cephtest.New(
		cephtest.Pool{Name: "replicapool", Namespaces: []string{"tenant"}, Images: images},
		cephtest.Pool{Name: "metadata", Namespaces: []string{"tenant"}},
		cephtest.Pool{Name: "erasure"},
	)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestRenderAsksForNothingInVain counts what is asked for: a namespace, classes
// and images cost a look at other processes and servers.
func TestRenderAsksForNothingInVain(t *testing.T) {
	tests := map[string]struct {
		input string
		want  calls
		err   string
	}{
		"nothing": {},
		"nothing that is annotated": {
			input: strings.Replace(claim("data", "1Gi", ""), "cephferry.io/migratable", "example.com/migratable", 1),
		},
		"annotated, and not migratable": {
			input: strings.Replace(claim("data", "1Gi", ""), `"true"`, `"false"`, 1),
		},
		"a ConfigMap that mentions us": {
			input: "apiVersion: v1\nkind: ConfigMap\ndata: {text: cephferry.io/migratable}\n",
		},
		"many claims": {
			input: claim("a", "1Gi", "") + claim("b", "1Gi", "") + claim("c", "1Gi", "  storageClassName: ceph-tuned\n"),
			want:  calls{Namespace: 1, Classes: 1, Images: 1, Connect: 2},
		},
		"claims that name their namespace": {
			input: strings.Replace(claim("a", "1Gi", ""), "name: a", "name: a\n  namespace: other", 1),
			want:  calls{Classes: 1, Images: 1, Connect: 1},
		},
		"a mistake that is seen without classes": {
			input: claim("a", "1Gi", "") + strings.Replace(claim("b", "1Gi", ""), `"true"`, `"yes"`, 1),
			want:  calls{Namespace: 1, Classes: 1},
			err:   `PersistentVolumeClaim b: metadata.annotations[cephferry.io/migratable]: Invalid value: "yes": must be "true" or "false"`,
		},
		"a document that cannot be parsed": {
			input: claim("a", "1Gi", "") + "---\n# cephferry.io\nkind: PersistentVolumeClaim\na: [\n",
			err:   "parse the manifest that starts at line 11: yaml: line 3: did not find expected node content",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, got := renderer(t, newCeph())
			var out strings.Builder
			_, err := r.Render(t.Context(), strings.NewReader(test.input), &out)
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if err != nil && out.Len() > 0 {
				t.Errorf("output beside an error: %q", out.String())
			}
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRenderPassesErrorsOn: what fails around the renderer is named, and nothing
// is written.
func TestRenderPassesErrorsOn(t *testing.T) {
	cause := errors.New("cause")
	tests := map[string]struct {
		change func(*postrender.Renderer)
		in     io.Reader
		want   string
	}{
		"the input": {
			in:   iotest.ErrReader(cause),
			want: "read manifests: cause",
		},
		"the input, half way": {
			in:   io.MultiReader(strings.NewReader(claim("data", "1Gi", "")), iotest.ErrReader(cause)),
			want: "read manifests: cause",
		},
		"the namespace": {
			change: func(r *postrender.Renderer) {
				r.Namespace = func(context.Context) (string, error) { return "", cause }
			},
			want: "PersistentVolumeClaim data: metadata.namespace: Required value: cause",
		},
		"the classes": {
			change: func(r *postrender.Renderer) {
				r.Classes = func(context.Context) ([]storagev1.StorageClass, error) { return nil, cause }
			},
			want: "cause",
		},
		"the images": {
			change: func(r *postrender.Renderer) {
				r.Images = func(context.Context) (postrender.Images, error) { return nil, cause }
			},
			want: "cause",
		},
		"the connection": {
			change: func(r *postrender.Renderer) {
				r.Images = func(context.Context) (postrender.Images, error) {
					return postrender.Provisioned{Connect: func(context.Context, storageclass.Class) (provision.Location, error) {
						return provision.Location{}, cause
					}}, nil
				}
			},
			want: `PersistentVolumeClaim shop/data: connect to the Ceph cluster of class "ceph-block": cause`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, _ := renderer(t, nil)
			if test.change != nil {
				test.change(&r)
			}
			if test.in == nil {
				test.in = strings.NewReader(claim("data", "1Gi", ""))
			}
			var out strings.Builder
			notes, err := r.Render(t.Context(), test.in, &out)
			if diff := cmp.Diff(test.want, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if out.Len() > 0 || notes != nil {
				t.Errorf("output or notes beside an error: %q, %v", out.String(), notes)
			}
		})
	}
}

// TestRenderCannotWrite has an output that fails.
func TestRenderCannotWrite(t *testing.T) {
	for name, input := range map[string]string{"a pair": claim("data", "1Gi", ""), "nothing annotated": "a: 1\n"} {
		t.Run(name, func(t *testing.T) {
			r, _ := renderer(t, nil)
			reader, writer := io.Pipe()
			if err := reader.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := r.Render(t.Context(), strings.NewReader(input), writer)
			if want := "write manifests: io: read/write on closed pipe"; text(err) != want {
				t.Errorf("got %q, want %q", text(err), want)
			}
			if !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%v is not io.ErrClosedPipe", err)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	one := postrender.Mistake{Object: "PersistentVolumeClaim shop/a", Err: errors.New("no")}
	full := postrender.Mistake{Object: "PersistentVolumeClaim shop/b", Err: fmt.Errorf("create image %q: %w", "p/b", ceph.ErrPoolFull)}
	tests := map[string]struct {
		mistakes postrender.Mistakes
		want     string
	}{
		"one": {postrender.Mistakes{one}, "PersistentVolumeClaim shop/a: no"},
		"a key of type aes256k": {postrender.Mistakes{{Object: "PersistentVolumeClaim shop/b", Err: fmt.Errorf("connect: %w (librados 16.2.15: invalid argument)", ceph.ErrKeyType)}},
			"PersistentVolumeClaim shop/b: connect: the key is of type aes256k, which this program's librados does not know (librados 16.2.15: invalid argument); " +
				"run a build with librados of Ceph 19.2.6, 20.2.4 or later, or give the user a key of the old type; see docs/security.md"},
		"one with advice": {postrender.Mistakes{full}, `PersistentVolumeClaim shop/b: create image "p/b": the pool is full or its quota is used up; ` + ceph.Advice(ceph.ErrPoolFull)},
		"several": {postrender.Mistakes{one, full}, "2 mistakes:\n  PersistentVolumeClaim shop/a: no\n" +
			`  PersistentVolumeClaim shop/b: create image "p/b": the pool is full or its quota is used up; ` + ceph.Advice(ceph.ErrPoolFull)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.mistakes.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	err := fmt.Errorf("around: %w", postrender.Mistakes{one, full})
	if !errors.Is(err, one.Err) || !errors.Is(err, ceph.ErrPoolFull) || errors.Is(err, ceph.ErrAuth) {
		t.Error("errors.Is does not see the causes through Mistakes")
	}
	var mistakes postrender.Mistakes
	if !errors.As(err, &mistakes) || len(mistakes) != 2 {
		t.Errorf("errors.As does not find the mistakes in %v", err)
	}
}

// TestProvisioned renders three claims of two classes on a Ceph in memory.
func TestProvisioned(t *testing.T) {
	input := claim("a", "1Gi", "") + claim("b", "1Gi", "  storageClassName: ceph-tuned\n") + claim("c", "2Gi", "")
	image := func(name string, size uint64) cephtest.Image {
		return cephtest.Image{Namespace: "tenant", Name: name, Layout: ceph.Layout{Size: size}, ClaimSize: size}
	}
	const gib = 1 << 30
	tests := map[string]struct {
		images    []cephtest.Image
		intercept cephtest.Interceptor
		notes     []string
		err       string
		is        error
		created   int
	}{
		"all are made": {
			notes:   []string{"created image replicapool/tenant/shop.a, metadata/tenant/shop.b, replicapool/tenant/shop.c"},
			created: 3,
		},
		"one is made and one grown": {
			images:  []cephtest.Image{image("shop.a", gib), image("shop.c", gib)},
			notes:   []string{"created image metadata/tenant/shop.b", "grew image replicapool/tenant/shop.c to 2Gi"},
			created: 1,
		},
		"Ceph does not answer: one line for a class": {
			intercept: cephtest.Unreachable,
			err: "2 mistakes:\n" +
				`  PersistentVolumeClaim shop/a: look at image "replicapool/tenant/shop.a": ceph does not answer; ` + ceph.Advice(ceph.ErrUnreachable) + "\n" +
				`  PersistentVolumeClaim shop/b: look at image "metadata/tenant/shop.b": ceph does not answer; ` + ceph.Advice(ceph.ErrUnreachable),
			is: ceph.ErrUnreachable,
		},
		"a refusal: nothing is made": {
			images: []cephtest.Image{image("shop.c", 4*gib)},
			err:    "PersistentVolumeClaim shop/c: spec.resources.requests[storage]: the request is below the volume's size: image replicapool/tenant/shop.c has 4Gi, the claim asks for 2Gi; images never shrink, so ask for at least 4Gi",
			is:     provision.ErrBelow,
		},
		"the last fails: what exists is named": {
			intercept: func(_ context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == "CreateImage" && call.Image.Name == "shop.c" {
					return ceph.ErrPoolFull
				}
				return proceed()
			},
			notes: []string{"created image replicapool/tenant/shop.a, metadata/tenant/shop.b"},
			err: `PersistentVolumeClaim shop/c: create image "replicapool/tenant/shop.c": the pool is full or its quota is used up; ` + ceph.Advice(ceph.ErrPoolFull) + "\n" +
				"created image replicapool/tenant/shop.a, metadata/tenant/shop.b before that; nothing is rolled back, and running the same command again continues",
			is:      ceph.ErrPoolFull,
			created: 3,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCeph(test.images...)
			c.Intercept(test.intercept)
			r, _ := renderer(t, c)
			var out strings.Builder
			notes, err := r.Render(t.Context(), strings.NewReader(input), &out)
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("errors.Is(%v, %v) is false", err, test.is)
			}
			if diff := cmp.Diff(test.notes, notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			if (err == nil) != (out.Len() > 0) {
				t.Errorf("error %v with %d bytes of output", err, out.Len())
			}
			created := 0
			for _, call := range c.Calls() {
				if call.Method == "CreateImage" {
					created++
				}
			}
			if created != test.created {
				t.Errorf("%d images were to be created, want %d", created, test.created)
			}
		})
	}
}

// TestRenderContinues repeats a command that failed half way.
func TestRenderContinues(t *testing.T) {
	c := newCeph()
	c.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "CreateImage" && call.Image.Name == "shop.b" {
			return ceph.ErrUnreachable
		}
		return proceed()
	})
	r, _ := renderer(t, c)
	input := claim("a", "1Gi", "") + claim("b", "1Gi", "")
	if _, err := r.Render(t.Context(), strings.NewReader(input), io.Discard); !errors.Is(err, ceph.ErrUnreachable) {
		t.Fatalf("got %v, want ErrUnreachable", err)
	}
	c.Intercept(nil)
	var out bytes.Buffer
	notes, err := r.Render(t.Context(), strings.NewReader(input), &out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"created image replicapool/tenant/shop.b"}, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if got := strings.Count(out.String(), "\nkind: PersistentVolume\n"); got != 2 {
		t.Errorf("%d PersistentVolumes, want 2", got)
	}
}
