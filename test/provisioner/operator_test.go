//go:build lab

package provisioner

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cephferry/cephferry/test/scene"
)

// database is the custom resource of a small operator, which names a class and no annotation.
func database(instances int) string {
	return fmt.Sprintf("{apiVersion: example.com/v1, kind: Database, metadata: {name: pg, namespace: NS}, spec: {size: %d, storage: {storageClass: %s, size: 16Mi}}}", instances, migratable)
}

// operator does what CloudNativePG does with claims: it makes them itself, counted from 1
// and owned by the custom resource, a pod for each, and takes away the pods of instances
// that are too many, not their claims. It runs until the test ends.
func (tm *team) operator(c *scene.Cluster) {
	ctx, stop := context.WithCancel(tm.Context())
	ended := make(chan struct{})
	tm.Cleanup(func() { stop(); <-ended })
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if err := tm.operate(ctx, c); err != nil && ctx.Err() == nil {
				tm.Logf("the operator in %s tries again: %v", c.Name, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond): // how often it looks
			}
		}
	}()
}

func (tm *team) operate(ctx context.Context, c *scene.Cluster) error {
	resources := schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "databases"}
	all, err := c.Dynamic.Resource(resources).Namespace(tm.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, db := range all.Items {
		instances, _, _ := unstructured.NestedInt64(db.Object, "spec", "size")
		class, _, _ := unstructured.NestedString(db.Object, "spec", "storage", "storageClass")
		size, _, _ := unstructured.NestedString(db.Object, "spec", "storage", "size")
		for n := int64(1); n <= 3; n++ {
			meta := metav1.ObjectMeta{Name: fmt.Sprint(db.GetName(), "-", n), Namespace: tm.Namespace, OwnerReferences: []metav1.OwnerReference{
				{APIVersion: db.GetAPIVersion(), Kind: db.GetKind(), Name: db.GetName(), UID: db.GetUID()},
			}}
			pods := c.Client.CoreV1().Pods(tm.Namespace)
			if n > instances {
				if err := pods.Delete(ctx, meta.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
					return err
				}
				continue
			}
			claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta, Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
			}}
			if _, err := c.Client.CoreV1().PersistentVolumeClaims(tm.Namespace).Create(ctx, claim, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
			pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "main", Image: "none"}},
				Volumes:    []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: meta.Name}}}},
			}}
			if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
		}
	}
	return nil
}

// TestAnOperatorThatTakesAClass: its custom resource moves from one cluster to the other, and
// each instance finds its data.
func TestAnOperatorThatTakesAClass(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	clusters := []*scene.Cluster{east, west}
	for i, c := range clusters {
		tm.apply(c, scene.Definition("Database"))
		tm.Kubectl(c, "wait", "--for=condition=Established", "--timeout=60s", "crd/databases.example.com")
		tm.operator(c)
		tm.apply(c, database(2))
		for _, instance := range []string{"pg-1", "pg-2"} {
			tm.Ready(c, instance)
			tm.bound(c, instance, tm.image(instance))
			tm.wrote(tm.image(instance), clusters[:i+1]...)
		}
		tm.apply(c, database(0))
		tm.noPods(c)
	}
}
