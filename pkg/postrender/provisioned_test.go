package postrender_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/postrender"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// TestUntouched keeps every request.
func TestUntouched(t *testing.T) {
	image := staticpv.Plan{Names: staticpv.Names{Image: "shop.data"}, Class: storageclass.Class{RBD: &storageclass.RBD{Pool: "replicapool"}}}
	results, notes := postrender.Untouched{}.Ensure(t.Context(), []staticpv.Plan{image, image})
	if diff := cmp.Diff([]provision.Result{{}, {}}, results); diff != "" || notes != nil {
		t.Errorf("notes %v, results (-want +got):\n%s", notes, diff)
	}
}

// TestUnseen: what a run says of images that it does not ask Ceph about is what new ones
// get, or nothing where they are not new.
func TestUnseen(t *testing.T) {
	yes, no := true, false
	plan := func(change func(*staticpv.Plan)) staticpv.Plan {
		plan := staticpv.Plan{
			Namespace: "shop", Names: staticpv.Names{Claim: "data", Image: "shop.data"}, NewPrivate: true,
			Class: storageclass.Class{RBD: &storageclass.RBD{Pool: "replicapool"}}, Mapping: staticpv.Mapping{NewExclusive: true},
		}
		if change != nil {
			change(&plan)
		}
		return plan
	}
	asked := func(keyed *bool) func(*staticpv.Plan) { return func(p *staticpv.Plan) { p.Keyed = keyed } }
	adopted := func(keyed *bool) func(*staticpv.Plan) {
		return func(p *staticpv.Plan) { p.Adopt, p.Keyed = true, keyed }
	}
	renamed := func(keyed *bool) func(*staticpv.Plan) {
		return func(p *staticpv.Plan) { p.Adopt, p.OldName, p.Keyed = true, "csi-vol-1", keyed }
	}
	made, keyed := provision.Result{Exclusive: true, Private: true}, provision.Result{Exclusive: true, Private: true, Key: "east"}
	dry := postrender.Untouched{Key: "east"}
	for name, test := range map[string]struct {
		images postrender.Images
		change func(*staticpv.Plan)
		want   provision.Result
		err    error
	}{
		"dry run":                         {images: dry, want: keyed},
		"dry run, asked not to":           {images: dry, change: asked(&no), want: made},
		"dry run, adopted":                {images: dry, change: adopted(nil)},
		"dry run, adopted, asked for":     {images: dry, change: adopted(&yes), want: provision.Result{Key: "east"}},
		"dry run, adopted by name":        {images: dry, change: renamed(nil), want: provision.Result{Private: true, Key: "east"}},
		"dry run, and asked not to":       {images: dry, change: renamed(&no), want: provision.Result{Private: true}},
		"dry run, and without a key":      {images: postrender.Untouched{}, change: renamed(nil), want: provision.Result{Private: true}, err: provision.ErrNoKey},
		"never, adopted by name":          {images: postrender.Existing{}, change: renamed(nil), want: provision.Result{Private: true}, err: provision.ErrNoKey},
		"dry run, without a key":          {images: postrender.Untouched{}, want: made},
		"dry run, none, asked for":        {images: postrender.Untouched{}, change: asked(&yes), want: made, err: provision.ErrNoKey},
		"dry run, the name is too long":   {images: dry, change: func(p *staticpv.Plan) { p.Image = strings.Repeat("a", 92) }, want: made, err: provision.ErrNoKey},
		"dry run of never":                {images: postrender.Untouched{Exist: true}},
		"never":                           {images: postrender.Existing{}},
		"never, asked not to":             {images: postrender.Existing{}, change: asked(&no)},
		"never, asked for":                {images: postrender.Existing{}, change: asked(&yes), err: provision.ErrNoKey},
		"dry run of never, and asked for": {images: postrender.Untouched{Exist: true}, change: asked(&yes), err: provision.ErrNoKey},
	} {
		t.Run(name, func(t *testing.T) {
			results, _ := test.images.Ensure(t.Context(), []staticpv.Plan{plan(test.change)})
			if err := results[0].Err; !errors.Is(err, test.err) {
				t.Errorf("got %v", err)
			}
			results[0].Err = nil
			if diff := cmp.Diff([]provision.Result{test.want}, results); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestAdoptionAsksOnce: the volumes of the cluster are listed once, and not at all
// when nothing is adopted.
func TestAdoptionAsksOnce(t *testing.T) {
	adopt := func(name string) string {
		return strings.Replace(claim(name, "1Gi", ""), `"true"}`, `"true", cephferry.io/adopt: "true"}`, 1)
	}
	there := []cephtest.Image{
		{Namespace: "tenant", Name: "shop.a", Layout: ceph.Layout{Size: 1 << 30}},
		{Namespace: "tenant", Name: "shop.b", Layout: ceph.Layout{Size: 1 << 30}},
	}
	unreadable := errors.New("list PersistentVolumes: forbidden")
	tests := map[string]struct {
		input string
		fails error
		want  int
		err   string
	}{
		"nothing is adopted":      {input: claim("a", "1Gi", "") + claim("b", "1Gi", "")},
		"two images are adopted":  {input: adopt("a") + adopt("b"), want: 1},
		"they cannot be read":     {input: adopt("a"), fails: unreadable, want: 1, err: "PersistentVolumeClaim shop/a: check whether a volume of this cluster still uses the storage to adopt: list PersistentVolumes: forbidden"},
		"they are not needed yet": {input: claim("a", "1Gi", ""), fails: unreadable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCeph(there...)
			r, _ := renderer(t, c)
			images, err := r.Images(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			provisioned := images.(postrender.Provisioned)
			provisioned.Volumes = func(context.Context) ([]corev1.PersistentVolume, error) {
				asked++
				return nil, test.fails
			}
			r.Images = func(context.Context) (postrender.Images, error) { return provisioned, nil }
			_, err = r.Render(t.Context(), strings.NewReader(test.input), io.Discard)
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if asked != test.want {
				t.Errorf("asked %d times, want %d", asked, test.want)
			}
			if calls := c.Calls(); err != nil && calls != nil {
				t.Errorf("Ceph was asked: %v", calls)
			}
		})
	}
}

// TestExistingDryRun: whether this is a dry run is asked only if there is something
// to look at.
func TestExistingDryRun(t *testing.T) {
	cause := errors.New("determine whether this is a dry run: cause")
	shared := claim("b", "1Gi", "  storageClassName: cephfs\n")
	tests := map[string]struct {
		input string
		dry   bool
		fails error
		asked int
		err   string
	}{
		"an image":             {input: claim("a", "1Gi", "")},
		"a subvolume":          {input: claim("a", "1Gi", "") + shared, dry: true, asked: 1},
		"it cannot be told":    {input: claim("a", "1Gi", "") + shared, fails: cause, asked: 1, err: "PersistentVolumeClaim shop/b: " + cause.Error()},
		"it need not be known": {input: claim("a", "1Gi", ""), fails: cause},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, got := renderer(t, nil)
			asked := 0
			r.Images = func(context.Context) (postrender.Images, error) {
				return postrender.Existing{DryRun: func(context.Context) (bool, error) {
					asked++
					return test.dry, test.fails
				}}, nil
			}
			_, err := r.Render(t.Context(), strings.NewReader(test.input), io.Discard)
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if asked != test.asked || got.Connect != 0 {
				t.Errorf("asked %d times, want %d; %d connections", asked, test.asked, got.Connect)
			}
		})
	}
}
