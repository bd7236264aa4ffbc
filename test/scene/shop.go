//go:build lab

package scene

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
)

// Shop is a namespace of one test, with the same name in its clusters. A claim in it
// has the image <pool>/<namespace>.<claim>, or the one in Images.
type Shop struct {
	*testing.T
	Namespace string
	// Pool is where the images are: a pool, or pool/namespace.
	Pool string
	// Images are the names of those that have another one, by their claims.
	Images map[string]string
	Ceph   *Storage
	// TwoWriters are the claims whose images are known to have had two at a time.
	TwoWriters []string

	scene *Scene
}

// Shop makes a namespace in both clusters.
func (s *Scene) Shop(t *testing.T) *Shop {
	t.Helper()
	return s.shop(t, s.name(), s.Storage, s.East, s.West)
}

// ShopCalled makes a namespace of that name in both clusters.
func (s *Scene) ShopCalled(t *testing.T, name string) *Shop {
	t.Helper()
	return s.shop(t, name, s.Storage, s.East, s.West)
}

// ShopIn makes a namespace in the clusters of another lab.
func (s *Scene) ShopIn(t *testing.T, servers *lab.Ceph, clusters ...*Cluster) *Shop {
	t.Helper()
	storage := Open(servers)
	t.Cleanup(func() {
		if err := storage.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.shop(t, s.name(), storage, clusters...)
}

func (s *Scene) name() string { return fmt.Sprint("shop-", s.shops.Add(1)) }

func (s *Scene) shop(t *testing.T, name string, storage *Storage, clusters ...*Cluster) *Shop {
	t.Helper()
	shop := &Shop{T: t, Namespace: name, Pool: lab.Pool, Ceph: storage, scene: s}
	t.Cleanup(shop.oneWriterAtATime)
	for _, c := range clusters {
		MakeNamespace(t, c, name)
	}
	return shop
}

// In is the shop in a test of its test.
func (s *Shop) In(t *testing.T) *Shop {
	inner := *s
	inner.T = t
	return &inner
}

// MakeNamespace makes a namespace, and returns when pods can be made in it.
func MakeNamespace(t testing.TB, c *Cluster, name string) {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.Client.CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "account default", func() error {
		_, err := c.Client.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
}

// Eventually polls until check is content.
func (s *Shop) Eventually(what string, check func() error) {
	s.Helper()
	Eventually(s.T, what, check)
}

// Run runs kubectl in the shop's namespace, with stdin for `-f -`.
func (s *Shop) Run(c *Cluster, stdin string, args ...string) Result {
	return Command{Program: s.scene.Programs["kubectl"], Stdin: stdin, Env: s.env(), Args: append([]string{
		"--kubeconfig", c.Kubeconfig, "--cache-dir", filepath.Join(s.scene.Home, c.Name), "--namespace", s.Namespace,
	}, args...)}.Run(s.Context()).Trimmed()
}

// Helm runs Helm 3 in the shop's namespace.
func (s *Shop) Helm(c *Cluster, args ...string) Result {
	return Command{Program: s.scene.Programs["helm"], Env: s.env(),
		Args: append(args, "--kubeconfig", c.Kubeconfig, "--namespace", s.Namespace)}.Run(s.Context()).Trimmed()
}

// Rendered runs Helm 3 with the renderer making the pairs.
func (s *Shop) Rendered(c *Cluster, args ...string) Result {
	return s.Helm(c, append(args, "--post-renderer", s.scene.Programs["postrender"], "--post-renderer-args=--create=client")...)
}

func (s *Shop) env() map[string]string {
	return map[string]string{"PATH": "/usr/bin:/bin", "HOME": s.scene.Home}
}

// Must is for a command that has to succeed. It returns its stdout.
func (s *Shop) Must(r Result) string {
	s.Helper()
	return r.Must(s.T)
}

// Kubectl runs a command that has to succeed.
func (s *Shop) Kubectl(c *Cluster, args ...string) string {
	s.Helper()
	return s.Must(s.Run(c, "", args...))
}

// Create creates objects. With arguments kubectl does it, and its stdout is returned.
func (s *Shop) Create(c *Cluster, manifests string, args ...string) string {
	s.Helper()
	if len(args) > 0 {
		return s.Must(s.Run(c, manifests, append([]string{"create", "-f", "-"}, args...)...))
	}
	if err := c.create(s.Context(), s.Namespace, manifests); err != nil {
		s.Fatal(err)
	}
	return ""
}

// Bound waits until the claim is bound.
func (s *Shop) Bound(c *Cluster, claim string) {
	s.Helper()
	s.Eventually("claim "+claim+" is bound", func() error {
		got, err := c.Client.CoreV1().PersistentVolumeClaims(s.Namespace).Get(s.Context(), claim, metav1.GetOptions{})
		if err == nil && got.Status.Phase != corev1.ClaimBound {
			err = fmt.Errorf("it is %s", got.Status.Phase)
		}
		return err
	})
}

// Holds starts a pod in a cluster that has the claims open, and returns when it
// writes.
func (s *Shop) Holds(c *Cluster, claims ...string) {
	s.Helper()
	s.Create(c, fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: holder}, spec: %s}", PodSpec(claims)))
	s.Ready(c, "holder")
}

// LetsGo ends that pod, and returns when it has none of the volumes and the cluster
// owns none of them. Somebody else may have them then.
func (s *Shop) LetsGo(c *Cluster, claims ...string) {
	s.Helper()
	held := map[string][]Watcher{}
	for _, claim := range claims {
		held[claim] = s.Watchers(claim)
	}
	s.Kubectl(c, "delete", "pod", "holder")
	for claim, before := range held {
		s.Eventually("the pod has let go of "+claim, func() error {
			for _, w := range s.Watchers(claim) {
				if slices.Contains(before, w) {
					return fmt.Errorf("it has a watcher %v", w)
				}
			}
			return nil
		})
		s.Released(c, claim)
	}
}

// GuardedLabel is the label of guarded namespaces.
const GuardedLabel = "cephferry.io/guarded"

// Label is its value.
func (s *Shop) Label(c *Cluster) string {
	s.Helper()
	namespace, err := c.Client.CoreV1().Namespaces().Get(s.Context(), s.Namespace, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return namespace.Labels[GuardedLabel]
}

// Party is the cluster as records name it.
func (s *Shop) Party(c *Cluster) ceph.Party {
	s.Helper()
	system, err := c.Client.CoreV1().Namespaces().Get(s.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return ceph.Party{UID: string(system.UID), Name: c.Name}
}

// oneWriterAtATime checks, at the end of each test, what pods wrote into all images of
// the shop, whoever had them and however often they were handed over.
func (s *Shop) oneWriterAtATime() {
	ctx := context.Background() // the test's has ended
	images, err := s.Ceph.Names(s.Spec(""))
	if err != nil {
		s.Error(err)
	}
	claims := slices.Sorted(maps.Keys(s.Images))
	for _, image := range images {
		base, _, _ := strings.Cut(image, "~") // it may be given back just now
		if claim, ours := strings.CutPrefix(base, s.Namespace+"."); ours {
			claims = append(claims, claim)
		}
	}
	for _, claim := range claims {
		if slices.Contains(s.TwoWriters, claim) {
			continue
		}
		log, err := s.Ceph.readStamps(ctx, s.Ceph.Admin(s.T), s.Spec(claim))
		if err == nil {
			err = log.Check()
		}
		if err != nil {
			s.Errorf("image %s: %v", s.Image(claim), err)
		}
	}
}
