package planning

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// oneCeph is where the clusterIDs rook-ceph and second lead, which share it; others are not configured.
type oneCeph struct{ storage ceph.Cluster }

func (s oneCeph) Cluster(_ context.Context, clusterID string) (ceph.Cluster, string, error) {
	if clusterID == "elsewhere" {
		return nil, "", fmt.Errorf("clusterID %q: %w", clusterID, csiconfig.ErrNotFound)
	}
	return s.storage, "", nil
}

func entry(_ context.Context, clusterID string) (csiconfig.Entry, error) {
	if clusterID == "elsewhere" {
		return csiconfig.Entry{}, fmt.Errorf("clusterID %q: %w", clusterID, csiconfig.ErrNotFound)
	}
	return csiconfig.Entry{ClusterID: clusterID, Monitors: []string{"10.0.0.1"}}, nil
}

func pv(claim, clusterID string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "shop." + claim, UID: "a uid"},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: claim},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop." + claim,
				VolumeAttributes: map[string]string{"clusterID": clusterID, "pool": "rbd", "staticVolume": "true"},
			}},
		},
	}
}

// pvc is a claim that waits for a volume.
func pvc(name string, annotations map[string]string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Annotations: annotations}}
	claim.Spec.StorageClassName = new(string)
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	return claim
}

// newPlanner is west, with volumes whose images are named by the cluster that owns each.
func newPlanner(t *testing.T, user cephtest.User, owners map[string]string, objects ...client.Object) *Planner {
	t.Helper()
	pool := cephtest.Pool{Name: "rbd"}
	for claim := range owners {
		pool.Images = append(pool.Images, cephtest.Image{Name: "shop." + claim, Layout: ceph.Layout{Size: 1}, ClaimSize: 1})
	}
	storage := cephtest.New(pool)
	cluster, err := storage.Dial(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	for claim, owner := range owners {
		if owner == "" {
			continue
		}
		image, err := cluster.Image(t.Context(), ceph.ImageSpec{Pool: "rbd", Name: "shop." + claim})
		if err != nil {
			t.Fatal(err)
		}
		storage.WriteRecord(image, ceph.Record{State: ceph.Held, Epoch: 1, Owner: &ceph.Owner{
			Party: ceph.Party{UID: "u-" + owner, Name: owner}, Namespace: "shop", Claim: claim, Since: since,
			Nodes: []ceph.Node{{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "b1", Clients: []string{"10.0.1.11:0/1"}}},
		}}.Encode())
	}
	api := fake.NewClientBuilder().WithObjects(objects...).Build()
	return &Planner{
		Inventory: &inventory.Inventory{
			API: api, Finder: volumes.Finder{Cache: api, API: api, Scope: volumes.ScopeMigratable},
			Usage: &usage.Gatherer{API: api}, Storages: oneCeph{cluster},
		},
		Entry: entry,
	}
}

func TestOwned(t *testing.T) {
	west := ceph.Party{UID: "u-west", Name: "west"}
	p := newPlanner(t, cephtest.Operator, map[string]string{"a": "east", "b": "north", "c": "west", "free": "", "waits": "east"},
		pv("a", "rook-ceph"), pv("b", "rook-ceph"), pv("c", "second"), pv("free", "rook-ceph"), pv("gone", "rook-ceph"), pv("z", "elsewhere"),
		pvc("plain", nil), pvc("broken", map[string]string{"cephferry.io/migratable": "true"}))
	got, err := p.Owned(t.Context(), "east", west)
	if err != nil {
		t.Fatal(err)
	}
	// Of broken and z nobody knows whose they are. The image of gone does not exist.
	want := []types.NamespacedName{{Namespace: "shop", Name: "a"}, {Namespace: "shop", Name: "z"}, {Namespace: "shop", Name: "broken"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSpaces(t *testing.T) {
	p := newPlanner(t, cephtest.Operator, nil, pv("a", "rook-ceph"), pv("c", "second"), pv("z", "elsewhere"))
	all, err := p.Volumes(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Spaces(t.Context(), all, "second")
	if diff := cmp.Diff([]failover.Space{{Pool: "rbd"}}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if _, err := p.Spaces(t.Context(), all, "elsewhere"); !errors.Is(err, csiconfig.ErrNotFound) {
		t.Errorf("a clusterID that is not configured: %v", err)
	}
}

// Two clusterIDs are of one Ceph if they have a monitor in common: one that Rook's import wrote
// names the leader only.
func TestSpacesOfOneCeph(t *testing.T) {
	p := newPlanner(t, cephtest.Operator, nil, pv("a", "rook-ceph"), pv("b", "imported"), pv("c", "another"))
	p.Entry = func(_ context.Context, clusterID string) (csiconfig.Entry, error) {
		return map[string]csiconfig.Entry{
			"rook-ceph": {Monitors: []string{"10.0.0.2:6789", "10.0.0.1:6789"}},
			"imported":  {Monitors: []string{"10.0.0.1:6789"}, RadosNamespace: "north"},
			"another":   {Monitors: []string{"10.0.1.1:6789"}, RadosNamespace: "south"},
		}[clusterID], nil
	}
	all, err := p.Volumes(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for clusterID, want := range map[string][]failover.Space{
		"rook-ceph": {{Pool: "rbd"}, {Pool: "rbd", Namespace: "north"}},
		"imported":  {{Pool: "rbd"}, {Pool: "rbd", Namespace: "north"}},
		"another":   {{Pool: "rbd", Namespace: "south"}},
	} {
		got, err := p.Spaces(t.Context(), all, clusterID)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", clusterID, err, diff)
		}
	}
}

// Who may not fence is told before the records say that anything has begun.
func TestPlanNeedsTheRightToFence(t *testing.T) {
	wish := failover.Wish{Taker: ownership.Taker{Cluster: ceph.Party{UID: "u-west", Name: "west"}, By: "ann", Now: since}}
	claims := []types.NamespacedName{{Namespace: "shop", Name: "a"}, {Namespace: "shop", Name: "free"}}
	for user, want := range map[cephtest.User]error{cephtest.Operator: nil, cephtest.Observer: ceph.ErrPermission} {
		p := newPlanner(t, user, map[string]string{"a": "east", "free": ""}, pv("a", "rook-ceph"), pv("free", "rook-ceph"))
		all, err := p.Plan(t.Context(), claims, wish)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(all[0].Err, want) || all[1].Err != nil {
			t.Errorf("user %d: %v, and for an image that nobody owns: %v", user, all[0].Err, all[1].Err)
		}
		if err := Refused(all); (err == nil) != (want == nil) || err != nil && !strings.HasPrefix(err.Error(), "volume shop/a: ask for the right to change the blocklist: ") {
			t.Errorf("user %d: %v", user, err)
		}
	}
}

func TestNext(t *testing.T) {
	a, b := lost("a", "10.0.1.11:0/1"), lost("b", "10.0.1.12:0/2")
	const only = "Start the workload here. When cluster east is back, no node has to be rebooted or let in again for this."
	if got := Next([]Volume{a, b}); got != only {
		t.Errorf("%q; want %q", got, only)
	}
	b.Plan.Nodes = []ceph.Node{{Name: "e2", Addresses: []string{"10.0.1.12"}}}
	b.Plan.Fence.Machines = []string{"10.0.1.12:0/0"}
	const reboot = "Start the workload here. When cluster east is back, reboot e2 and run `kubectl cephferry unfence e2` there."
	if got := Next([]Volume{a, b}); got != reboot {
		t.Errorf("%q; want %q", got, reboot)
	}
}
