//go:build lab

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

func TestAnInstallEndsWithBoundPairsOnRealImages(t *testing.T) {
	eachHelm(t, func(team *team) {
		begin := time.Now()
		team.must(east, team.rendered("install", "web", web, migratable)...)
		team.bound(east, "web-files")
		team.Logf("web: %s from helm install to Bound", time.Since(begin).Round(time.Millisecond))
		begin = time.Now()
		team.must(east, team.rendered("install", "db", db, migratable, replicas("2"))...)
		team.bound(east, "data-db-1")
		team.Logf("db: %s from helm install to Bound", time.Since(begin).Round(time.Millisecond))

		for _, claim := range []string{"web-files", "data-db-0", "data-db-1"} {
			found := team.bound(east, claim)
			found.Volume.Spec.ClaimRef.ResourceVersion = "" // of the claim as the binder saw it
			if diff := cmp.Diff(team.wantVolume(claim, found.Claim), found.Volume.Spec); diff != "" {
				team.Errorf("volume of %s (-want +got):\n%s", claim, diff)
			}
			if class := found.Claim.Spec.StorageClassName; class == nil || *class != "" {
				team.Errorf("claim %s has class %v, want none", claim, class)
			}

			image := team.image(lab.Pool, team.namespace+"."+claim)
			record, err := ceph.DecodeRecord([]byte(image.Record))
			if err != nil || record.Token == "" {
				team.Errorf("record of %s: token %q, error %v", claim, record.Token, err)
			}
			record.Token = ""
			if diff := cmp.Diff(ceph.Record{ClaimSize: 1 << 30, Exclusive: true, Private: true}, record); diff != "" {
				team.Errorf("record of %s (-want +got):\n%s", claim, diff)
			}
			image.Record, image.ID = "", ""
			if diff := cmp.Diff(wantImage, image); diff != "" {
				team.Errorf("image of %s (-want +got):\n%s", claim, diff)
			}
		}
	})
}

var wantImage = scene.Stored{Size: 1 << 30, Features: []string{"exclusive-lock", "layering"}}

// wantVolume is what the design says a pair's volume is.
func (team *team) wantVolume(name string, claim *corev1.PersistentVolumeClaim) corev1.PersistentVolumeSpec {
	filesystem := corev1.PersistentVolumeFilesystem
	return corev1.PersistentVolumeSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		ClaimRef: &corev1.ObjectReference{
			APIVersion: "v1", Kind: "PersistentVolumeClaim",
			Namespace: team.namespace, Name: name, UID: claim.UID,
		},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
			Driver:             "rook-ceph.rbd.csi.ceph.com",
			VolumeHandle:       team.namespace + "." + name,
			FSType:             "ext4",
			NodeStageSecretRef: &corev1.SecretReference{Name: "rook-csi-rbd-node", Namespace: "rook-ceph"},
			VolumeAttributes: map[string]string{
				"clusterID": "rook-ceph", "pool": lab.Pool, "staticVolume": "true",
				"imageFeatures": "exclusive-lock,layering", "mapOptions": "exclusive,noshare",
			},
		}},
		PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		VolumeMode:                    &filesystem,
	}
}

// The binder takes up to 15 s for a claim that comes before its volume.
func TestAReleaseHasEveryVolumeBeforeItsClaim(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "db", db, migratable, replicas("2"))...)
		var kinds []string
		for line := range strings.Lines(team.must(east, "get", "manifest", "db")) {
			if kind, ok := strings.CutPrefix(line, "kind: "); ok {
				kinds = append(kinds, strings.TrimSpace(kind))
			}
		}
		volumesAtFirst := cmpopts.IgnoreSliceElements(func(kind string) bool { return !strings.HasPrefix(kind, "PersistentVolume") })
		want := []string{"PersistentVolume", "PersistentVolumeClaim", "PersistentVolume", "PersistentVolumeClaim"}
		if team.helm == 4 { // which sorts by kind after rendering
			want = []string{"PersistentVolume", "PersistentVolume", "PersistentVolumeClaim", "PersistentVolumeClaim"}
		}
		if diff := cmp.Diff(want, kinds, volumesAtFirst); diff != "" {
			team.Errorf("kinds in the manifest (-want +got):\n%s", diff)
		}
	})
}

func TestAnImageAndAClassOfTheTeamsChoiceAreUsed(t *testing.T) {
	eachHelm(t, func(team *team) {
		name := team.namespace + ".orders"
		team.must(east, team.rendered("install", "db", db, migratable, imageName(name), class("ceph-block"))...)
		if got := team.bound(east, "data-db-0").Volume.Spec.CSI.VolumeHandle; got != name+"-0" {
			team.Errorf("volumeHandle %q, want %q", got, name+"-0")
		}
		team.image(lab.Pool, name+"-0")
	})
}

func TestAReleaseWithoutAnnotationIsLeftAlone(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "web", web)...)
		rendered := team.must(east, "get", "manifest", "web")
		team.must(east, "uninstall", "web")
		team.must(east, "install", "web", web)
		if diff := cmp.Diff(team.must(east, "get", "manifest", "web"), rendered); diff != "" {
			team.Errorf("with the renderer (-without +with):\n%s", diff)
		}
		if images := team.images(lab.Pool); len(images) > 0 {
			team.Errorf("there are images: %v", images)
		}
	})
}

// Helm 3 reads the plugin folder for every command, and does not know the format
// of Helm 4's plugins.
func TestTheTwoHelmsDoNotDisturbEachOther(t *testing.T) {
	eachHelm(t, func(team *team) {
		listed := team.run(team.on(east, []string{"list"})...)
		if listed.Err != nil || listed.Stderr != "" {
			team.Errorf("helm list: %v\n%s", listed.Err, listed.Stderr)
		}
		plugins := team.must(east, "plugin", "list")
		if got, want := strings.Contains(plugins, "cephferry"), team.helm == 4; got != want {
			team.Errorf("helm plugin list shows ours: %t, want %t\n%s", got, want, plugins)
		}
	})
}
