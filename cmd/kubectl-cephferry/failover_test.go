package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/planning"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
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

// A misspelt node has no volume, too, and nobody may take that for the answer.
func TestANodeThatNobodyKnows(t *testing.T) {
	storage := cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: 1}, ClaimSize: 1}}})
	cluster, err := storage.Dial(t.Context(), cephtest.Operator)
	if err != nil {
		t.Fatal(err)
	}
	api := shows(t, interceptor.Funcs{},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "u-west"}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}},
		&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "shop.data", UID: "a uid"}, Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "data"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop.data",
				VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "staticVolume": "true"},
			}},
		}})
	all := &inventory.Inventory{
		API: api, Finder: volumes.Finder{Cache: api, API: api, Scope: volumes.ScopeMigratable}, Usage: &usage.Gatherer{API: api}, Storages: leads{cluster},
	}
	c := &connection{Inventory: all, settings: settings{cluster: "west"}, planner: &planning.Planner{Inventory: all, Entry: func(_ context.Context, clusterID string) (csiconfig.Entry, error) {
		return csiconfig.Entry{ClusterID: clusterID}, nil
	}}}
	for name, test := range map[string]struct {
		node   string
		claims []string
		code   int
		says   string
	}{
		"a node":                            {"w1", nil, 0, "Nothing to do: node w1 has no guarded volume."},
		"a node and a volume":               {"w1", []string{"shop/data"}, 0, "Nothing to do: node w1 has none of them."},
		"a node that is misspelt":           {"w11", nil, exitRefused, "this cluster has no Node object w11, and no record of its volumes names it"},
		"a misspelt node, and a volume too": {"w11", []string{"shop/data"}, exitRefused, "this cluster has no Node object w11, and no record of its volumes names it"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			f := &failoverOptions{options: &options{std: streams{stdout: &out, stderr: &out}}, node: test.node, by: "ann", yes: true}
			err := f.failOver(t.Context(), c, test.claims)
			if said := fmt.Sprint(out.String(), err); exitCode(err) != test.code || !strings.Contains(said, test.says) {
				t.Errorf("code %d, it says %s; want code %d, %s", exitCode(err), said, test.code, test.says)
			}
		})
	}
}
