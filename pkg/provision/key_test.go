package provision

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/docs"
	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// TestDecideKey has every row of decideKey's table.
func TestDecideKey(t *testing.T) {
	yes, no := true, false
	image := &found{}
	fresh := &found{fresh: true}
	recorded := func(keyed bool) *found { return &found{record: &ceph.Record{Keyed: keyed}} }
	overtaken := func(keyed bool) *found { return &found{fresh: true, record: &ceph.Record{Keyed: keyed}} }
	misnamed := &found{misnamed: true}
	half := func(keyed bool) *found { return &found{misnamed: true, record: &ceph.Record{Keyed: keyed}} }
	adopted := func(asked *bool, key string, none error) Request {
		return Request{Adopt: true, OldName: "csi-vol-1", Keyed: asked, Key: key, NoKey: none}
	}
	const (
		change  = "; leave the annotation cephferry.io/keyed out"
		keyed   = "whether an image is keyed is decided when it is made: image replicapool/shop.data carries its owner's name, and this claim asks for one that does not" + change
		unkeyed = "whether an image is keyed is decided when it is made: image replicapool/shop.data has one name for all clusters, and this claim asks for one that carries its owner's" + change
		noKey   = "there is no key for the image: image replicapool/shop.data is keyed, so its PersistentVolume has to say for which cluster it is; " +
			"render with --create client --cluster-name NAME, the name that the chart cephferry has as cluster.name here"
		noKeyYet = "there is no key for the image: image replicapool/shop.data must carry the name of the cluster that owns it when it is adopted; " +
			"render with --create client --cluster-name NAME, the name that the chart cephferry has as cluster.name here, or with --create cluster where its value provisioner.keyed is true; " +
			"or write cephferry.io/keyed: \"false\" for an image that gets its new name and no key"
		taken = "there is no key for the image: another cluster has it"
	)
	other := errors.New("another cluster has it")
	for name, test := range map[string]struct {
		request Request
		seen    *found
		want    string
		err     string
		is      error
	}{
		"no image":                                 {},
		"no image, a key":                          {request: Request{Key: "east"}, want: "east"},
		"no image, a key, asked for":               {request: Request{Key: "east", Keyed: &yes}, want: "east"},
		"no image, a key, asked not to":            {request: Request{Key: "east", Keyed: &no}},
		"no image, a key, a look":                  {request: Request{Key: "east", Look: true}},
		"no image, asked for, a look":              {request: Request{Keyed: &yes, Look: true}},
		"no image, asked for without a key":        {request: Request{Keyed: &yes}, err: noKey, is: ErrNoKey},
		"no image, the key is another's":           {request: Request{NoKey: other}, err: taken, is: other},
		"no image, another's key, asked not to":    {request: Request{NoKey: other, Keyed: &no}},
		"made meanwhile":                           {seen: fresh},
		"made meanwhile, a key":                    {request: Request{Key: "east"}, seen: fresh, want: "east"},
		"made meanwhile, asked for":                {request: Request{Key: "east", Keyed: &yes}, seen: fresh, want: "east"},
		"made meanwhile, asked not to":             {request: Request{Key: "east", Keyed: &no}, seen: fresh},
		"made meanwhile, and recorded":             {request: Request{Key: "east"}, seen: overtaken(false)},
		"made meanwhile, and recorded as keyed":    {request: Request{Key: "east"}, seen: overtaken(true), want: "east"},
		"made meanwhile, recorded, asked for":      {request: Request{Key: "east", Keyed: &yes}, seen: overtaken(false), err: unkeyed, is: ErrKeyed},
		"no record":                                {seen: image},
		"no record, a key":                         {request: Request{Key: "east"}, seen: image},
		"no record, adopted":                       {request: Request{Key: "east", Adopt: true}, seen: image},
		"no record, the key is another's":          {request: Request{NoKey: other}, seen: image},
		"no record, asked not to":                  {request: Request{Key: "east", Keyed: &no}, seen: image},
		"no record, asked for":                     {request: Request{Key: "east", Keyed: &yes}, seen: image, err: unkeyed, is: ErrKeyed},
		"recorded as not keyed":                    {request: Request{Key: "east"}, seen: recorded(false)},
		"recorded as not keyed, the key another's": {request: Request{NoKey: other}, seen: recorded(false)},
		"recorded as not keyed, asked not to":      {request: Request{Key: "east", Keyed: &no}, seen: recorded(false)},
		"recorded as not keyed, asked for":         {request: Request{Key: "east", Keyed: &yes}, seen: recorded(false), err: unkeyed, is: ErrKeyed},
		"recorded":                                 {request: Request{Key: "east"}, seen: recorded(true), want: "east"},
		"recorded, asked for":                      {request: Request{Key: "east", Keyed: &yes}, seen: recorded(true), want: "east"},
		"recorded, asked not to":                   {request: Request{Key: "east", Keyed: &no}, seen: recorded(true), err: keyed, is: ErrKeyed},
		"recorded, a look":                         {request: Request{Key: "east", Look: true}, seen: recorded(true), want: "east"},
		"recorded, no key":                         {seen: recorded(true), err: noKey, is: ErrNoKey},
		"recorded, a look without a key":           {request: Request{Look: true}, seen: recorded(true), err: noKey, is: ErrNoKey},
		"recorded, the key is another's":           {request: Request{NoKey: other}, seen: recorded(true), err: taken, is: ErrNoKey},
		"the old name, a key":                      {request: adopted(nil, "east", nil), seen: misnamed, want: "east"},
		"the old name, asked for":                  {request: adopted(&yes, "east", nil), seen: misnamed, want: "east"},
		"the old name, asked not to":               {request: adopted(&no, "east", nil), seen: misnamed},
		"the old name, no key":                     {request: adopted(nil, "", nil), seen: misnamed, err: noKeyYet, is: ErrNoKey},
		"the old name, the key is another's":       {request: adopted(nil, "", other), seen: misnamed, err: taken, is: other},
		"the old name, asked not to, no key":       {request: adopted(&no, "", nil), seen: misnamed},
		"the old name, recorded as not keyed":      {request: adopted(nil, "east", nil), seen: half(false), want: "east"},
		"the old name, renaming died":              {request: adopted(nil, "east", nil), seen: half(true), want: "east"},
		"the old name, it died, asked not to":      {request: adopted(&no, "east", nil), seen: half(true), err: keyed, is: ErrKeyed},
		"the old name, renaming died, no key":      {request: adopted(nil, "", nil), seen: half(true), err: noKey, is: ErrNoKey},
		"the new name, recorded as not keyed":      {request: adopted(nil, "east", nil), seen: recorded(false)},
		"the new name, no record":                  {request: adopted(nil, "east", nil), seen: image},
		"the new name, recorded":                   {request: adopted(nil, "east", nil), seen: recorded(true), want: "east"},
		"not looked for, an old name, a key":       {request: adopted(nil, "east", nil), want: "east"},
		"not looked for, an old name, no key":      {request: adopted(nil, "", nil), err: noKeyYet, is: ErrNoKey},
		"a subvolume":                              {request: Request{Volume: Subvolume{}, Key: "east"}},
		"a subvolume, the key is another's":        {request: Request{Volume: Subvolume{}, NoKey: other}, seen: image},
	} {
		t.Run(name, func(t *testing.T) {
			if test.request.Volume == nil {
				test.request.Volume = Image{ImageSpec: ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"}}
			}
			got, err := decideKey(test.request, test.seen)
			var text string
			if err != nil {
				text = err.Error()
			}
			if got != test.want || text != test.err {
				t.Errorf("got  %q, %q\nwant %q, %q", got, text, test.want, test.err)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("errors.Is(%v, %v) is false", err, test.is)
			}
		})
	}
}

// TestKeyedAsDocumented has every row of the table in docs/annotations.md: an image with that
// request, once without an annotation, once with "true".
func TestKeyedAsDocumented(t *testing.T) {
	yes, no := true, false
	// east is a cluster with a key; the provisioner without provisioner.keyed, and the renderer
	// without --cluster-name, have none.
	east, none := Location{Key: "east"}, Location{}
	plan := func(change func(*staticpv.Plan)) staticpv.Plan {
		plan := staticpv.Plan{Names: staticpv.Names{Image: "shop.data"}, Class: storageclass.Class{RBD: &storageclass.RBD{Pool: "rbd"}}}
		if change != nil {
			change(&plan)
		}
		return plan
	}
	fresh := plan(nil)
	adopt := plan(func(p *staticpv.Plan) { p.Adopt = true })
	renamed := plan(func(p *staticpv.Plan) { p.Adopt, p.OldName = true, "csi-vol-1" })
	files := plan(func(p *staticpv.Plan) { p.Class = storageclass.Class{CephFS: &storageclass.CephFS{}} })
	type try struct {
		at    Location
		plan  staticpv.Plan
		seen  *found
		asked *bool
		want  string
		err   error
	}
	rows := map[string][]try{
		"new, made by the renderer with `--create client --cluster-name NAME`": {
			{east, fresh, nil, nil, "east", nil}, {east, fresh, nil, &yes, "east", nil}, {east, fresh, nil, &no, "", nil},
		},
		"new, made by the cluster (a claim of a class of ours, or without a class; `--create cluster`)": {
			{east, fresh, nil, nil, "east", nil}, {east, fresh, nil, &yes, "east", nil}, {east, fresh, nil, &no, "", nil},
			{none, fresh, nil, nil, "", nil}, {none, fresh, nil, &yes, "", ErrNoKey},
		},
		"new, made by the renderer with `--create client` without `--cluster-name`": {
			{none, fresh, nil, nil, "", nil}, {none, fresh, nil, &yes, "", ErrNoKey},
		},
		"with a record": {
			{east, fresh, &found{record: &ceph.Record{Keyed: true}}, nil, "east", nil}, {east, fresh, &found{record: &ceph.Record{}}, nil, "", nil},
			{none, fresh, &found{record: &ceph.Record{Keyed: true}}, nil, "", ErrNoKey},
		},
		"adopted by its old name (`cephferry.io/adopt: csi-vol-…`)": {
			{east, renamed, &found{misnamed: true}, nil, "east", nil}, {east, renamed, &found{misnamed: true}, &no, "", nil},
		},
		"adopted with `\"true\"`, or there without a record": {
			{east, adopt, &found{}, nil, "", nil}, {east, fresh, &found{}, nil, "", nil},
		},
		"of a pair that `--create never` renders": {{none, fresh, &found{}, nil, "", nil}, {none, fresh, nil, nil, "", nil}},
		"a subvolume": {{east, files, nil, nil, "", nil}},
	}
	page, err := docs.Files.ReadFile("annotations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| image | keyed |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var documented []string
	for line := range strings.Lines(table) {
		documented = append(documented, strings.TrimSpace(strings.Split(line, "|")[1]))
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(rows)), slices.Sorted(slices.Values(documented))); diff != "" {
		t.Fatalf("the rows here and in the document (-here +there):\n%s", diff)
	}
	for row, tries := range rows {
		for _, try := range tries {
			try.plan.Keyed = try.asked
			if got, err := decideKey(try.at.Request(try.plan), try.seen); got != try.want || !errors.Is(err, try.err) {
				t.Errorf("%s, %+v: %q, %v", row, try, got, err)
			}
		}
	}
}

func TestDecidePrivate(t *testing.T) {
	recorded := func(private bool) *found { return &found{record: &ceph.Record{Private: private}} }
	for name, test := range map[string]struct {
		isNew bool
		seen  *found
		want  bool
	}{
		"no image, new ones are not":        {false, nil, false},
		"no image, new ones are":            {true, nil, true},
		"made meanwhile":                    {true, &found{fresh: true}, true},
		"made meanwhile, and recorded":      {true, &found{fresh: true, record: &ceph.Record{}}, false},
		"no record":                         {true, &found{}, false},
		"recorded as not so":                {true, recorded(false), false},
		"recorded":                          {true, recorded(true), true},
		"recorded, though new ones are not": {false, recorded(true), true},
		"becomes keyed":                     {true, &found{misnamed: true}, true},
		"becomes keyed, recorded otherwise": {true, &found{misnamed: true, record: &ceph.Record{}}, true},
		"became keyed, its renaming died":   {true, &found{misnamed: true, record: &ceph.Record{Keyed: true}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decidePrivate(Request{NewPrivate: test.isNew}, test.seen); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestLocationRequest: a name that is too long with the key is one that has none, and says so.
func TestLocationRequest(t *testing.T) {
	yes := true
	taken := errors.New("another cluster has it")
	rbd := storageclass.Class{RBD: &storageclass.RBD{Pool: "replicapool"}}
	long := strings.Repeat("a", annotations.MaxImageName)
	for name, test := range map[string]struct {
		at      Location
		class   storageclass.Class
		image   string
		key     string
		refused bool
	}{
		"a key":                       {Location{Key: "east"}, rbd, "shop.data", "east", false},
		"no key":                      {Location{}, rbd, "shop.data", "", false},
		"no key, and why":             {Location{NoKey: taken}, rbd, "shop.data", "", true},
		"no key for a long name":      {Location{}, rbd, long, "", false},
		"a key that makes it longer":  {Location{Key: "east"}, rbd, long, "", true},
		"a long name, of a subvolume": {Location{Key: "east"}, storageclass.Class{CephFS: &storageclass.CephFS{}}, long, "east", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.at.Request(staticpv.Plan{Names: staticpv.Names{Image: test.image}, Class: test.class, Keyed: &yes, NewPrivate: true})
			if got.Key != test.key || (got.NoKey != nil) != test.refused || got.Keyed != &yes || !got.NewPrivate {
				t.Errorf("got %+v", got)
			}
		})
	}
}
