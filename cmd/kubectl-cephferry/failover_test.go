package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/planning"
)

// lost is a volume of east, to be taken from it.
func lost(name string) planning.Volume {
	return planning.Volume{Claim: types.NamespacedName{Namespace: "shop", Name: name}, Plan: failover.Plan{From: ceph.Party{Name: "east"}}}
}

func TestConfirm(t *testing.T) {
	for answer, ok := range map[string]bool{"east\n": true, " east": true, "": false, "west\n": false, "yes\n": false} {
		var question bytes.Buffer
		err := confirm(streams{stdin: strings.NewReader(answer), stderr: &question}, []planning.Volume{lost("a"), lost("b"), lost("c")})
		if (err == nil) != ok || strings.Count(question.String(), "Type") != 1 {
			t.Errorf("%q: %v, it asks %q", answer, err, question.String())
		}
	}
}

func TestProgress(t *testing.T) {
	steps := []failover.Step{failover.Begun, failover.Instances, failover.InForce, failover.Renamed, failover.NobodyLeft, failover.TakenOver}
	a, b := lost("a"), lost("b")
	for name, test := range map[string]struct {
		volumes []planning.Volume
		want    []string
	}{
		"one": {[]planning.Volume{a}, []string{
			"volume shop/a: the record says that the image is being taken", "volume shop/a: the client instances are on the blocklist", "volume shop/a: the OSDs know",
			"volume shop/a: the image carries the name of this cluster", "volume shop/a: nobody has the image open", "volume shop/a: the record says that the image is ours", ""}},
		"several": {[]planning.Volume{a, b}, []string{
			"2 volumes: the record says that the image is being taken", "2 volumes: the client instances are on the blocklist",
			"volume shop/a: the record says that the image is ours", "volume shop/b: the record says that the image is ours", ""}},
	} {
		var out bytes.Buffer
		f := &failoverOptions{options: &options{std: streams{stdout: &out}}}
		did := f.progress(test.volumes)
		for _, step := range steps {
			for i := range test.volumes {
				did(i, step)
			}
		}
		if diff := cmp.Diff(strings.Join(test.want, "\n"), out.String()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestEachClaimOnce(t *testing.T) {
	got := eachOnce([]claim{{"shop", "b"}, {"shop", "a"}, {"shop", "b"}})
	if diff := cmp.Diff([]claim{{"shop", "b"}, {"shop", "a"}}, got, cmp.AllowUnexported(claim{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
