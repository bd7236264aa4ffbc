package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MigratableVolume shows who may use the image of a claim. It has the name and the namespace of
// the claim, and goes with it. The leader of the webhook writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=mvol,categories=cephferry
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.status.owner.name`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.owner.nodes[*]`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.owner.since`
// +kubebuilder:printcolumn:name="Waiting",type=string,JSONPath=`.status.waiting`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.status.image`,priority=1
// +kubebuilder:printcolumn:name="Volume",type=string,JSONPath=`.status.persistentVolume`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,priority=1
type MigratableVolume struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status MigratableVolumeStatus `json:"status,omitempty"`
}

// MigratableVolumeList is several of them.
//
// +kubebuilder:object:root=true
type MigratableVolumeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MigratableVolume `json:"items"`
}

// VolumeState is what the record of an image says, as seen by this cluster.
//
// +kubebuilder:validation:Enum=Free;Held;Fencing;Unknown
type VolumeState string

// The states.
const (
	// VolumeFree: nobody owns the image. The first pod that is admitted, in whichever cluster,
	// acquires it.
	VolumeFree VolumeState = "Free"
	// VolumeHeld: one cluster owns the image.
	VolumeHeld VolumeState = "Held"
	// VolumeFencing: a person is taking the image from its owner.
	VolumeFencing VolumeState = "Fencing"
	// VolumeUnknown: the record could not be read. Condition Known says why.
	VolumeUnknown VolumeState = "Unknown"
)

// The conditions of a MigratableVolume.
const (
	// ConditionUsable is True while pods of this cluster may use the image: it is free or this
	// cluster's.
	ConditionUsable = "Usable"
	// ConditionKnown is False while the record cannot be read. The rest of the status is then
	// what was known before.
	ConditionKnown = "Known"
	// ConditionWaiting is True while something of this cluster waits for the image, or for its
	// node to let go of it. The message says for what, since when, and the way out.
	ConditionWaiting = "Waiting"
	// ConditionOwnedElsewhere is True while pods of this cluster are bound to a node although
	// another cluster owns the image.
	ConditionOwnedElsewhere = "OwnedElsewhere"
)

// MigratableVolumeStatus is what the record of the image says, and who waits for it here.
type MigratableVolumeStatus struct {
	// PersistentVolume is the volume that the claim is bound to.
	// +optional
	PersistentVolume string `json:"persistentVolume,omitempty"`
	// Image is pool/name or pool/namespace/name, as this cluster names it. A subvolume of CephFS
	// has no image, and nobody owns it.
	// +optional
	Image string `json:"image,omitempty"`
	// +optional
	State VolumeState `json:"state,omitempty"`
	// Owner is the cluster that may use the image.
	// +optional
	Owner *VolumeOwner `json:"owner,omitempty"`
	// Takeover is there while the state is Fencing.
	// +optional
	Takeover *VolumeTakeover `json:"takeover,omitempty"`
	// Waiting is who waits for the image here, or what it waits for, in a few words.
	// +optional
	Waiting string `json:"waiting,omitempty"`
	// Missing is what has to happen before the image is free, and has not for half a minute: here,
	// if this cluster owns the image, otherwise in the owner's cluster while somebody waits here.
	// +optional
	// +listType=atomic
	Missing []VolumeMissing `json:"missing,omitempty"`
	// Fenced are machines that are cut off from Ceph because the image was taken from them.
	// "kubectl cephferry unfence" lets them in again.
	// +optional
	// +listType=atomic
	Fenced []FencedMachine `json:"fenced,omitempty"`
	// Keyed: the image carries its owner's name, and Ceph shows it to no other cluster.
	// +optional
	Keyed bool `json:"keyed,omitempty"`
	// History are the last changes of the record, the latest last.
	// +optional
	// +listType=atomic
	History []VolumeChange `json:"history,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VolumeOwner is the cluster that may use an image.
type VolumeOwner struct {
	// Name is for people.
	Name string `json:"name"`
	// UID is that of the cluster's namespace kube-system.
	UID string `json:"uid"`
	// ThisCluster: it is the cluster that shows this.
	// +optional
	ThisCluster bool `json:"thisCluster,omitempty"`
	// Namespace and Claim name the claim in that cluster.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// +optional
	Claim string `json:"claim,omitempty"`
	// Nodes are the nodes that have or may have the image mapped.
	// +optional
	// +listType=atomic
	Nodes []string `json:"nodes,omitempty"`
	// Since is when the cluster acquired the image.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// VolumeMissing is something that keeps an image from being released.
type VolumeMissing struct {
	// Kind is a word for it.
	Kind string `json:"kind"`
	// Subject is what it is about, as Kind/name.
	Subject string `json:"subject"`
	What    string `json:"what"`
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// WayOut is what to do.
	WayOut string `json:"wayOut"`
}

// VolumeTakeover is a failover that has begun.
type VolumeTakeover struct {
	// Cluster takes the image.
	Cluster string `json:"cluster"`
	// By is the person who decided it.
	By    string      `json:"by"`
	Since metav1.Time `json:"since"`
}

// FencedMachine is a machine that the image was taken from.
type FencedMachine struct {
	Cluster string `json:"cluster"`
	// Node is empty where a person named an address.
	// +optional
	Node string `json:"node,omitempty"`
	// +optional
	// +listType=atomic
	Addresses []string `json:"addresses,omitempty"`
}

// VolumeChange is a change of an image's record.
type VolumeChange struct {
	At metav1.Time `json:"at"`
	// Event is acquired, released, fence-begun, fence-dropped, taken-over or node-fenced.
	Event string `json:"event"`
	// Cluster did it.
	Cluster string `json:"cluster"`
	// By is the person who did it, if it was one.
	// +optional
	By string `json:"by,omitempty"`
	// From is the cluster that the image was taken from.
	// +optional
	From string `json:"from,omitempty"`
}
