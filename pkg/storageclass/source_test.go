package storageclass_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cephferry/cephferry/pkg/storageclass"
)

const (
	ga   = "storageclass.kubernetes.io/is-default-class"
	beta = "storageclass.beta.kubernetes.io/is-default-class"
)

func class(name string, change func(*storagev1.StorageClass)) storagev1.StorageClass {
	class := storagev1.StorageClass{
		TypeMeta:   metav1.TypeMeta{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
	}
	if change != nil {
		change(&class)
	}
	return class
}

// marked is a class with a default annotation, made in that year; zero for no
// creation time.
func marked(name, annotation, value string, year int) storagev1.StorageClass {
	return class(name, func(c *storagev1.StorageClass) {
		c.Annotations = map[string]string{annotation: value}
		if year != 0 {
			c.CreationTimestamp = metav1.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC)
		}
	})
}

func TestFind(t *testing.T) {
	tests := map[string]struct {
		classes []storagev1.StorageClass
		name    string
		want    string
		is      error
		err     string
	}{
		"by name": {
			classes: []storagev1.StorageClass{marked("a", ga, "true", 2020), class("b", nil)},
			name:    "b",
			want:    "b",
		},
		"a name that there is not": {
			classes: []storagev1.StorageClass{class("b", nil), class("a", nil)},
			name:    "c",
			is:      storageclass.ErrNotFound,
			err:     `no such StorageClass as "c"; there are: "a", "b"`,
		},
		"a name in a cluster without classes": {
			name: "c",
			is:   storageclass.ErrNotFound,
			err:  `no such StorageClass as "c"; there are: (no classes)`,
		},
		"the default": {
			classes: []storagev1.StorageClass{class("a", nil), marked("b", ga, "true", 2020), marked("c", ga, "false", 2021)},
			want:    "b",
		},
		"the default by the beta annotation": {
			classes: []storagev1.StorageClass{class("a", nil), marked("b", beta, "true", 0)},
			want:    "b",
		},
		"the newest of several defaults": {
			classes: []storagev1.StorageClass{marked("a", ga, "true", 2020), marked("b", beta, "true", 2022), marked("c", ga, "true", 2021)},
			want:    "b",
		},
		"the first name of several defaults of one age": {
			classes: []storagev1.StorageClass{marked("c", ga, "true", 2020), marked("a", ga, "true", 2020), marked("b", ga, "true", 2020)},
			want:    "a",
		},
		"several defaults of files": {
			classes: []storagev1.StorageClass{marked("b", ga, "true", 0), class("x", nil), marked("a", ga, "true", 0)},
			is:      storageclass.ErrDefault,
			err:     `no single default StorageClass: "a", "b" are all marked as default; name one in spec.storageClassName`,
		},
		"no default": {
			classes: []storagev1.StorageClass{class("b", nil), marked("a", ga, "True", 2020)},
			is:      storageclass.ErrDefault,
			err:     `no single default StorageClass: none of "a", "b" is marked as default`,
		},
		"no default in a cluster without classes": {
			is:  storageclass.ErrDefault,
			err: `no single default StorageClass: none of (no classes) is marked as default`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := storageclass.Find(test.classes, test.name)
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Fatalf("error (-want +got):\n%s", diff)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("errors.Is(%v, %v) is false", err, test.is)
			}
			if err == nil && got.Name != test.want {
				t.Errorf("got %q, want %q", got.Name, test.want)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestFromFiles(t *testing.T) {
	const block = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: block}\nprovisioner: rbd.csi.ceph.com\nparameters: {pool: a}\n"
	want := class("block", func(c *storagev1.StorageClass) {
		c.Provisioner, c.Parameters = "rbd.csi.ceph.com", map[string]string{"pool": "a"}
	})
	tests := map[string]struct {
		files []string
		want  []storagev1.StorageClass
		err   string
	}{
		"no files": {},
		"one document": {
			files: []string{block},
			want:  []storagev1.StorageClass{want},
		},
		"with comments, empty documents and CRLF": {
			files: []string{"# head\r\n---\r\n# nothing\r\n---\r\n" + strings.ReplaceAll(block, "\n", "\r\n") + "---\r\n"},
			want:  []storagev1.StorageClass{want},
		},
		"several documents, other kinds among them": {
			files: []string{"---\n" + block + "---\nkind: ConfigMap\napiVersion: v1\n---\napiVersion: example.com/v1\nkind: StorageClass\nmetadata: {name: other}\n---\n" + strings.Replace(block, "block", "second", 1)},
			want: []storagev1.StorageClass{want, class("second", func(c *storagev1.StorageClass) {
				c.Provisioner, c.Parameters = want.Provisioner, want.Parameters
			})},
		},
		"a List, as kubectl get prints it": {
			files: []string{"apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n  ") + "\n- apiVersion: v1\n  kind: ConfigMap\n"},
			want:  []storagev1.StorageClass{want},
		},
		"JSON": {
			files: []string{`{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"block"},"provisioner":"rbd.csi.ceph.com","parameters":{"pool":"a"}}`},
			want:  []storagev1.StorageClass{want},
		},
		"several files": {
			files: []string{block, block},
			want:  []storagev1.StorageClass{want, want},
		},
		"a file without a class": {
			files: []string{block, "apiVersion: v1\nkind: ConfigMap\n"},
			err:   `read StorageClass from "1.yaml": the file has none`,
		},
		"an empty file": {
			files: []string{""},
			err:   `read StorageClass from "0.yaml": the file has none`,
		},
		"a malformed file": {
			files: []string{"kind: [\n"},
			err:   `read StorageClass from "0.yaml": error converting YAML to JSON: yaml: line 1: did not find expected node content`,
		},
		"a document that is no object": {
			files: []string{"- a\n"},
			err:   `read StorageClass from "0.yaml": error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type map[string]interface {}`,
		},
		"a parameter that is no string": {
			files: []string{"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: block}\nparameters: {stripeCount: 4}\n"},
			err:   `read StorageClass from "0.yaml": StorageClass "block": json: cannot unmarshal number into Go struct field StorageClass.parameters of type string`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir() + string(filepath.Separator)
			var names []string
			for i, content := range test.files {
				file := dir + string(rune('0'+i)) + ".yaml"
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				names = append(names, file)
			}
			got, err := storageclass.FromFiles(names...)(t.Context())
			if diff := cmp.Diff(test.err, strings.ReplaceAll(text(err), dir, "")); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFromFilesWithoutTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "gone.yaml")
	_, err := storageclass.FromFiles(name)(t.Context())
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is not os.ErrNotExist: %v", err)
	}
	if want := "read StorageClass: open " + name + ": no such file or directory"; text(err) != want {
		t.Errorf("got %q, want %q", text(err), want)
	}
}

func TestFromCluster(t *testing.T) {
	first, second := marked("a", ga, "true", 2020), class("b", func(c *storagev1.StorageClass) { c.Provisioner = "rbd.csi.ceph.com" })
	client := fake.NewSimpleDynamicClient(scheme.Scheme, &first, &second)
	got, err := storageclass.FromCluster(client)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]storagev1.StorageClass{first, second}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFromClusterWithoutRights(t *testing.T) {
	client := fake.NewSimpleDynamicClient(scheme.Scheme)
	client.PrependReactor("list", "storageclasses", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(storageclass.Resource.GroupResource(), "", errors.New(`user "dev" cannot list resource`))
	})
	_, err := storageclass.FromCluster(client)(t.Context())
	if !apierrors.IsForbidden(err) {
		t.Errorf("the error is not Forbidden: %v", err)
	}
	const want = `list the cluster's StorageClasses: storageclasses.storage.k8s.io is forbidden: user "dev" cannot list resource; name a file with --storage-class instead`
	if diff := cmp.Diff(want, text(err)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
