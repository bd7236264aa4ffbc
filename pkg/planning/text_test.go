package planning

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
)

var since = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)

func TestPlanIsShown(t *testing.T) {
	owner := &ceph.Owner{Party: ceph.Party{Name: "east"}, Namespace: "shop", Claim: "data", Since: since, Nodes: []ceph.Node{{Name: "e1", Addresses: []string{"10.0.1.11"}}}}
	other := ceph.Owner{Party: ceph.Party{Name: "east"}, Namespace: "shop", Claim: "cache"}
	v := Volume{Claim: types.NamespacedName{Namespace: "shop", Name: "data"}, Spaces: []failover.Space{{Pool: "rbd"}, {Pool: "rbd", Namespace: "north"}}, Plan: failover.Plan{
		Image: ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}, Record: ceph.Record{Owner: owner},
		From: owner.Party, Nodes: owner.Nodes, Doubts: []string{"a pod was admitted, and the record does not say on which node"},
		Fence:   failover.Fence{Machines: []string{"10.0.1.11:0/0", "10.9.9.9:0/0"}, Instances: []string{"10.0.1.11:0/1"}},
		Carried: []failover.Carried{{Image: ceph.ImageSpec{Pool: "rbd", Name: "shop.cache"}, Owner: other, By: []string{"10.0.1.11:0/0"}}},
		Unknown: []ceph.ImageSpec{{Pool: "rbd", Name: "later"}},
	}}
	var out bytes.Buffer
	printOne(&out, v)
	want := `volume shop/data (image rbd/shop.data)
  uncertain   a pod was admitted, and the record does not say on which node
  owner       cluster east, claim shop/data, since 2026-11-22T14:03:00Z
  cut off     10.0.1.11 (node e1): everything that comes from there
              10.9.9.9: everything that comes from there
              10.0.1.11:0/1: a client
  also hit    shop/cache in cluster east (image rbd/shop.cache), by 10.0.1.11:0/0
  cannot know image rbd/later: this version cannot read its record
  looked at   the records in rbd, rbd/north; what those machines have in other pools and file systems of this Ceph is cut off as well
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Of an image that carries its owner's name, the clients may be enough.
	v.Plan = failover.Plan{
		Image: ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}, From: owner.Party, Exact: true,
		Record: ceph.Record{Owner: owner, Keyed: true, Exclusive: true, Private: true, Renamers: []string{"10.0.1.12:0/41"}},
		Fence:  failover.Fence{Instances: []string{"10.0.1.11:0/1", "10.0.1.12:0/41"}},
	}
	out.Reset()
	printOne(&out, v)
	want = `volume shop/data (image rbd/shop.data)
  owner       cluster east, claim shop/data, since 2026-11-22T14:03:00Z
  cut off     10.0.1.11:0/1: a client
              10.0.1.12:0/41: a program that may be giving the image its name
  cuts off:   this volume only
  looked at   the records in rbd, rbd/north
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	v.Plan.Record.Private, v.Plan.Record.Renamers = false, nil
	v.Plan.Fence = failover.Fence{Machines: []string{"10.0.1.12:0/0"}, Instances: []string{"10.0.1.11:0/1"}}
	v.Plan.Exact, v.Plan.Because = false, "no client of node e2 was seen"
	out.Reset()
	printOne(&out, v)
	want = `volume shop/data (image rbd/shop.data)
  owner       cluster east, claim shop/data, since 2026-11-22T14:03:00Z
  cut off     10.0.1.12: everything that comes from there
              10.0.1.11:0/1: a client
  because     no client of node e2 was seen
  looked at   the records in rbd, rbd/north; what those machines have in other pools and file systems of this Ceph is cut off as well
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// lost is the failover of one volume of east, exactly fenced by its client.
func lost(name, client string) Volume {
	owner := &ceph.Owner{Party: ceph.Party{Name: "east"}, Namespace: "shop", Claim: name, Since: since}
	return Volume{Claim: types.NamespacedName{Namespace: "shop", Name: name}, Spaces: []failover.Space{{Pool: "rbd"}}, Plan: failover.Plan{
		Image: ceph.ImageSpec{Pool: "rbd", Name: "shop." + name, Key: "west"}, From: owner.Party, Exact: true,
		Record: ceph.Record{Owner: owner, Keyed: true, Exclusive: true, Private: true},
		Fence:  failover.Fence{Instances: []string{client}},
	}}
}

func TestPlanOfSeveralVolumes(t *testing.T) {
	a, b, done := lost("a", "10.0.1.11:0/1"), lost("b", "10.0.1.12:0/2"), lost("done", "")
	done.Plan = failover.Plan{Image: done.Plan.Image, Done: true, Why: "nobody owns it"}
	var out bytes.Buffer
	Print(&out, []Volume{a, b, done})
	want := `VOLUME      IMAGE           OWNER   SINCE                  CUT OFF
