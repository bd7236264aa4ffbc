package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/test/lab"
)

// writers is how many objects are made at a time.
const writers = 32

func newClient(kubeconfig string) (client.WithWatch, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no limit
	return client.NewWithWatch(config, client.Options{Scheme: clientgoscheme.Scheme})
}

// create makes n objects.
func create(ctx context.Context, api client.Client, n int, object func(i int) client.Object) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range n {
		group.Go(func() error { return api.Create(ctx, object(i)) })
	}
	return group.Wait()
}

// createPairs has postrender make images and pairs for claims of these names.
func createPairs(ctx context.Context, api client.Client, ceph *lab.Ceph, tools lab.Tools, dir string, names []string) error {
	postrender, err := tools.Find("postrender")
	if err != nil {
		return err
	}
	var stream, rendered bytes.Buffer
	for _, name := range names {
		stream.WriteString(claim(name))
	}
	class, file := filepath.Join(dir, "class.yaml"), filepath.Join(dir, "claims.yaml")
	if err := errors.Join(
		os.WriteFile(class, []byte(storageClass(lab.Pool)), 0o600),
		os.WriteFile(file, stream.Bytes(), 0o600),
	); err != nil {
		return err
	}
	if err := pipe(ctx, &rendered, file, postrender, "--create=client", "--namespace", namespace, "--storage-class", class, "--ceph-conf", ceph.ConfFile); err != nil {
		return err
	}
	var objects []client.Object
	for decoder := yaml.NewYAMLOrJSONDecoder(&rendered, 4096); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read what postrender wrote: %w", err)
		}
		if object.GetKind() == "PersistentVolumeClaim" {
			object.SetNamespace(namespace)
		}
		objects = append(objects, object)
	}
	return create(ctx, api, len(objects), func(i int) client.Object { return objects[i] })
}

// createVolumes makes n pairs without images, and attaches them to nodes.
func createVolumes(ctx context.Context, api client.Client, n, nodes int) error {
	class := storageclass.Class{
		Driver: driver, ClusterID: "rook-ceph", RBD: &storageclass.RBD{Pool: lab.Pool, FSType: "ext4"},
		NodeStageSecret: corev1.SecretReference{Name: "rook-csi-rbd-node", Namespace: "rook-ceph"},
	}
	if err := create(ctx, api, nodes, func(i int) client.Object { return newNode(i) }); err != nil {
		return err
	}
	return create(ctx, api, 3*n, func(i int) client.Object {
		name := fmt.Sprintf("more-%d", i/3)
		image := staticpv.ImageName(namespace, name)
		switch i % 3 {
		case 0:
			return staticpv.Plan{
				Namespace: namespace, Names: staticpv.Names{Claim: name, Image: image}, Class: class,
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			}.PV(staticpv.Made{Size: size})
		case 1:
			return newClaim(name, image)
		default:
			return &storagev1.VolumeAttachment{
				ObjectMeta: metav1.ObjectMeta{Name: "csi-" + name},
				Spec: storagev1.VolumeAttachmentSpec{
					Attacher: driver, NodeName: newNode(i / 3 % nodes).Name,
					Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &image},
				},
			}
		}
	})
}

// newNode is a node as kubelet describes it, with the images that it has.
func newNode(i int) *corev1.Node {
	name := fmt.Sprintf("node-%d", i)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	node.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)},
		{Type: corev1.NodeHostName, Address: name},
	}
	for image := range 50 { // kubelet's limit
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{
			Names: []string{
				fmt.Sprintf("registry.example.com/team/app-%d@sha256:%064d", image, image),
				fmt.Sprintf("registry.example.com/team/app-%d:1.0", image),
			},
			SizeBytes: 100 << 20,
		})
	}
	return node
}

const (
	namespace = "shop"
	driver    = "rook-ceph.rbd.csi.ceph.com"
)

var size = resource.MustParse("1Gi")

// newClaim is a claim for that volume. Without a volume it waits for one.
func newClaim(name, volume string) *corev1.PersistentVolumeClaim {
	noClass := ""
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
			VolumeName:       volume,
			StorageClassName: &noClass,
		},
	}
	return claim
}

// newDynamic is a volume that ceph-csi made for the claim: RBD, and not guarded.
func newDynamic(claim string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + claim},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: size},
			ClaimRef:    &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: namespace, Name: claim},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver:       driver,
				VolumeHandle: "0001-0009-rook-ceph-0000000000000002-5e0c1f3a-aaaa-bbbb-cccc-0123456789ab",
				VolumeAttributes: map[string]string{
					"clusterID": "rook-ceph", "pool": lab.Pool, "imageName": "csi-vol-5e0c1f3a-aaaa-bbbb-cccc-0123456789ab",
				},
			}},
		},
	}
}

// newStatefulSet has no replicas and one claim template.
func newStatefulSet(name string) *appsv1.StatefulSet {
	none := int32(0)
	labels := map[string]string{"app": name}
	data := newClaim(template, "")
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &none,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "app", Image: "example/app:1.0",
					VolumeMounts: []corev1.VolumeMount{{Name: template, MountPath: "/var/lib/app"}},
				}}},
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{*data},
		},
	}
}

// template is the name of a StatefulSet's claim template.
const template = "data"
