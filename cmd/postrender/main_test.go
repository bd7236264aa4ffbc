package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/version"
	"github.com/cephferry/cephferry/testdata"
)

// claim is a file of testdata.
const claim = "postrender/claim/input.yaml"

// result is what a run leaves behind.
type result struct {
	Code           int
	Stdout, Stderr string
}

func runWith(t *testing.T, stdin string, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, system{strings.NewReader(stdin), &stdout, &stderr, func(name string) string { return env[name] }})
	return result{code, stdout.String(), stderr.String()}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := testdata.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// classes is the path of a file of StorageClasses.
func classes(t *testing.T) string {
	t.Helper()
	return testdata.Copy(t, "postrender/classes.yaml")
}

// TestNothingElseIsNeeded covers a dry run and --create never: with the
// namespace and the class from flags, neither Ceph, a cluster nor a home folder
// with a kubeconfig is asked for.
func TestNothingElseIsNeeded(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "no-such-file")
	t.Setenv("KUBECONFIG", nowhere)
	t.Setenv("CEPH_CONF", nowhere)
	created := readFile(t, "postrender/claim/expected.yaml")
	// How an image that exists is mapped stands in its record, which nobody reads here.
	existing := strings.Replace(created, "      mapOptions: exclusive,noshare\n", "", 1)
	for mode, want := range map[string]string{"--create=client --dry-run": created, "--create=never": existing} {
		got := runWith(t, readFile(t, claim), nil, append(strings.Fields(mode), "--namespace", "shop", "--storage-class", classes(t))...)
		if diff := cmp.Diff(result{Stdout: want}, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", mode, diff)
		}
	}
}

// TestDryRunWithKeys: the flag is enough to show whose name the images would carry.
func TestDryRunWithKeys(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "no-such-file"))
	got := runWith(t, readFile(t, claim), nil, "--create=client", "--dry-run", "--namespace", "shop", "--storage-class", classes(t), "--cluster-name", "east")
	want := strings.Replace(readFile(t, "postrender/claim/expected.yaml"), "volumeHandle: shop.data\n", "volumeHandle: shop.data~east\n", 1)
	if diff := cmp.Diff(result{Stdout: want}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestDryRunOnCephFS needs no more, and says what is missing.
func TestDryRunOnCephFS(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "no-such-file")
	t.Setenv("KUBECONFIG", nowhere)
	t.Setenv("CEPH_CONF", nowhere)
	want := result{
		Stdout: readFile(t, "postrender/cephfs-dry-run/expected.yaml"),
		Stderr: "postrender: " + readFile(t, "postrender/cephfs-dry-run/notes.txt"),
	}
	for _, create := range []string{"client", "never"} {
		got := runWith(t, readFile(t, "postrender/cephfs-dry-run/input.yaml"), nil,
			"--create", create, "--dry-run", "--namespace", "shop", "--storage-class", classes(t))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("--create %s (-want +got):\n%s", create, diff)
		}
	}
}

// TestForTheCluster is the default. It asks for even less: not for a namespace, nor
// for a class.
func TestForTheCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "no-such-file"))
	input := readFile(t, "cluster/claim/input.yaml")
	want := result{Stdout: readFile(t, "cluster/claim/expected.yaml")}
	for _, flags := range [][]string{nil, {"--create", "cluster"}} {
		if diff := cmp.Diff(want, runWith(t, input, nil, flags...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", flags, diff)
		}
	}
}