shop/a      rbd/shop.a      east    2026-11-22T14:03:00Z   10.0.1.11:0/1
shop/b      rbd/shop.b      east    2026-11-22T14:03:00Z   10.0.1.12:0/2
shop/done   rbd/shop.done   -       -                      nothing to do: nobody owns it
2 volumes together
  cut off     2 clients of these volumes
  cuts off:   these volumes only
  looked at   the records in rbd
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// If something is to be done to one only, that is shown as for one.
	out.Reset()
	Print(&out, []Volume{a, done})
	want = `VOLUME      IMAGE           OWNER   SINCE                  CUT OFF
shop/a      rbd/shop.a      east    2026-11-22T14:03:00Z   10.0.1.11:0/1
shop/done   rbd/shop.done   -       -                      nothing to do: nobody owns it
volume shop/a (image rbd/shop.a)
  owner       cluster east, claim shop/a, since 2026-11-22T14:03:00Z
  cut off     10.0.1.11:0/1: a client
  cuts off:   this volume only
  looked at   the records in rbd
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// What one of them hits is another of them, or is said once.
	c := lost("c", "10.0.1.13:0/3")
	c.Plan.Exact, c.Plan.Because = false, "no client of node e3 was seen"
	c.Plan.Nodes = []ceph.Node{{Name: "e3", Addresses: []string{"10.0.1.13"}}}
	c.Plan.Fence = failover.Fence{Machines: []string{"10.0.1.13:0/0"}, Instances: []string{"10.0.1.13:0/3", "10.0.1.14:0/4"}}
	c.Plan.Record.Renamers = []string{"10.0.1.14:0/4"}
	owner := *c.Plan.Record.Owner
	besides := failover.Carried{Image: ceph.ImageSpec{Pool: "rbd", Name: "shop.cache"}, Owner: owner, By: []string{"10.0.1.13:0/0"}}
	besides.Owner.Claim = "cache"
	c.Plan.Carried = []failover.Carried{{Image: ceph.ImageSpec{Pool: "rbd", Name: "shop.a", Key: "east"}, Owner: owner, By: []string{"10.0.1.13:0/0"}}, besides}
	d := c
	d.Claim.Name, d.Plan.Image.Name = "d", "shop.d"
	d.Plan.Unknown = []ceph.ImageSpec{{Pool: "rbd", Name: "later"}}
	out.Reset()
	Print(&out, []Volume{a, c, d})
	want = `VOLUME   IMAGE        OWNER   SINCE                  CUT OFF
shop/a   rbd/shop.a   east    2026-11-22T14:03:00Z   10.0.1.11:0/1
shop/c   rbd/shop.c   east    2026-11-22T14:03:00Z   10.0.1.13, 10.0.1.13:0/3, 10.0.1.14:0/4
shop/d   rbd/shop.d   east    2026-11-22T14:03:00Z   10.0.1.13, 10.0.1.13:0/3, 10.0.1.14:0/4
3 volumes together
  cut off     10.0.1.13 (node e3): everything that comes from there
              2 clients of these volumes
              1 program that may be giving images their names
  because     no client of node e3 was seen (2 of 3 volumes)
  also hit    shop/cache in cluster east (image rbd/shop.cache), by 10.0.1.13:0/0
  cannot know image rbd/later: this version cannot read its record
  looked at   the records in rbd; what those machines have in other pools and file systems of this Ceph is cut off as well
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Of 100 volumes, each has one line, and the rest is as long as for two.
func TestPlanOfManyVolumesIsShort(t *testing.T) {
	var volumes []Volume
	for i := range 100 {
		volumes = append(volumes, lost(fmt.Sprint("data-", i), fmt.Sprint("10.0.1.11:0/", i+1)))
	}
	var few, many bytes.Buffer
	Print(&few, volumes[:2])
	Print(&many, volumes)
	if got, want := strings.Count(many.String(), "\n"), strings.Count(few.String(), "\n")+98; got != want {
		t.Errorf("it has %d lines, want %d:\n%s", got, want, many.String())
	}
}

func TestFailuresAreSaidOnce(t *testing.T) {
	volumes := []Volume{lost("a", ""), lost("b", ""), lost("c", ""), lost("d", "")}
	down := errors.New("ceph does not answer")
	for name, test := range map[string]struct {
		errs []error
		want string
	}{
		"none":                       {make([]error, 4), ""},
		"the same of all":            {[]error{down, down, down, down}, "volume shop/a and 3 more: ceph does not answer"},
		"one":                        {[]error{nil, down, nil, nil}, "volume shop/b: ceph does not answer"},
		"one, before anything began": {[]error{failover.ErrNotBegun, failover.ErrNotBegun, down, failover.ErrNotBegun}, "volume shop/c: ceph does not answer\nvolume shop/a and 2 more: not begun, because another volume was refused"},
	} {
		got := ""
		if err := errors.Join(Failures(volumes, test.errs)...); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}
