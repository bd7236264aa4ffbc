//go:build neighbours

package neighbours

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cephferry/cephferry/test/scene"
)

var clusterResource = schema.GroupVersionResource{Group: "postgresql.cnpg.io", Version: "v1", Resource: "clusters"}

// jobsEnd has the pods of CloudNativePG's Jobs end after a second, as if they had done what
// they are for.
const jobsEnd = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: jobs-end}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
    objectSelector: {matchExpressions: [{key: cnpg.io/jobRole, operator: Exists}]}
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: '[JSONPatch{op: "replace", path: "/spec/containers/0/command", value: ["sleep", "1"]}]'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: jobs-end}
spec: {policyName: jobs-end}
`

// database is a Cluster pg of CloudNativePG, in a namespace of both clusters.
type database struct{ *scene.Shop }

// newDatabase starts the operators.
func newDatabase(t *testing.T) *database {
	t.Helper()
	db := &database{stage.Shop(t)}
	for _, c := range []*scene.Cluster{east, west} {
		db.operator(c)
		db.instances(c)
	}
	return db
}

// operator starts CloudNativePG's operator for the test's namespace.
func (db *database) operator(c *scene.Cluster) {
	db.Helper()
	program := stage.Programs["cloudnative-pg"]
	db.Kubectl(c, "apply", "--server-side", "--filename", filepath.Join(filepath.Dir(program), "crds"))
	db.Kubectl(c, "wait", "--for=condition=Established", "crd/clusters.postgresql.cnpg.io", "--timeout=60s")
	if err := c.Apply(db.Context(), jobsEnd); err != nil {
		db.Fatal(err)
	}
	dir := db.TempDir()
	// No API server asks its webhooks. Then the operator does their work when it reconciles.
	writeCertificate(db.T, dir)
	// In its image, this is what pods of instances run.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "operator"), 0o755), os.Symlink(program, filepath.Join(dir, "operator", "manager_"+runtime.GOARCH))); err != nil {
		db.Fatal(err)
	}
	run(db.T, dir, []string{
		"HOME=" + dir, "KUBECONFIG=" + c.Kubeconfig, "WATCH_NAMESPACE=" + db.Namespace, "WEBHOOK_CERT_DIR=" + dir,
		"OPERATOR_NAMESPACE=default", "OPERATOR_IMAGE_NAME=none", "POSTGRES_IMAGE_NAME=none:18",
	}, program, "controller", "--webhook-port="+freePort(db.T), "--metrics-bind-address=0")
}

// writeCertificate writes a certificate and its key by the names that the operator reads.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"apiserver.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "apiserver.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// apply applies the Cluster, with metadata besides its name. Instances are on nodes of their own.
func (db *database) apply(c *scene.Cluster, instances int, metadata string) {
	db.Helper()
	err := c.ApplyIn(db.Context(), db.Namespace, fmt.Sprintf(`
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: pg%s}
spec:
  instances: %d
  affinity: {podAntiAffinityType: required}
  storage: {size: 16Mi, storageClass: %s}
  walStorage: {size: 16Mi, storageClass: %s}
