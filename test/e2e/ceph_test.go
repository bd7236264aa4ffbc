//go:build lab

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
)

func TestACephThatCannotBeUsedIsReportedAndNothingIsMade(t *testing.T) {
	for name, test := range map[string]struct {
		settings csi
		pool     string
		want     error
	}{
		"it does not answer": {
			settings: csi{monitor: "v2:127.0.0.1:1"},
			want:     ceph.ErrUnreachable,
		},
		"the key is wrong": {
			settings: csi{key: storage.Ceph.Admin.Key}, // of another user
			want:     ceph.ErrAuth,
		},
		"the user does not exist": {
			settings: csi{user: "nobody"},
			want:     ceph.ErrAuth,
		},
		"the pool does not exist": {
			pool: "no-such-pool",
			want: ceph.ErrPoolNotFound,
		},
		"the rados namespace does not exist": {
			settings: csi{radosNamespace: "no-such-namespace"},
			want:     ceph.ErrNamespaceNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachHelm(t, func(team *team) {
				own := team.ownClass(east, test.pool, test.settings)
				team.refused(east, team.rendered("install", "web", web, migratable, class(own)),
					"PersistentVolumeClaim "+team.namespace+"/web-files: ", test.want.Error(), "; "+ceph.Advice(test.want))
				team.unchanged(east, nothing())
			})
		})
	}
}

func TestTheSameCommandContinuesWhenThePoolHasRoomAgain(t *testing.T) {
	eachHelm(t, func(team *team) {
		pool := team.ownPool()
		own := team.ownClass(east, pool, csi{})
		chart := team.chart(map[string]string{
			"first.yaml":  claim("name: data", "name: first"),
			"second.yaml": claim("name: data", "name: second", "ceph-block", own),
		})
		full := func(full bool) {
			team.Helper()
			quota := uint64(0)
			if full {
				quota = 1 // `rbd pool init` wrote more than that
			}
			if err := storage.SetPoolQuota(team.Context(), pool, quota); err != nil {
				team.Fatal(err)
			}
			if err := storage.WaitPoolFull(team.Context(), pool, full); err != nil {
				team.Fatal(err)
			}
		}
		full(true)
		team.refused(east, team.rendered("install", "small", chart),
			fmt.Sprintf("PersistentVolumeClaim %s/second: create image %q: %s", team.namespace, pool+"/"+team.namespace+".second", ceph.ErrPoolFull),
			fmt.Sprintf("; %s\ncreated image %s/%s.first before that; nothing is rolled back, and running the same command again continues", ceph.Advice(ceph.ErrPoolFull), lab.Pool, team.namespace))
		before := team.look(east)
		if diff := cmp.Diff(nothing().Claims, before.Claims); diff != "" {
			team.Errorf("claims (-want +got):\n%s", diff)
		}

		full(false)
		team.must(east, team.rendered("install", "small", chart)...)
		team.bound(east, "first")
		team.bound(east, "second")
		if diff := cmp.Diff(before.Images, team.look(east).Images); diff != "" {
			team.Errorf("the image that was there already (-before +after):\n%s", diff)
		}
		team.image(pool, team.namespace+".second")
	})
}

// Only the clusterID's entry in config.json says which rados namespace the images
// of a class are in.
func TestTheImageIsInTheRadosNamespaceOfTheClusterID(t *testing.T) {
	eachHelm(t, func(team *team) {
		pool := team.ownPool()
		team.rbd("namespace", "create", pool+"/blue")
		own := team.ownClass(east, pool, csi{radosNamespace: "blue", user: "client." + storage.Provisioner.ID})
		team.must(east, team.rendered("install", "web", web, migratable, class(own))...)
		team.bound(east, "web-files")
		if record := team.image(pool+"/blue", team.namespace+".web-files").Record; !strings.Contains(record, `"claimSize":1073741824`) {
			team.Errorf("record %q", record)
		}
		if images := team.images(pool); len(images) > 0 {
			team.Errorf("images in the default namespace: %v", images)
		}
	})
}
