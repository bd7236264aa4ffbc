package provision_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func subvolumeSpec(name string) ceph.SubvolumeSpec {
	return ceph.SubvolumeSpec{Filesystem: "shared", Group: "tenant", Name: name}
}

// newShared has these subvolumes in group "tenant" of file system "shared", and
// images as newCeph.
func newShared(subvolumes []cephtest.Subvolume, images ...cephtest.Image) *cephtest.Ceph {
	c := newCeph(images...)
	for i := range subvolumes {
		subvolumes[i].Group = "tenant"
	}
	c.AddFilesystem(cephtest.Filesystem{Name: "shared", DataPools: []string{"erasure"}, Subvolumes: subvolumes})
	return c
}

// lookSubvolume returns quota and recorded size; zero for none.
func lookSubvolume(t *testing.T, c *cephtest.Ceph, name string) stored {
	t.Helper()
	client := dial(t, c)
	found, err := client.Subvolume(t.Context(), subvolumeSpec(name))
	if errors.Is(err, ceph.ErrSubvolumeNotFound) {
		return stored{}
	} else if err != nil {
		t.Fatal(err)
	}
	record, err := client.SubvolumeRecord(t.Context(), found)
	if err != nil && !errors.Is(err, ceph.ErrRecordNotFound) {
		t.Fatal(err)
	}
	return stored{found.Size, record.ClaimSize}
}

// subvolumeChanges are the methods that were called and can change something.
func subvolumeChanges(c *cephtest.Ceph) []string {
	var all []string
	for _, call := range c.Calls() {
		if call.Subvolume.Name != "" && call.Method != "Subvolume" && call.Method != "SubvolumeRecord" {
			all = append(all, call.Method)
		}
	}
	return all
}

func TestEnsureSubvolume(t *testing.T) {
	tests := map[string]struct {
		there   []cephtest.Subvolume
		request provision.Request
		want    outcome
		stored  stored
		changes []string
	}{
		"create": {
			request: provision.Request{Size: 8 * gib},
			want:    outcome{ClaimSize: 8 * gib, Created: true},
			stored:  stored{8 * gib, 8 * gib},
			changes: []string{"CreateSubvolume", "PutSubvolumeRecord"},
		},
		"create, with a size of no whole MiB": {
			request: provision.Request{Size: 100_500_000},
			want:    outcome{ClaimSize: 100_500_000, Created: true},
			stored:  stored{100_500_000, 100_500_000},
			changes: []string{"CreateSubvolume", "PutSubvolumeRecord"},
		},
		"record": {
			there:   []cephtest.Subvolume{{Name: "a", Size: 8 * gib}},
			request: provision.Request{Size: 8 * gib},
			want:    outcome{ClaimSize: 8 * gib},
			stored:  stored{8 * gib, 8 * gib},
			changes: []string{"PutSubvolumeRecord"},
		},
		"grow": {
			there:   []cephtest.Subvolume{{Name: "a", Size: 8 * gib, ClaimSize: 4 * gib}},
			request: provision.Request{Size: 10*gib - 1},
			want:    outcome{ClaimSize: 4 * gib, Grown: true},
			stored:  stored{10*gib - 1, 4 * gib},
			changes: []string{"GrowSubvolume"},
		},
		"keep": {
			there:   []cephtest.Subvolume{{Name: "a", Size: 8 * gib, ClaimSize: 4 * gib}},
			request: provision.Request{Size: 8 * gib},
			want:    outcome{ClaimSize: 4 * gib},
			stored:  stored{8 * gib, 4 * gib},
		},
		"what a creation left that died": {
			there:   []cephtest.Subvolume{{Name: "a"}},
			request: provision.Request{Size: 8 * gib},
			want:    outcome{ClaimSize: 8 * gib, Grown: true},
			stored:  stored{8 * gib, 8 * gib},
			changes: []string{"GrowSubvolume", "PutSubvolumeRecord"},
		},
		"adopt": {
			there:   []cephtest.Subvolume{{Name: "a", Size: 8 * gib}},
			request: provision.Request{Size: 4 * gib, Adopt: true},
			want:    outcome{ClaimSize: 8 * gib},
			stored:  stored{8 * gib, 8 * gib},
			changes: []string{"PutSubvolumeRecord"},
		},
		"adopt what has no quota": {
			there:   []cephtest.Subvolume{{Name: "a"}},
			request: provision.Request{Size: 4 * gib, Adopt: true},
			want:    outcome{ClaimSize: 4 * gib},
			stored:  stored{0, 4 * gib},
			changes: []string{"PutSubvolumeRecord"},
		},
		"adopt what does not exist": {
			request: provision.Request{Size: 8 * gib, Adopt: true},
			want:    outcome{Err: "adopt subvolume shared/tenant/a: the subvolume does not exist"},
		},
		"below the subvolume": {
			there:   []cephtest.Subvolume{{Name: "a", Size: 8 * gib, ClaimSize: 4 * gib}},
			request: provision.Request{Size: 4 * gib},
			want:    outcome{Err: "the request is below the volume's size: subvolume shared/tenant/a has 8Gi, the claim asks for 4Gi; subvolumes never shrink, so ask for at least 8Gi"},
			stored:  stored{8 * gib, 4 * gib},
		},
		"look": {
			there:   []cephtest.Subvolume{{Name: "a", Size: 8 * gib, ClaimSize: 4 * gib}},
			request: provision.Request{Size: 9 * gib, Look: true},
			want:    outcome{ClaimSize: 4 * gib},
			stored:  stored{8 * gib, 4 * gib},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShared(test.there)
			client := dial(t, c)
			test.request.Volume = provision.Subvolume{Cluster: client, SubvolumeSpec: subvolumeSpec("a"), DataPool: "erasure"}
			results := provision.Ensure(t.Context(), []provision.Request{test.request})
			if diff := cmp.Diff([]outcome{test.want}, outcomes(results)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.changes, subvolumeChanges(c)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stored, lookSubvolume(t, c, "a")); diff != "" {
				t.Errorf("in Ceph (-want +got):\n%s", diff)
			}
			if results[0].Err != nil {
				return
			}
			there, err := client.Subvolume(t.Context(), subvolumeSpec("a"))
			if err != nil {
				t.Fatal(err)
			}
			if results[0].Path == "" || results[0].Path != there.Path {
				t.Errorf("path is %q, want %q", results[0].Path, there.Path)
			}
			if got := c.SubvolumeLayout(subvolumeSpec("a")).DataPool; results[0].Created && got != "erasure" {
				t.Errorf("data pool is %q", got)
			}
		})
	}
}

