// Package v1alpha1 has the objects in which a Kubernetes cluster shows what Ceph says about its
// volumes, and in which a person asks for a failover. What they show comes from the records
// beside the images. No decision rests on what they show.
//
// +kubebuilder:object:generate=true
// +groupName=cephferry.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group, and the version of all objects here.
var GroupVersion = schema.GroupVersion{Group: "cephferry.io", Version: "v1alpha1"}

// AddToScheme makes the scheme know the objects.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&MigratableVolume{}, &MigratableVolumeList{},
		&FerryCluster{}, &FerryClusterList{},
		&Takeover{}, &TakeoverList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