// TestNothingAnnotated needs not even flags: the stream passes as it is.
func TestNothingAnnotated(t *testing.T) {
	for name, stream := range map[string]string{
		"empty":            "",
		"only white space": " \n\n",
		"only a marker":    "---\n",
		"not annotated":    readFile(t, "postrender/nothing-annotated/input.yaml"),
		"not even YAML":    "{ [ \t\x00 : }",
	} {
		want := result{Stdout: stream}
		if diff := cmp.Diff(want, runWith(t, stream, nil)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestErrors(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("not: [a kubeconfig"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		// stdin is a file of testdata; empty means claim.
		stdin string
		args  []string
		want  string
	}{
		"a flag for the client": {
			args: []string{"--ceph-id", "app"},
			want: "postrender: --ceph-id: with --create cluster the cluster finds the class and Ceph itself; leave the flag out, or pass --create client\n",
		},
		"the name of a cluster that knows it": {
			args: []string{"--cluster-name", "east"},
			want: "postrender: --cluster-name: with --create cluster the cluster knows its name; leave the flag out, or pass --create client\n",
		},
		"the name of a cluster, and nobody looks": {
			args: []string{"--create=never", "--cluster-name", "east"},
			want: "postrender: --cluster-name: with --create never postrender does not check whether an image carries its owner's name; leave the flag out, or pass --create client\n",
		},
		"a cluster without a name": {
			args: []string{"--create=client", "--cluster-name", ""},
			want: "postrender: --cluster-name: is empty; leave the flag out, or pass the name\n",
		},
		"unknown creator": {
			args: []string{"--create", "magic"},
			want: "postrender: --create magic: must be cluster, client or never\n",
		},
		"unknown flag": {
			args: []string{"--colour"},
			want: "postrender: unknown flag: --colour\n",
		},
		"a file as argument": {
			args: []string{"manifests.yaml"},
			want: "postrender: unexpected argument \"manifests.yaml\"; manifests are read from standard input\n",
		},
		"namespace unknown": {
			args: []string{"--create=client", "--dry-run", "--storage-class", classes(t)},
			want: "postrender: PersistentVolumeClaim data: metadata.namespace: Required value: helm is not among the parent processes; pass the release's namespace: --namespace NAME, under helm --post-renderer-args --namespace=NAME\n",
		},
		"class file missing": {
			args: []string{"--create=client", "--dry-run", "--namespace", "shop", "--storage-class", "no-such-file"},
			want: "postrender: read StorageClass: open no-such-file: no such file or directory\n",
		},
		"CephFS by flags, with no cluster to read its subvolume group from": {
			stdin: "postrender/cephfs/input.yaml",
			args:  []string{"--create=client", "--dry-run=false", "--namespace", "shop", "--storage-class", classes(t), "--kubeconfig", kubeconfig, "--ceph-conf", "any"},
			want: "postrender: PersistentVolumeClaim shop/data: connect to the Ceph cluster of class \"cephfs\": only ceph-csi's config.json names the subvolume group of clusterID \"rook-ceph\", " +
				"and in any other group the claim would get a new, empty volume: connect to the Kubernetes cluster: error loading config file \"" + kubeconfig + "\": yaml: line 1: did not find expected ',' or ']'\n",
		},
		"an adoption, with no cluster to look at": {
			stdin: "postrender/claim-adopt/input.yaml",
			args:  []string{"--create=client", "--dry-run=false", "--namespace", "shop", "--storage-class", classes(t), "--kubeconfig", kubeconfig, "--ceph-conf", "any"},
			want: "postrender: PersistentVolumeClaim shop/data: check whether a volume of this cluster still uses the storage to adopt: " +
				"connect to the Kubernetes cluster: error loading config file \"" + kubeconfig + "\": yaml: line 1: did not find expected ',' or ']'\n",
		},
		"kubeconfig broken": {
			args: []string{"--create=client", "--dry-run", "--namespace", "shop", "--kubeconfig", kubeconfig},
			want: "postrender: connect to the Kubernetes cluster: error loading config file \"" + kubeconfig + "\": yaml: line 1: did not find expected ',' or ']'; name a StorageClass file with --storage-class instead\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			stdin := claim
			if test.stdin != "" {
				stdin = test.stdin
			}
			if diff := cmp.Diff(result{Code: 1, Stderr: test.want}, runWith(t, readFile(t, stdin), nil, test.args...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestHelm4Plugin covers the way around Helm 4's silence: exit code 0, and the
// error as a document that no parser takes.
func TestHelm4Plugin(t *testing.T) {
	got := runWith(t, readFile(t, claim), map[string]string{"HELM_PLUGIN_NAME": "cephferry"}, "--create", "magic")
	want := result{
		Stdout: "postrender: !!int \"--create magic: must be cluster, client or never\"\n",
		Stderr: "postrender: --create magic: must be cluster, client or never\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestHelm3Plugin: what people run as `helm cephferry list` ends as any program does.
func TestHelm3Plugin(t *testing.T) {
	for reason, args := range map[string][]string{
		"no-such-claim":         {"list", "--select", "pvc/no-such-claim"},
		"unknown flag: --magic": {"path", "--magic"},
		`"here" after path`:     {"path", "here"},
	} {
		got := runWith(t, readFile(t, claim), map[string]string{"HELM_PLUGIN_NAME": "cephferry"}, args...)
		if got.Code != 1 || got.Stdout != "" || !strings.Contains(got.Stderr, reason) {
			t.Errorf("%v: got %+v; want code 1 and %s on standard error", args, got, reason)
		}
	}
}

// TestPath: what is printed is the program that runs, which Helm 3 starts by this path.
func TestPath(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(result{Stdout: self + "\n"}, runWith(t, "", nil, "path")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestDoctorWithoutAnything finds neither Helm nor a cluster.
func TestDoctorWithoutAnything(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "no-such-file"))
	want := result{Code: 1, Stdout: `problem  helm       there is no helm, helm3 or helm4 in PATH
         do this    install Helm 3 or 4: https://helm.sh/docs/intro/install/
problem  cluster    connect to the Kubernetes cluster: invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable
         do this    export KUBECONFIG=FILE, or pass --kubeconfig and --kube-context
`}
	if diff := cmp.Diff(want, runWith(t, "", nil, "doctor")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestVersionAndHelp(t *testing.T) {
	if got := runWith(t, "", nil, "--version"); got.Code != 0 || got.Stdout != version.String()+"\n" || got.Stderr != "" {
		t.Errorf("--version: %+v", got)
	}
	if got := runWith(t, "", nil, "--help"); got.Code != 0 || got.Stdout != usage() || got.Stderr != "" {
		t.Errorf("--help: %+v", got)
	}
}

// brokenPipe fails like a reader that went away.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestOutputFails(t *testing.T) {
	var stderr bytes.Buffer
	code := run(context.Background(), nil, system{strings.NewReader("kind: Pod\n"), brokenPipe{}, &stderr, func(string) string { return "" }})
	if want := "postrender: write manifests: broken pipe\n"; code != 1 || stderr.String() != want {
		t.Errorf("code %d, stderr %q, want 1 and %q", code, stderr.String(), want)
	}
}
