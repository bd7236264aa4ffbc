package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FerryCluster shows a cluster that has guarded volumes in the same pools as this one, as it has
// registered itself there. It is named by its key; a cluster that has none yet by its name and the
// first 8 characters of its uid.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=fcl,categories=cephferry
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.status.name`
// +kubebuilder:printcolumn:name="This",type=boolean,JSONPath=`.status.thisCluster`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodeCount`
// +kubebuilder:printcolumn:name="Owns",type=integer,JSONPath=`.status.volumesOwned`
// +kubebuilder:printcolumn:name="Last-Seen",type=date,JSONPath=`.status.lastSeen`
type FerryCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status FerryClusterStatus `json:"status,omitempty"`
}

// FerryClusterList is several of them.
//
// +kubebuilder:object:root=true
type FerryClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FerryCluster `json:"items"`
}

// The conditions of a FerryCluster.
const (
	// ConditionReadable is False while the registration has a format that this version does not
	// know. Nothing is known of the cluster's nodes then.
	ConditionReadable = "Readable"
	// ConditionSeen is True while the cluster writes its registration, which a live cluster does once
	// a minute. No decision rests on it, because no two machines' clocks agree.
	ConditionSeen = "Seen"
)

// FerryClusterStatus is a registration.
type FerryClusterStatus struct {
	// Name is for people.
	// +optional
	Name string `json:"name,omitempty"`
	// UID is that of the cluster's namespace kube-system.
	// +optional
	UID string `json:"uid,omitempty"`
	// ThisCluster: it is the cluster that shows this.
	// +optional
	ThisCluster bool `json:"thisCluster,omitempty"`
	// Version is that of its webhook.
	// +optional
	Version string `json:"version,omitempty"`
	// LastSeen is when it last wrote its registration, by its own clock, to the minute.
	// +optional
	LastSeen *metav1.Time `json:"lastSeen,omitempty"`
	// Nodes are its nodes, by name. A node with several registered boots counts once.
	// +optional
	// +listType=atomic
	Nodes     []string `json:"nodes,omitempty"`
	NodeCount int32    `json:"nodeCount"`
	// VolumesOwned is how many images in the pools of this cluster's volumes it owns.
	VolumesOwned int32 `json:"volumesOwned"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