`, metadata, instances, migratable, migratable))
	if err != nil {
		db.Fatal(err)
	}
}

// healthy waits until the operator says so, with that many instances.
func (db *database) healthy(c *scene.Cluster, instances int) {
	db.Helper()
	db.Eventually("the Cluster in "+c.Name+" is healthy", func() error {
		cluster, err := c.Dynamic.Resource(clusterResource).Namespace(db.Namespace).Get(db.Context(), "pg", metav1.GetOptions{})
		if err != nil {
			return err
		}
		phase, _, _ := unstructured.NestedString(cluster.Object, "status", "phase")
		reason, _, _ := unstructured.NestedString(cluster.Object, "status", "phaseReason")
		ready, _, _ := unstructured.NestedInt64(cluster.Object, "status", "readyInstances")
		if phase != "Cluster in healthy state" || ready != int64(instances) {
			return fmt.Errorf("it is in phase %q, %s, with %d instances", phase, reason, ready)
		}
		return nil
	})
}

// claims are the names of the namespace's claims in a cluster.
func (db *database) claims(c *scene.Cluster) []string {
	db.Helper()
	var names []string
	for _, claim := range db.list(c) {
		names = append(names, claim.Name)
	}
	return names
}

func (db *database) list(c *scene.Cluster) []corev1.PersistentVolumeClaim {
	db.Helper()
	list, err := c.Client.CoreV1().PersistentVolumeClaims(db.Namespace).List(db.Context(), metav1.ListOptions{})
	if err != nil {
		db.Fatal(err)
	}
	return list.Items
}

// jobs are the names of the Jobs that there have been.
func (db *database) jobs(c *scene.Cluster) []string {
	db.Helper()
	var names []string
	for _, event := range db.Events(c) {
		if name, ok := strings.CutPrefix(event.Object, "Job/"); ok && event.Reason == "SuccessfulCreate" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// hibernate hibernates the Cluster, and returns when its images are free.
func (db *database) hibernate(c *scene.Cluster) {
	db.Helper()
	db.Kubectl(c, "annotate", "clusters.postgresql.cnpg.io/pg", "cnpg.io/hibernation=on")
	db.Kubectl(c, "wait", "clusters.postgresql.cnpg.io/pg", "--for=condition=cnpg.io/hibernation", "--timeout=60s")
	for _, claim := range db.claims(c) {
		db.Released(c, claim)
	}
}

// all are the claims of two instances: the name says whose it is, and what for.
var all = []string{"pg-1", "pg-1-wal", "pg-2", "pg-2-wal"}

// TestCloudNativePG moves a Cluster of two instances from east to west as docs/operators.md
// says.
func TestCloudNativePG(t *testing.T) {
	db := newDatabase(t)
	db.apply(east, 2, "")
	db.healthy(east, 2)
	if diff := cmp.Diff(all, db.claims(east)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"pg-1-initdb", "pg-2-join"}, db.jobs(east)); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	for _, claim := range all {
		keyed(db.Shop, claim)
		db.Wrote(claim, east)
	}
	db.hibernate(east)

	db.carryClaims(east, west)
	for _, claim := range all {
		db.Bound(west, claim)
	}
	db.apply(west, 2, "")
	db.healthy(west, 2)
	if jobs := db.jobs(west); jobs != nil {
		t.Errorf("west has bootstrapped: %q", jobs)
	}
	for _, claim := range all {
		db.Wrote(claim, east, west)
	}
}

// carryClaims makes the claims of one cluster in another: by their names, with their class,
// and with the labels and annotations of the operator, but without an owner. They never make
// an image.
func (db *database) carryClaims(from, to *scene.Cluster) {
	db.Helper()
	for _, claim := range db.list(from) {
		carried := &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: claim.Name, Labels: claim.Labels, Annotations: map[string]string{"cephferry.io/adopt": "true"}},
			Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: claim.Spec.StorageClassName, AccessModes: claim.Spec.AccessModes, Resources: claim.Spec.Resources},
		}
		for name, value := range claim.Annotations {
			if strings.HasPrefix(name, "cnpg.io/") {
				carried.Annotations[name] = value
			}
		}
		if _, err := to.Client.CoreV1().PersistentVolumeClaims(db.Namespace).Create(db.Context(), carried, metav1.CreateOptions{}); err != nil {
			db.Fatal(err)
		}
	}
}

// TestCloudNativePGStandsBy: west's Cluster waits on claims that are carried over while east
// runs, and goes on with the data when east is hibernated. Nothing is bootstrapped.
func TestCloudNativePGStandsBy(t *testing.T) {
	db := newDatabase(t)
	db.apply(east, 1, "")
	db.healthy(east, 1)
	db.carryClaims(east, west)
	for _, claim := range db.claims(east) {
		db.Bound(west, claim)
	}
	db.apply(west, 1, "")
	db.guarded(west)

	db.hibernate(east)
	db.healthy(west, 1)
	if jobs := db.jobs(west); jobs != nil {
		t.Errorf("west has bootstrapped: %q", jobs)
	}
	for _, claim := range db.claims(east) {
		db.Wrote(claim, east, west)
	}
}

// TestCloudNativePGBootstraps: a Cluster that comes before its claims gets the images of the
// other cluster by their names, even if it is to be hibernated from the beginning, and runs
// initdb in them. That is what the document warns of.
func TestCloudNativePGBootstraps(t *testing.T) {
	db := newDatabase(t)
	db.apply(east, 1, "")
	db.healthy(east, 1)
	db.apply(west, 1, `, annotations: {cnpg.io/hibernation: "on"}`)
	db.Eventually("west's job is there", func() error {
		_, err := west.Client.BatchV1().Jobs(db.Namespace).Get(db.Context(), "pg-1-initdb", metav1.GetOptions{})
		return err
	})

	db.hibernate(east)
	db.Eventually("west writes to the image of east", func() error {
		if last := db.Stamps("pg-1").Last().Cluster; last != west.Name {
			return fmt.Errorf("the last who wrote is %s", last)
		}
		return nil
	})
	if jobs := db.jobs(west); !slices.Equal(jobs, []string{"pg-1-initdb"}) {
		t.Errorf("west has the jobs %q", jobs)
	}
}

// TestCloudNativePGScales: an instance that is taken away leaves its images, and the next one
// has its number, and so the images with what is in them.
func TestCloudNativePGScales(t *testing.T) {
	db := newDatabase(t)
	db.apply(east, 2, "")
	db.healthy(east, 2)
	before := db.Stamps("pg-2").Last()
	db.apply(east, 1, "")
	db.Eventually("the claims of the second instance are gone", func() error {
		if claims := db.claims(east); !slices.Equal(claims, all[:2]) {
			return fmt.Errorf("there are %q", claims)
		}
		return nil
	})
	db.Released(east, "pg-2")
	db.apply(east, 2, "")
	db.healthy(east, 2)
	if claims := db.claims(east); !slices.Equal(claims, all) {
		t.Errorf("claims %q", claims)
	}
	db.Grows("pg-2")
	if after := db.Stamps("pg-2").Last(); after.Sequence <= before.Sequence {
		t.Errorf("pg-2 is at stamp %d, and was at %d", after.Sequence, before.Sequence)
	}
}

// TestCloudNativePGAnnotations: what a Cluster hands down to its objects reaches the claims, so
// annotations of ours need no class of ours.
func TestCloudNativePGAnnotations(t *testing.T) {
	db := newDatabase(t)
	err := east.ApplyIn(db.Context(), db.Namespace, `
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: pg}
spec:
  instances: 1
  inheritedMetadata: {annotations: {cephferry.io/migratable: "true"}}
  storage: {size: 16Mi, storageClass: ""}
`)
	if err != nil {
		t.Fatal(err)
	}
	db.healthy(east, 1)
	keyed(db.Shop, "pg-1")
	db.Wrote("pg-1", east)
}

// guarded waits until the operator has asked for the pod of an instance, and was refused: no
// pod is there, and the claims are the Cluster's.
func (db *database) guarded(c *scene.Cluster) {
	db.Helper()
	db.Eventually("the operator in "+c.Name+" has taken the claims over", func() error {
		for _, claim := range db.list(c) {
			if len(claim.OwnerReferences) != 1 || claim.Annotations["cnpg.io/pvcStatus"] != "ready" {
				return fmt.Errorf("claim %s is owned by %v and has annotations %v", claim.Name, claim.OwnerReferences, claim.Annotations)
			}
		}
		return nil
	})
	if _, err := c.Client.CoreV1().Pods(db.Namespace).Get(db.Context(), "pg-1", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		db.Errorf("a pod of the instance in %s: %v", c.Name, err)
	}
}
