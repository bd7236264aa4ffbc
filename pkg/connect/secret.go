package connect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// ErrNoSecret means that nothing says which secret has a Ceph user for a clusterID.
var ErrNoSecret = errors.New("no secret with a ceph user")

// Annotations with which Rook's import script marks the secrets that it makes, value "true". Their
// names differ where the users are restricted to a cluster or a pool.
const (
	annotationNode        = "csi.rook.io/RBDNodeSecret"
	annotationProvisioner = "csi.rook.io/RBDProvisionerSecret"
)

// usualNode is the name that Rook gives the secret of ceph-csi's node plugin.
const usualNode = "rook-csi-rbd-node"

// Lists are what secrets are found by.
type Lists struct {
	Classes func(context.Context) ([]storagev1.StorageClass, error)
	// Secrets returns the metadata of a namespace's Secrets.
	Secrets func(ctx context.Context, namespace string) ([]metav1.PartialObjectMetadata, error)
}

// ObjectList is what a [List] reads, as client.ObjectList of controller-runtime.
type ObjectList interface {
	metav1.ListInterface
	runtime.Object
}

// List reads the objects of a namespace into a list of their type; all of those that are in none.
type List func(ctx context.Context, namespace string, into ObjectList) error

// Lists are by the list. Of Secrets only the metadata is read.
func (list List) Lists() Lists {
	return Lists{
		Classes: func(ctx context.Context) ([]storagev1.StorageClass, error) {
			var classes storagev1.StorageClassList
			err := list(ctx, "", &classes)
			return classes.Items, err
		},
		Secrets: func(ctx context.Context, namespace string) ([]metav1.PartialObjectMetadata, error) {
			var secrets metav1.PartialObjectMetadataList
			secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
			err := list(ctx, namespace, &secrets)
			return secrets.Items, err
		},
	}
}

// source is a place that may name a secret. It returns those that it names.
type source struct {
	what string
	look func(context.Context) ([]corev1.SecretReference, error)
}

// sources are where the secret of RBD's node plugin is looked for, in this order.
func (s CSI) sources(clusterID string, found csiconfig.Found) []source {
	named := func(ref corev1.SecretReference) func(context.Context) ([]corev1.SecretReference, error) {
		return func(context.Context) ([]corev1.SecretReference, error) { return []corev1.SecretReference{ref}, nil }
	}
	annotated := func(annotation string) source {
		return source{"annotation " + annotation, func(ctx context.Context) ([]corev1.SecretReference, error) {
			return s.annotated(ctx, found.Namespace, annotation)
		}}
	}
	return []source{
		{"the StorageClasses' node-stage-secret", func(ctx context.Context) ([]corev1.SecretReference, error) {
			return s.ofClasses(ctx, clusterID, found.ClusterID)
		}},
		{"config.json's rbd.nodePublishSecretRef", named(found.Secrets.Node)},
		{"config.json's rbd.controllerPublishSecretRef", named(found.Secrets.Provisioner)},
		annotated(annotationNode), annotated(annotationProvisioner),
		{"Rook's usual name", named(corev1.SecretReference{Namespace: found.Namespace, Name: usualNode})},
	}
}

// find returns the credentials of the first of the [CSI.sources] that names one secret that is
// there and may be read. Of several, none is taken: each may be for a pool of its own.
func (s CSI) find(ctx context.Context, clusterID string, found csiconfig.Found) (csiconfig.Credentials, error) {
	var reasons []string
	for _, source := range s.sources(clusterID, found) {
		refs, err := source.look(ctx)
		if apierrors.IsForbidden(err) {
			reasons = append(reasons, fmt.Sprintf("%s: %v", source.what, err))
			continue
		} else if err != nil {
			return csiconfig.Credentials{}, err
		}
		ref, reason := s.one(refs)
		if reason == "" {
			credentials, err := s.Get.Credentials(ctx, ref)
			switch {
			case apierrors.IsNotFound(err):
				reason = ref.Namespace + "/" + ref.Name + ", which is not there"
			case apierrors.IsForbidden(err):
				reason = err.Error()
			default:
				return credentials, err
			}
		}
		reasons = append(reasons, source.what+": "+reason)
	}
	return csiconfig.Credentials{}, fmt.Errorf("%w for clusterID %q (%s); name one (ceph.secret in the chart, --ceph-secret), or let the webhook read the Secrets there (ceph.findSecrets)", ErrNoSecret, clusterID, strings.Join(reasons, "; "))
}

// one returns the only secret of refs, or why there is none. Only the namespaces of the
// configuration count: the secrets of others, nobody may read.
func (s CSI) one(refs []corev1.SecretReference) (corev1.SecretReference, string) {
	var within []corev1.SecretReference
	var names []string
	for _, ref := range refs {
		if ref.Name == "" || slices.Contains(within, ref) {
			continue
		}
		if !slices.Contains(s.Namespaces, ref.Namespace) {
			names = append(names, ref.Namespace+"/"+ref.Name+" (not in a namespace of the configuration)")
			continue
		}
		within = append(within, ref)
		names = append(names, ref.Namespace+"/"+ref.Name)
	}
	switch {
	case len(within) == 1:
		return within[0], ""
	case len(names) == 0:
		return corev1.SecretReference{}, "none"
	}
	return corev1.SecretReference{}, strings.Join(names, ", ")
}

// ofClasses returns the secrets that the RBD classes of the clusterIDs name for nodes.
func (s CSI) ofClasses(ctx context.Context, clusterIDs ...string) ([]corev1.SecretReference, error) {
	classes, err := s.Lists.Classes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the StorageClasses: %w", err)
	}
	var refs []corev1.SecretReference
	for i := range classes {
		class := &classes[i]
		if !storageclass.IsRBD(class.Provisioner) || !slices.Contains(clusterIDs, class.Parameters["clusterID"]) {
			continue
		}
		if ref := storageclass.SecretRef(class, "nodeStage"); ref != nil {
			refs = append(refs, *ref)
		}
	}
	return refs, nil
}

// annotated returns the secrets of a namespace that have the annotation.
func (s CSI) annotated(ctx context.Context, namespace, annotation string) ([]corev1.SecretReference, error) {
	secrets, err := s.Lists.Secrets(ctx, namespace)
	if err != nil {
		return nil, fmt.Errorf("list the Secrets in namespace %s: %w", namespace, err)
	}
	var refs []corev1.SecretReference
	for i := range secrets {
		if secrets[i].Annotations[annotation] == "true" {
			refs = append(refs, corev1.SecretReference{Namespace: namespace, Name: secrets[i].Name})
		}
	}
	return refs, nil
}
