package provision_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/provision"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

var layout = ceph.Layout{Features: []string{"exclusive-lock", "layering"}, DataPool: "erasure"}

func spec(name string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: "replicapool", Namespace: "tenant", Name: name}
}

// newCeph has these images in rados namespace "tenant" of pool "replicapool".
func newCeph(images ...cephtest.Image) *cephtest.Ceph {
	for i := range images {
		images[i].Namespace = "tenant"
	}
	return cephtest.New(cephtest.Pool{Name: "erasure"}, cephtest.Pool{Name: "replicapool", Namespaces: []string{"tenant"}, Images: images})
}

// image exists with that size; claim is the recorded size, 0 for no record.
func image(name string, size, claim uint64) cephtest.Image {
	return cephtest.Image{Name: name, Layout: ceph.Layout{Size: size}, ClaimSize: claim}
}

func dial(t *testing.T, c *cephtest.Ceph) ceph.Cluster {
	t.Helper()
	client, err := c.Dial(t.Context(), cephtest.Provisioner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// requests ask for images of these sizes.
func requests(cluster provision.ImageCluster, sizes map[string]uint64) []provision.Request {
	var all []provision.Request
	for name, size := range sizes {
		all = append(all, provision.Request{Volume: provision.Image{Cluster: cluster, ImageSpec: spec(name), Layout: layout}, Size: size})
	}
	slices.SortFunc(all, func(a, b provision.Request) int { return strings.Compare(a.Volume.String(), b.Volume.String()) })
	return all
}

// outcome is a result with its error as text.
type outcome struct {
	ClaimSize      uint64
	Created, Grown bool
	Err            string
}

func outcomes(results []provision.Result) []outcome {
	var all []outcome
	for _, r := range results {
		o := outcome{r.ClaimSize, r.Created, r.Grown, ""}
		if r.Err != nil {
			o.Err = r.Err.Error()
		}
		all = append(all, o)
	}
	return all
}

// stored is the image's size and the size in its record; zero for none.
type stored struct{ Size, Claim uint64 }

func look(t *testing.T, c *cephtest.Ceph, name string) stored {
	t.Helper()
	client := dial(t, c)
	found, err := client.Image(t.Context(), spec(name))
	if errors.Is(err, ceph.ErrImageNotFound) {
		return stored{}
	} else if err != nil {
		t.Fatal(err)
	}
	record, err := client.Record(t.Context(), found)
	if err != nil && !errors.Is(err, ceph.ErrRecordNotFound) {
		t.Fatal(err)
	}
	return stored{found.Size, record.ClaimSize}
}

// changes are the methods that were called and can change something.
func changes(c *cephtest.Ceph) []string {
	var all []string
	for _, call := range c.Calls() {
		if call.Method != "Image" && call.Method != "Keys" && call.Method != "Record" {
			all = append(all, call.Method+" "+call.Image.Name)
		}
	}
	slices.Sort(all)
	return all
}

func TestEnsureOne(t *testing.T) {
	tests := map[string]struct {
		images  []cephtest.Image
		request provision.Request
		want    outcome
		stored  stored
		changes []string
	}{
		"create": {
			request: provision.Request{Size: 8 * gib},
			want:    outcome{ClaimSize: 8 * gib, Created: true},
			stored:  stored{8 * gib, 8 * gib},
			changes: []string{"CreateImage a", "PutRecord a"},
		},
		"create, with a size of no whole MiB": {
			request: provision.Request{Size: 100_500_000},
			want:    outcome{ClaimSize: 100_500_000, Created: true},
			stored:  stored{96 * mib, 100_500_000},
			changes: []string{"CreateImage a", "PutRecord a"},
		},
		"record": {
			images:  []cephtest.Image{image("a", 8*gib, 0)},
			request: provision.Request{Size: 8 * gib},
			want:    outcome{ClaimSize: 8 * gib},
			stored:  stored{8 * gib, 8 * gib},
			changes: []string{"PutRecord a"},
		},
		"grow": {
			images:  []cephtest.Image{image("a", 8*gib, 4*gib)},
			request: provision.Request{Size: 10*gib - 1},
			want:    outcome{ClaimSize: 4 * gib, Grown: true},
			stored:  stored{10 * gib, 4 * gib},
			changes: []string{"GrowImage a"},
		},
		"keep": {
			images:  []cephtest.Image{image("a", 8*gib, 4*gib)},
			request: provision.Request{Size: 8 * gib},
			want:    outcome{ClaimSize: 4 * gib},
			stored:  stored{8 * gib, 4 * gib},
		},
		"adopt what exists": {
			images:  []cephtest.Image{image("a", 8*gib, 0)},
			request: provision.Request{Size: 8 * gib, Adopt: true},
			want:    outcome{ClaimSize: 8 * gib},
			stored:  stored{8 * gib, 8 * gib},
			changes: []string{"PutRecord a"},
		},
		"adopt what does not exist": {
			request: provision.Request{Size: 8 * gib, Adopt: true},
			want:    outcome{Err: "adopt image replicapool/tenant/a: the image does not exist"},
		},
		"look at what does not exist": {
			request: provision.Request{Size: 8 * gib, Look: true},
		},
		"look at what has a record": {
			images:  []cephtest.Image{image("a", 8*gib, 4*gib)},
			request: provision.Request{Size: 1 * gib, Look: true},
			want:    outcome{ClaimSize: 4 * gib},
			stored:  stored{8 * gib, 4 * gib},
		},
		"below the image": {
			images:  []cephtest.Image{image("a", 8*gib, 4*gib)},
			request: provision.Request{Size: 4 * gib},
			want:    outcome{Err: "the request is below the volume's size: image replicapool/tenant/a has 8Gi, the claim asks for 4Gi; images never shrink, so ask for at least 8Gi"},
			stored:  stored{8 * gib, 4 * gib},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCeph(test.images...)
			test.request.Volume = provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}
			results := provision.Ensure(t.Context(), []provision.Request{test.request})
			if diff := cmp.Diff([]outcome{test.want}, outcomes(results)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.changes, changes(c)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stored, look(t, c, "a")); diff != "" {
				t.Errorf("in Ceph (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEnsureAdopts: an adopted image's size and features are its own.
func TestEnsureAdopts(t *testing.T) {
	tests := map[string]struct {
		recorded uint64
		request  provision.Request
		want     provision.Result
		stored   stored
		changes  []string
	}{
		"for a smaller claim": {
			request: provision.Request{Size: 4 * gib},
			want:    provision.Result{ClaimSize: 8 * gib},
			stored:  stored{8 * gib, 8 * gib},
			changes: []string{"PutRecord a"},
		},
		"for a larger claim": {
			request: provision.Request{Size: 9 * gib},
			want:    provision.Result{ClaimSize: 9 * gib, Grown: true},
			stored:  stored{9 * gib, 9 * gib},
			changes: []string{"GrowImage a", "PutRecord a"},
		},
		"again": {
			recorded: 6 * gib,
			request:  provision.Request{Size: 4 * gib},
			want:     provision.Result{ClaimSize: 6 * gib},
			stored:   stored{8 * gib, 6 * gib},
		},
		"only to look": {
			request: provision.Request{Size: 4 * gib, Look: true},
			want:    provision.Result{ClaimSize: 8 * gib},
			stored:  stored{8 * gib, 0},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			adopted := image("a", 8*gib, test.recorded)
			adopted.Layout.Features, adopted.Layout.DataPool = []string{"deep-flatten", "layering"}, "erasure"
			c := newCeph(adopted)
			test.request.Volume, test.request.Adopt = provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}, true
			test.want.Features = []string{"deep-flatten", "layering"}
			got := provision.Ensure(t.Context(), []provision.Request{test.request})
			if diff := cmp.Diff([]provision.Result{test.want}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(test.changes, changes(c)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stored, look(t, c, "a")); diff != "" {
				t.Errorf("in Ceph (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnsureNothing(t *testing.T) {
	if got := provision.Ensure(t.Context(), nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestEnsureUsesTheLayout(t *testing.T) {
	c := newCeph()
	results := provision.Ensure(t.Context(), requests(dial(t, c), map[string]uint64{"a": gib}))
	if results[0].Err != nil {
		t.Fatal(results[0].Err)
	}
	want := ceph.Layout{Size: gib, Features: []string{"data-pool", "exclusive-lock", "layering"}, DataPool: "erasure", ObjectSize: 4 << 20, StripeUnit: 4 << 20, StripeCount: 1}
	if diff := cmp.Diff(want, c.ImageLayout(spec("a"))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestEnsureRefusalChangesNothing: when one of many cannot be had, none is made.
func TestEnsureRefusalChangesNothing(t *testing.T) {
	c := newCeph(image("d", 8*gib, 8*gib), image("e", 4*gib, 4*gib))
	wanted := map[string]uint64{"a": gib, "b": gib, "c": gib, "d": 4 * gib, "e": 8 * gib}
	results := provision.Ensure(t.Context(), requests(dial(t, c), wanted))
	want := []outcome{
		{ClaimSize: gib}, {ClaimSize: gib}, {ClaimSize: gib},
		{Err: "the request is below the volume's size: image replicapool/tenant/d has 8Gi, the claim asks for 4Gi; images never shrink, so ask for at least 8Gi"},
		{ClaimSize: 4 * gib},
	}
	if diff := cmp.Diff(want, outcomes(results)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := changes(c); got != nil {
		t.Errorf("something was changed: %v", got)
	}
}

// TestEnsureContinues: when Ceph fails half way, what was made is named, and the
// same call does the rest.
func TestEnsureContinues(t *testing.T) {
	c := newCeph(image("d", 1*gib, 1*gib))
	wanted := requests(dial(t, c), map[string]uint64{"a": gib, "b": gib, "c": gib, "d": 2 * gib})
	c.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "CreateImage" && call.Image.Name == "c" {
			return ceph.ErrPoolFull
		}
		return proceed()
	})
	results := provision.Ensure(t.Context(), wanted)
	want := []outcome{
		{ClaimSize: gib, Created: true},
		{ClaimSize: gib, Created: true},
		{ClaimSize: gib, Err: `create image "replicapool/tenant/c": the pool is full or its quota is used up`},
		{ClaimSize: gib, Grown: true},
	}
	if diff := cmp.Diff(want, outcomes(results)); diff != "" {
		t.Errorf("first run (-want +got):\n%s", diff)
	}
	lines := []string{"created image replicapool/tenant/a, replicapool/tenant/b", "grew image replicapool/tenant/d to 2Gi"}
	if diff := cmp.Diff(lines, provision.Summary(wanted, results)); diff != "" {
		t.Errorf("summary of the first run (-want +got):\n%s", diff)
	}

	c.Intercept(nil)
	results = provision.Ensure(t.Context(), wanted)
	want = []outcome{{ClaimSize: gib}, {ClaimSize: gib}, {ClaimSize: gib, Created: true}, {ClaimSize: gib}}
	if diff := cmp.Diff(want, outcomes(results)); diff != "" {
		t.Errorf("second run (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"created image replicapool/tenant/c"}, provision.Summary(wanted, results)); diff != "" {
		t.Errorf("summary of the second run (-want +got):\n%s", diff)
	}

	results = provision.Ensure(t.Context(), wanted)
	if diff := cmp.Diff([]string(nil), provision.Summary(wanted, results)); diff != "" {
		t.Errorf("summary of the third run (-want +got):\n%s", diff)
	}
}

// TestEnsureOvertaken lets another process act between the look and the act.
func TestEnsureOvertaken(t *testing.T) {
	const small, large = 8 * gib, 16 * gib
	create := func(t *testing.T, other ceph.Cluster, size uint64) ceph.Image {
		l := layout
		l.Size = size
		made, err := other.CreateImage(t.Context(), spec("a"), l)
		if err != nil {
			t.Error(err)
		}
		return made
	}
	putRecord := func(t *testing.T, other ceph.Cluster, image ceph.Image, size uint64) {
		if _, err := other.PutRecord(t.Context(), image, ceph.Record{ClaimSize: size}); err != nil {
			t.Error(err)
		}
	}
	tests := map[string]struct {
		images []cephtest.Image
		// before is the call before which the other acts.
		before string
		act    func(*testing.T, ceph.Cluster)
		want   outcome
		stored stored
	}{
		"the image is made by the other": {
			before: "CreateImage",
			act: func(t *testing.T, other ceph.Cluster) {
				putRecord(t, other, create(t, other, small), small)
			},
			want:   outcome{ClaimSize: small},
			stored: stored{small, small},
		},
		"the image is made by the other, who has not recorded it yet": {
			before: "CreateImage",
			act:    func(t *testing.T, other ceph.Cluster) { create(t, other, small) },
			want:   outcome{ClaimSize: small},
			stored: stored{small, small},
		},
		"the image is made by the other for a smaller claim": {
			before: "CreateImage",
			act: func(t *testing.T, other ceph.Cluster) {
				putRecord(t, other, create(t, other, 4*gib), 4*gib)
			},
			want:   outcome{ClaimSize: 4 * gib, Grown: true},
			stored: stored{small, 4 * gib},
		},
		"the image is made by the other for a larger claim": {
			before: "CreateImage",
			act:    func(t *testing.T, other ceph.Cluster) { create(t, other, large) },
			want:   outcome{Err: "the request is below the volume's size: image replicapool/tenant/a has 16Gi, the claim asks for 8Gi; images never shrink, so ask for at least 16Gi"},
			stored: stored{large, 0},
		},
		"our image is recorded by the other": {
			before: "PutRecord",
			act: func(t *testing.T, other ceph.Cluster) {
				made, err := other.Image(t.Context(), spec("a"))
				if err != nil {
					t.Error(err)
				}
				putRecord(t, other, made, small-1)
			},
			want:   outcome{ClaimSize: small - 1, Created: true},
			stored: stored{small, small - 1},
		},
		"the image is grown further by the other": {
			images: []cephtest.Image{image("a", 4*gib, 4*gib)},
			before: "GrowImage",
			act: func(t *testing.T, other ceph.Cluster) {
				if err := other.GrowImage(t.Context(), spec("a"), large); err != nil {
					t.Error(err)
				}
			},
			want:   outcome{Err: "the request is below the volume's size: image replicapool/tenant/a has 16Gi, the claim asks for 8Gi; images never shrink, so ask for at least 16Gi"},
			stored: stored{large, 4 * gib},
		},
		"the image is grown as far by the other": {
			images: []cephtest.Image{image("a", 4*gib, 4*gib)},
			before: "GrowImage",
			act: func(t *testing.T, other ceph.Cluster) {
				if err := other.GrowImage(t.Context(), spec("a"), small); err != nil {
					t.Error(err)
				}
			},
			want:   outcome{ClaimSize: 4 * gib, Grown: true},
			stored: stored{small, 4 * gib},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCeph(test.images...)
			other := dial(t, c)
			c.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == test.before {
					c.Intercept(nil) // once, and not for the other's own calls
					test.act(t, other)
				}
				return proceed()
			})
			results := provision.Ensure(t.Context(), requests(dial(t, c), map[string]uint64{"a": small}))
			if diff := cmp.Diff([]outcome{test.want}, outcomes(results)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stored, look(t, c, "a")); diff != "" {
				t.Errorf("in Ceph (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEnsureGivesUp: an image that never is as it was seen ends the attempts.
func TestEnsureGivesUp(t *testing.T) {
	c := newCeph()
	c.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "CreateImage" {
			return ceph.ErrImageExists
		}
		return proceed()
	})
	results := provision.Ensure(t.Context(), requests(dial(t, c), map[string]uint64{"a": gib}))
	want := []outcome{{ClaimSize: gib, Err: `create image "replicapool/tenant/a": the image exists already`}}
	if diff := cmp.Diff(want, outcomes(results)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, want := changes(c), slices.Repeat([]string{"CreateImage a"}, 5); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestEnsureAtOnce runs two clusters on the same images.
func TestEnsureAtOnce(t *testing.T) {
	names := map[string]uint64{}
	for _, letter := range "abcdefghijklmnopqrstuvwxyz" {
		names[string(letter)] = gib
	}
	for range 20 {
		c := newCeph()
		results := make([][]provision.Result, 2)
		var group sync.WaitGroup
		for i := range results {
			cluster := dial(t, c)
			group.Go(func() { results[i] = provision.Ensure(t.Context(), requests(cluster, names)) })
		}
		group.Wait()
		for i := range names {
			if got := look(t, c, i); got != (stored{gib, gib}) {
				t.Errorf("image %s is %v", i, got)
			}
		}
		for i := range results[0] {
			east, west := results[0][i], results[1][i]
			if east.Err != nil || west.Err != nil || east.ClaimSize != gib || west.ClaimSize != gib {
				t.Errorf("image %d: %+v, %+v", i, east, west)
			}
			if east.Created == west.Created {
				t.Errorf("image %d: made by both or none: %+v, %+v", i, east, west)
			}
		}
	}
}

func TestEnsureUnreachable(t *testing.T) {
	c := newCeph()
	cluster := dial(t, c)
	c.Intercept(cephtest.Unreachable)
	results := provision.Ensure(t.Context(), requests(cluster, map[string]uint64{"a": gib, "b": gib}))
	want := []outcome{
		{Err: `look at image "replicapool/tenant/a": ceph does not answer`},
		{Err: `look at image "replicapool/tenant/b": ceph does not answer`},
	}
	if diff := cmp.Diff(want, outcomes(results)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, result := range results {
		if !errors.Is(result.Err, ceph.ErrUnreachable) {
			t.Errorf("%v is not ErrUnreachable", result.Err)
		}
	}
	if got := changes(c); got != nil {
		t.Errorf("something was changed: %v", got)
	}
}

// TestEnsureLosesAnAnswer: each call in turn is carried out and its answer lost.
// The run fails, and the next one ends where it would have.
func TestEnsureLosesAnAnswer(t *testing.T) {
	tests := map[string]struct {
		images []cephtest.Image
		method string
		first  outcome
		again  outcome
		stored stored
	}{
		"of the look": {
			method: "Image",
			first:  outcome{Err: `look at image "replicapool/tenant/a": ceph does not answer`},
			again:  outcome{ClaimSize: 2 * gib, Created: true},
			stored: stored{2 * gib, 2 * gib},
		},
		"of the look at the record": {
			images: []cephtest.Image{image("a", gib, gib)},
			method: "Record",
			first:  outcome{Err: `read record of image "replicapool/tenant/a": ceph does not answer`},
			again:  outcome{ClaimSize: gib, Grown: true},
			stored: stored{2 * gib, gib},
		},
		"of the creation": {
			method: "CreateImage",
			first:  outcome{ClaimSize: 2 * gib, Err: `create image "replicapool/tenant/a": ceph does not answer`},
			again:  outcome{ClaimSize: 2 * gib},
			stored: stored{2 * gib, 2 * gib},
		},
		"of the record": {
			method: "PutRecord",
			first:  outcome{ClaimSize: 2 * gib, Created: true, Err: `write record of image "replicapool/tenant/a": ceph does not answer`},
			again:  outcome{ClaimSize: 2 * gib},
			stored: stored{2 * gib, 2 * gib},
		},
		"of the growth": {
			images: []cephtest.Image{image("a", gib, gib)},
			method: "GrowImage",
			first:  outcome{ClaimSize: gib, Err: `grow image "replicapool/tenant/a": ceph does not answer`},
			again:  outcome{ClaimSize: gib},
			stored: stored{2 * gib, gib},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCeph(test.images...)
			wanted := requests(dial(t, c), map[string]uint64{"a": 2 * gib})
			c.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				err := proceed()
				if call.Method == test.method {
					return ceph.ErrUnreachable
				}
				return err
			})
			if diff := cmp.Diff([]outcome{test.first}, outcomes(provision.Ensure(t.Context(), wanted))); diff != "" {
				t.Errorf("first run (-want +got):\n%s", diff)
			}
			c.Intercept(nil)
			if diff := cmp.Diff([]outcome{test.again}, outcomes(provision.Ensure(t.Context(), wanted))); diff != "" {
				t.Errorf("second run (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stored, look(t, c, "a")); diff != "" {
				t.Errorf("in Ceph (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEnsureRefusesAnUnknownRecord: what a later version wrote stays.
func TestEnsureRefusesAnUnknownRecord(t *testing.T) {
	c := newCeph(image("a", gib, gib))
	cluster := dial(t, c)
	found, err := cluster.Image(t.Context(), spec("a"))
	if err != nil {
		t.Fatal(err)
	}
	c.WriteRecord(found, []byte(`{"version":9}`))
	results := provision.Ensure(t.Context(), requests(cluster, map[string]uint64{"a": 2 * gib, "b": gib}))
	if !errors.Is(results[0].Err, ceph.ErrRecordUnknown) || results[1].Err != nil {
		t.Errorf("got %+v", results)
	}
	if got := changes(c); got != nil {
		t.Errorf("something was changed: %v", got)
	}
}

func TestEnsureLockedImage(t *testing.T) {
	c := newCeph(image("a", gib, gib))
	unlock := c.LockImage(spec("a"))
	defer unlock()
	results := provision.Ensure(t.Context(), requests(dial(t, c), map[string]uint64{"a": 2 * gib}))
	want := []outcome{{ClaimSize: gib, Err: `grow image "replicapool/tenant/a": the image is mapped exclusively and cannot be changed now`}}
	if diff := cmp.Diff(want, outcomes(results)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
