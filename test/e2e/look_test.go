//go:build lab

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

var (
	namespaces   = corev1.SchemeGroupVersion.WithResource("namespaces")
	volumes      = corev1.SchemeGroupVersion.WithResource("persistentvolumes")
	claims       = corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")
	secrets      = corev1.SchemeGroupVersion.WithResource("secrets")
	statefulSets = appsv1.SchemeGroupVersion.WithResource("statefulsets")
)

// sight is all that there is of a team's volumes. Two are compared to see that
// nothing changed.
type sight struct {
	// Volumes and Claims are resource versions by name.
	Volumes, Claims map[string]string
	// Releases are Helm's records of the revisions.
	Releases []string
	// Images are those in the pool whose names begin with the namespace.
	Images map[string]scene.Stored
}

func (team *team) look(c *cluster) sight {
	team.Helper()
	seen := sight{map[string]string{}, map[string]string{}, nil, team.images(lab.Pool)}
	for _, pv := range list[corev1.PersistentVolume](team, c, volumes, "") {
		if pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.Namespace == team.namespace {
			seen.Volumes[pv.Name] = pv.ResourceVersion
		}
	}
	for _, claim := range list[corev1.PersistentVolumeClaim](team, c, claims, team.namespace) {
		seen.Claims[claim.Name] = claim.ResourceVersion
	}
	for _, secret := range list[corev1.Secret](team, c, secrets, team.namespace) {
		if secret.Type == "helm.sh/release.v1" {
			seen.Releases = append(seen.Releases, secret.Name+" "+secret.Labels["status"])
		}
	}
	slices.Sort(seen.Releases)
	return seen
}

// unchanged reports what is not as it was.
func (team *team) unchanged(c *cluster, before sight) {
	team.Helper()
	if diff := cmp.Diff(before, team.look(c)); diff != "" {
		team.Errorf("something changed (-before +after):\n%s", diff)
	}
}

// volumesUnchanged is for a command that makes a new revision of the release.
func (team *team) volumesUnchanged(c *cluster, before sight) {
	team.Helper()
	before.Releases = team.look(c).Releases
	team.unchanged(c, before)
}

// nothing is the sight of a namespace in which nothing was ever installed.
func nothing() sight {
	return sight{map[string]string{}, map[string]string{}, nil, map[string]scene.Stored{}}
}

// pair is a bound claim and its volume.
type pair struct {
	Claim  *corev1.PersistentVolumeClaim
	Volume *corev1.PersistentVolume
}

// bound waits until the claim is bound and returns the pair.
func (team *team) bound(c *cluster, name string) pair {
	team.Helper()
	begin := time.Now()
	var claim *corev1.PersistentVolumeClaim
	scene.Until(team.T, "claim "+name+" is bound", func() bool {
		claim = get[corev1.PersistentVolumeClaim](team, c, claims, team.namespace, name)
		return claim.Status.Phase == corev1.ClaimBound
	})
	if waited := time.Since(begin).Round(time.Millisecond); waited > time.Second {
		// The binder learns of volumes and of claims on two ways. A claim that
		// comes to it before its volume, on a busy machine, waits for the resync.
		team.Logf("claim %s was bound only after %s", name, waited)
	}
	return pair{claim, get[corev1.PersistentVolume](team, c, volumes, "", claim.Spec.VolumeName)}
}

// images are those of a pool, or of a pool/namespace, whose names begin with the
// team's namespace.
func (team *team) images(pool string) map[string]scene.Stored {
	team.Helper()
	names, err := storage.Names(specOf(pool, ""))
	if err != nil {
		team.Fatal(err)
	}
	found := map[string]scene.Stored{}
	for _, name := range names {
		if strings.HasPrefix(name, team.namespace+".") {
			found[name] = team.image(pool, name)
		}
	}
	return found
}

// image is the image in a pool, or in a pool/namespace.
func (team *team) image(pool, name string) scene.Stored {
	team.Helper()
	image, err := storage.Stored(specOf(pool, name))
	if err != nil {
		team.Fatal(err)
	}
	return image
}

func specOf(pool, name string) ceph.ImageSpec {
	pool, namespace, _ := strings.Cut(pool, "/")
	return ceph.ImageSpec{Pool: pool, Namespace: namespace, Name: name}
}

func (team *team) rbd(args ...string) {
	team.Helper()
	if _, err := storage.RBD(team.Context(), args...); err != nil {
		team.Fatal(err)
	}
}

// get reads an object of a cluster. The namespace may be empty.
func get[T any](team *team, c *cluster, resource schema.GroupVersionResource, namespace, name string) *T {
	team.Helper()
	object, err := c.client.Resource(resource).Namespace(namespace).Get(team.Context(), name, metav1.GetOptions{})
	if err != nil {
		team.Fatal(err)
	}
	return convert[T](team, object.Object)
}

func list[T any](team *team, c *cluster, resource schema.GroupVersionResource, namespace string) []*T {
	team.Helper()
	found, err := c.client.Resource(resource).Namespace(namespace).List(team.Context(), metav1.ListOptions{})
	if err != nil {
		team.Fatal(err)
	}
	var all []*T
	for _, object := range found.Items {
		all = append(all, convert[T](team, object.Object))
	}
	return all
}

func convert[T any](team *team, object map[string]any) *T {
	team.Helper()
	typed := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, typed); err != nil {
		team.Fatal(err)
	}
	return typed
}

// sizes are the storage request of a claim, its capacity, the capacity of its
// volume, and the size of its image.
func (team *team) sizes(c *cluster, claim string) string {
	team.Helper()
	found := team.bound(c, claim)
	request, capacity := found.Claim.Spec.Resources.Requests.Storage(), found.Claim.Status.Capacity.Storage()
	return fmt.Sprintf("claim %s %s, volume %s, image %dMi", request, capacity, found.Volume.Spec.Capacity.Storage(),
		team.image(lab.Pool, found.Volume.Spec.CSI.VolumeHandle).Size>>20)
}
