package usage

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// crowd are volumes in use: one by an attachment, one by a pod, one whose claim is another one by
// now, one whose claim is gone, and one that nobody uses.
func crowd(t *testing.T) (objects []client.Object, all []volumes.Volume) {
	t.Helper()
	objects = []client.Object{node()}
	for _, name := range []string{"attached", "used", "replaced", "gone", "idle"} {
		volume := pv("shop."+name, name, "shop."+name)
		volume.Spec.ClaimRef.UID = types.UID("uid-" + name)
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: volume.Spec.ClaimRef.UID}}
		objects = append(objects, volume)
		switch name {
		case "attached":
			objects = append(objects, claim, attachment("csi-1", driver, volume.Name))
		case "used":
			objects = append(objects, claim, pod("p-used", "e1", name))
		case "replaced":
			claim.UID = "another"
			objects = append(objects, claim, pod("p-replaced", "e1", name))
		case "gone":
			objects = append(objects, pod("p-gone", "e1", name))
		default:
			objects = append(objects, claim)
		}
		all = append(all, volumeOf(t, volume))
	}
	return objects, all
}

// An overview says of each volume what is found when it is asked about alone.
func TestOverview(t *testing.T) {
	for name, attached := range map[string]bool{"with attachments": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			objects, all := crowd(t)
			objects = append(objects, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: driver}, Spec: storagev1.CSIDriverSpec{AttachRequired: &attached}})
			g := &Gatherer{API: fake.NewClientBuilder().WithObjects(objects...).Build(), CIDRs: []netip.Prefix{netip.MustParsePrefix("10.7.0.0/16")}}
			overview, err := g.Overview(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var using []string
			for _, volume := range all {
				want, err := g.Local(t.Context(), g.Live(), volume)
				if err != nil {
					t.Fatal(err)
				}
				got, err := overview.Local(t.Context(), volume)
				if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()); diff != "" || err != nil {
					t.Errorf("%s: %v, -want +got:\n%s", volume.Claim, err, diff)
				}
				if len(got.Using) > 0 {
					using = append(using, volume.Claim)
				}
			}
			want := []string{"attached"}
			if !attached {
				want = []string{"used", "gone"}
			}
			if diff := cmp.Diff(want, using); diff != "" {
				t.Errorf("in use -want +got:\n%s", diff)
			}
		})
	}
}

// That the API server is down is waited for once, and not for each volume.
func TestOverviewWhileTheAPIServerIsDown(t *testing.T) {
	objects, all := crowd(t)
	down, asked := errors.New("the API server is down"), 0
	g := &Gatherer{API: fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			asked++
			return down
		},
	}).Build()}
	overview, err := g.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, volume := range all {
		if _, err := overview.Local(t.Context(), volume); !errors.Is(err, down) {
			t.Errorf("%s: %v", volume.Claim, err)
		}
	}
	if asked != 1 {
		t.Errorf("it is asked %d times", asked)
	}
}