// TestEnsureSubvolumeOvertaken lets another process act between the look and the
// act.
func TestEnsureSubvolumeOvertaken(t *testing.T) {
	tests := map[string]struct {
		there  []cephtest.Subvolume
		before string
		act    func(context.Context, ceph.Cluster) error
		want   outcome
		stored stored
	}{
		"the other makes it": {
			before: "CreateSubvolume",
			act: func(ctx context.Context, other ceph.Cluster) error {
				_, err := other.CreateSubvolume(ctx, subvolumeSpec("a"), ceph.SubvolumeLayout{Size: 8 * gib})
				return err
			},
			want:   outcome{ClaimSize: 8 * gib},
			stored: stored{8 * gib, 8 * gib},
		},
		"the other grows it further": {
			there:  []cephtest.Subvolume{{Name: "a", Size: 4 * gib, ClaimSize: 4 * gib}},
			before: "GrowSubvolume",
			act: func(ctx context.Context, other ceph.Cluster) error {
				return other.GrowSubvolume(ctx, subvolumeSpec("a"), 16*gib)
			},
			want:   outcome{Err: "the request is below the volume's size: subvolume shared/tenant/a has 16Gi, the claim asks for 8Gi; subvolumes never shrink, so ask for at least 16Gi"},
			stored: stored{16 * gib, 4 * gib},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShared(test.there)
			other := dial(t, c)
			c.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == test.before {
					c.Intercept(nil) // once, and not for the other's own calls
					if err := test.act(ctx, other); err != nil {
						t.Error(err)
					}
				}
				return proceed()
			})
			volume := provision.Subvolume{Cluster: dial(t, c), SubvolumeSpec: subvolumeSpec("a")}
			results := provision.Ensure(t.Context(), []provision.Request{{Volume: volume, Size: 8 * gib}})
			if diff := cmp.Diff([]outcome{test.want}, outcomes(results)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stored, lookSubvolume(t, c, "a")); diff != "" {
				t.Errorf("in Ceph (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEnsureBothKinds: a refusal of one kind keeps the other from being made, and
// the summary names both.
func TestEnsureBothKinds(t *testing.T) {
	c := newShared([]cephtest.Subvolume{{Name: "d", Size: gib, ClaimSize: gib}}, image("c", 8*gib, 8*gib))
	at := provision.Location{Cluster: dial(t, c), RadosNamespace: "tenant", SubvolumeGroup: "tenant"}
	block := storageclass.Class{RBD: &storageclass.RBD{Pool: "replicapool", Layout: layout}}
	shared := storageclass.Class{CephFS: &storageclass.CephFS{Filesystem: "shared"}}
	requests := []provision.Request{
		{Volume: at.Volume(block, "a"), Size: gib},
		{Volume: at.Volume(shared, "b"), Size: gib},
		{Volume: at.Volume(block, "c"), Size: gib},
		{Volume: at.Volume(shared, "d"), Size: 2 * gib},
	}
	const below = "the request is below the volume's size: image replicapool/tenant/c has 8Gi, the claim asks for 1Gi; images never shrink, so ask for at least 8Gi"
	want := []outcome{{ClaimSize: gib}, {ClaimSize: gib}, {Err: below}, {ClaimSize: gib}}
	results := provision.Ensure(t.Context(), requests)
	if diff := cmp.Diff(want, outcomes(results)); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	for _, call := range c.Calls() {
		if strings.HasPrefix(call.Method, "Create") || strings.HasPrefix(call.Method, "Put") || strings.HasPrefix(call.Method, "Grow") {
			t.Errorf("%s, although one is refused", call.Method)
		}
	}

	requests[2].Size = 9 * gib
	want = []outcome{{ClaimSize: gib, Created: true}, {ClaimSize: gib, Created: true}, {ClaimSize: 8 * gib, Grown: true}, {ClaimSize: gib, Grown: true}}
	results = provision.Ensure(t.Context(), requests)
	if diff := cmp.Diff(want, outcomes(results)); diff != "" {
		t.Errorf("carried out (-want +got):\n%s", diff)
	}
	lines := []string{
		"created image replicapool/tenant/a", "created subvolume shared/tenant/b",
		"grew image replicapool/tenant/c to 9Gi", "grew subvolume shared/tenant/d to 2Gi",
	}
	if diff := cmp.Diff(lines, provision.Summary(requests, results)); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}
