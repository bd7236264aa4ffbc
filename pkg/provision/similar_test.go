package provision_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func TestSimilar(t *testing.T) {
	tests := map[string]struct {
		image string
		claim string
		want  bool
	}{
		"a renamed release":                                   {"shop.web-files", "store-files", true},
		"a renamed release with a dash":                       {"shop.my-web-files", "store-files", true},
		"a StatefulSet of a renamed release":                  {"shop.data-web-0", "data-store-0", true},
		"one whose template was renamed":                      {"shop.data-web-0", "files-web-0", true},
		"another ordinal":                                     {"shop.data-web-1", "data-store-0", false},
		"an ordinal, and none":                                {"shop.data-web-1", "data-store", false},
		"a claim that is called like its release":             {"shop.web", "store", false},
		"nothing in common":                                   {"shop.web-files", "store-data", false},
		"nothing in common but the ordinal":                   {"shop.web-0", "store-0", false},
		"the claim's own":                                     {"shop.store-files", "store-files", false},
		"another namespace's":                                 {"bank.web-files", "store-files", false},
		"a namespace's that begins like this one":             {"shop-2.web-files", "store-files", false},
		"ceph-csi's":                                          {"csi-vol-1-files", "store-files", false},
		"the same claim under another name of the annotation": {"shop.files", "web-files", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := provision.Similar(planOf(test.claim), []provision.Used{{test.image, 1 << 30}})
			if (len(got) == 1) != test.want {
				t.Errorf("got %v", got)
			}
			if got := provision.Similar(planOf(test.claim), []provision.Used{{test.image, 2 << 30}}); got != nil {
				t.Errorf("one of another size is %v", got)
			}
		})
	}
	shared := planOf("store-files")
	shared.Class = storageclass.Class{CephFS: &storageclass.CephFS{}}
	if got := provision.Similar(shared, []provision.Used{{"shop.web-files", 1 << 30}}); got != nil {
		t.Errorf("a subvolume is like image %v", got)
	}
}

func planOf(claim string) staticpv.Plan {
	return staticpv.Plan{
		Namespace: "shop", Names: staticpv.Names{Claim: claim, Image: "shop." + claim}, Request: resource.MustParse("1Gi"),
		Class: storageclass.Class{RBD: &storageclass.RBD{Pool: "replicapool"}},
	}
}

func TestUsedAndFree(t *testing.T) {
	of := func(name string, record ceph.Record, err error) ceph.RecordOf {
		return ceph.RecordOf{Image: ceph.ImageSpec{Pool: "replicapool", Name: name, Key: "east"}, Record: record, Err: err}
	}
	got := provision.UsedAndFree([]ceph.RecordOf{
		of("used", ceph.Record{ClaimSize: 1, Epoch: 2}, nil),
		of("never used", ceph.Record{ClaimSize: 1}, nil),
		of("held", ceph.Record{ClaimSize: 1, Epoch: 1, State: ceph.Held, Owner: &ceph.Owner{}}, nil),
		of("being taken", ceph.Record{ClaimSize: 1, Epoch: 1, State: ceph.Fencing, Owner: &ceph.Owner{}}, nil),
		of("not known", ceph.Record{}, ceph.ErrRecordUnknown),
	})
	if diff := cmp.Diff([]provision.Used{{Name: "used", ClaimSize: 1}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSaySimilar(t *testing.T) {
	const begin = "image shop.%s is new and empty; there are images of the same size that look like it, were used before and are free now: "
	var many []string
	for i := range 7 {
		many = append(many, fmt.Sprintf("shop.web%d-files", i))
	}
	tests := map[string]struct {
		claim string
		names []string
		want  string
	}{
		"none": {"store-files", nil, ""},
		"one": {"store-files", []string{"shop.web-files"},
			fmt.Sprintf(begin, "store-files") + `shop.web-files; if one of them is meant, delete this claim, and make it again with the annotations cephferry.io/image: shop.web-files and cephferry.io/adopt: "true"`},
		"an ordinal's": {"data-store-0", []string{"shop.data-web-0"},
			fmt.Sprintf(begin, "data-store-0") + `shop.data-web-0; if one of them is meant, delete this claim, and make it again from a claim template with the annotations cephferry.io/image: shop.data-web and cephferry.io/adopt: "true"`},
		"many": {"store-files", many,
			fmt.Sprintf(begin, "store-files") + `shop.web0-files, shop.web1-files, shop.web2-files, shop.web3-files, shop.web4-files and 2 more; if one of them is meant, delete this claim, and make it again with the annotations cephferry.io/image: shop.web0-files and cephferry.io/adopt: "true"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := provision.SaySimilar(planOf(test.claim), test.names); got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}
