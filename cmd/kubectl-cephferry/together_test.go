package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
)

// lost is the job of one volume of east, exactly fenced by its client.
func lost(name, client string) job {
	owner := &ceph.Owner{Party: ceph.Party{Name: "east"}, Namespace: "shop", Claim: name, Since: since}
	return job{claim: claim{"shop", name}, spaces: []failover.Space{{Pool: "rbd"}}, plan: failover.Plan{
		Image: ceph.ImageSpec{Pool: "rbd", Name: "shop." + name, Key: "west"}, From: owner.Party, Exact: true,
		Record: ceph.Record{Owner: owner, Keyed: true, Exclusive: true, Private: true},
		Fence:  failover.Fence{Instances: []string{client}},
	}}
}

func TestPlanOfSeveralVolumes(t *testing.T) {
	a, b, done := lost("a", "10.0.1.11:0/1"), lost("b", "10.0.1.12:0/2"), lost("done", "")
	done.plan = failover.Plan{Image: done.plan.Image, Done: true, Why: "nobody owns it"}
	var out bytes.Buffer
	printPlans(&out, []job{a, b, done})
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

	// What one of them hits is another of them, or is said once.
	c := lost("c", "10.0.1.13:0/3")
	c.plan.Exact, c.plan.Because = false, "no client of node e3 was seen"
	c.plan.Nodes = []ceph.Node{{Name: "e3", Addresses: []string{"10.0.1.13"}}}
	c.plan.Fence = failover.Fence{Machines: []string{"10.0.1.13:0/0"}, Instances: []string{"10.0.1.13:0/3", "10.0.1.14:0/4"}}
	c.plan.Record.Renamers = []string{"10.0.1.14:0/4"}
	owner := *c.plan.Record.Owner
	besides := failover.Carried{Image: ceph.ImageSpec{Pool: "rbd", Name: "shop.cache"}, Owner: owner, By: []string{"10.0.1.13:0/0"}}
	besides.Owner.Claim = "cache"
	c.plan.Carried = []failover.Carried{{Image: ceph.ImageSpec{Pool: "rbd", Name: "shop.a", Key: "east"}, Owner: owner, By: []string{"10.0.1.13:0/0"}}, besides}
	d := c
	d.claim.name, d.plan.Image.Name = "d", "shop.d"
	d.plan.Unknown = []ceph.ImageSpec{{Pool: "rbd", Name: "later"}}
	out.Reset()
	printPlans(&out, []job{a, c, d})
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
	var question bytes.Buffer
	if err := confirm(streams{stdin: strings.NewReader("east\n"), stderr: &question}, []job{a, c, d}); err != nil || strings.Count(question.String(), "Type") != 1 {
		t.Errorf("%v, it asks %q", err, question.String())
	}
}

// Of 100 volumes, each has one line, and the rest is as long as for two.
func TestPlanOfManyVolumesIsShort(t *testing.T) {
	var jobs []job
	for i := range 100 {
		jobs = append(jobs, lost(fmt.Sprint("data-", i), fmt.Sprint("10.0.1.11:0/", i+1)))
	}
	var few, many bytes.Buffer
	printPlans(&few, jobs[:2])
	printPlans(&many, jobs)
	if got, want := strings.Count(many.String(), "\n"), strings.Count(few.String(), "\n")+98; got != want {
		t.Errorf("it has %d lines, want %d:\n%s", got, want, many.String())
	}
}

func TestProgress(t *testing.T) {
	steps := []failover.Step{failover.Begun, failover.Instances, failover.InForce, failover.Renamed, failover.NobodyLeft, failover.TakenOver}
	a, b := lost("a", "10.0.1.11:0/1"), lost("b", "10.0.1.12:0/2")
	for name, test := range map[string]struct {
		jobs []job
		want []string
	}{
		"one": {[]job{a}, []string{
			"volume shop/a: the record says that the image is being taken", "volume shop/a: the client instances are on the blocklist", "volume shop/a: the OSDs know",
			"volume shop/a: the image bears the name of this cluster", "volume shop/a: nobody has the image open", "volume shop/a: the record says that the image is ours", ""}},
		"several": {[]job{a, b}, []string{
			"2 volumes: the record says that the image is being taken", "2 volumes: the client instances are on the blocklist",
			"volume shop/a: the record says that the image is ours", "volume shop/b: the record says that the image is ours", ""}},
	} {
		var out bytes.Buffer
		f := &failoverOptions{options: &options{std: streams{stdout: &out}}}
		did := f.progress(test.jobs)
		for _, step := range steps {
			for i := range test.jobs {
				did(i, step)
			}
		}
		if diff := cmp.Diff(strings.Join(test.want, "\n"), out.String()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestFailuresAreSaidOnce(t *testing.T) {
	jobs := []job{lost("a", ""), lost("b", ""), lost("c", ""), lost("d", "")}
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
		if err := errors.Join(failures(jobs, test.errs)...); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}

func TestEachClaimOnce(t *testing.T) {
	got := eachOnce([]claim{{"shop", "b"}, {"shop", "a"}, {"shop", "b"}})
	if diff := cmp.Diff([]claim{{"shop", "b"}, {"shop", "a"}}, got, cmp.AllowUnexported(claim{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
