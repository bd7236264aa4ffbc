package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Takeover is a failover. It takes images from a dead cluster; or, with a node, it cuts off a lost
// node of this cluster from images that stay this cluster's. Without confirmation it shows in its
// status what would be cut off. With the hash of that plan in spec.confirm it is carried out, if the
// situation is still the one that the plan is for. The leader of the webhook does both.
//
// All fields of the spec except confirm are fixed at creation. It is begun within an hour of its
// creation, or never: the dead cluster may be back by then.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=tko,categories=cephferry
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.spec.from`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.spec.node`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.by`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Volumes",type=integer,JSONPath=`.status.volumeCount`
// +kubebuilder:printcolumn:name="Taken",type=integer,JSONPath=`.status.takenCount`
// +kubebuilder:printcolumn:name="Plan",type=string,JSONPath=`.status.plan.hash`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Takeover struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec TakeoverSpec `json:"spec"`
	// +optional
	Status TakeoverStatus `json:"status,omitempty"`
}

// TakeoverList is several of them.
//
// +kubebuilder:object:root=true
type TakeoverList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Takeover `json:"items"`
}

// TakeoverSpec is what a person asks for.
//
// +kubebuilder:validation:XValidation:rule="has(self.node) ? !(has(self.all) && self.all) : has(self.claims) != (has(self.all) && self.all)",message="either claims or all: true; with node, claims or none"
// +kubebuilder:validation:XValidation:rule="has(self.node) ? !has(self.onlyNodes) && !(has(self.resume) && self.resume) : !(has(self.althoughReporting) && self.althoughReporting)",message="onlyNodes and resume are for another cluster, and althoughReporting is for a node"
// +kubebuilder:validation:XValidation:rule="has(self.node) == has(oldSelf.node) && (!has(self.node) || self.node == oldSelf.node) && has(self.althoughReporting) == has(oldSelf.althoughReporting) && (!has(self.althoughReporting) || self.althoughReporting == oldSelf.althoughReporting)",message="only confirm may be changed; create another Takeover"
// +kubebuilder:validation:XValidation:rule="self.from == oldSelf.from && self.by == oldSelf.by && has(self.claims) == has(oldSelf.claims) && (!has(self.claims) || self.claims == oldSelf.claims) && has(self.all) == has(oldSelf.all) && (!has(self.all) || self.all == oldSelf.all)",message="only confirm may be changed; create another Takeover"
// +kubebuilder:validation:XValidation:rule="has(self.alsoFence) == has(oldSelf.alsoFence) && (!has(self.alsoFence) || self.alsoFence == oldSelf.alsoFence) && has(self.spare) == has(oldSelf.spare) && (!has(self.spare) || self.spare == oldSelf.spare) && has(self.onlyNodes) == has(oldSelf.onlyNodes) && (!has(self.onlyNodes) || self.onlyNodes == oldSelf.onlyNodes) && has(self.resume) == has(oldSelf.resume) && (!has(self.resume) || self.resume == oldSelf.resume)",message="only confirm may be changed; create another Takeover"
type TakeoverSpec struct {
	// From is the name of the cluster that is dead, as the records have it. With node, it is that of this
	// cluster, so that a webhook that does not know of nodes refuses it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	From string `json:"from"`
	// By is the person who decides this: the name that the API server knows the requester by. A
	// ValidatingAdmissionPolicy compares it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by"`
	// Node is a lost node of this cluster. It is cut off from the images of the claims or, without
	// claims, from all that it has. They stay this cluster's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`
	// AlthoughReporting: the node is lost although its kubelet reports.
	// +optional
	AlthoughReporting bool `json:"althoughReporting,omitempty"`
	// Claims are those of this cluster whose images are taken.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Claims []ClaimReference `json:"claims,omitempty"`
	// All: the images of all claims of this cluster that the dead cluster owns.
	// +optional
	All bool `json:"all,omitempty"`
	// AlsoFence are further addresses to fence.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	AlsoFence []string `json:"alsoFence,omitempty"`
	// Spare are addresses of machines that are not fenced although a record names them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Spare []string `json:"spare,omitempty"`
	// OnlyNodes are the nodes that are fenced where the records leave open which of the dead
	// cluster's have an image; none: all of its nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	OnlyNodes []string `json:"onlyNodes,omitempty"`
	// Resume: continue what another person began for this cluster.
	// +optional
	Resume bool `json:"resume,omitempty"`
	// Confirm is the hash of the plan, from status.plan.hash. If it is taken back, nothing further is
	// begun; what is in progress then is finished.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Confirm string `json:"confirm,omitempty"`
}

// ClaimReference names a PersistentVolumeClaim of this cluster.
type ClaimReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// TakeoverPhase is how far a Takeover is.
//
// +kubebuilder:validation:Enum=Planning;Planned;Refused;Running;Done;Failed
type TakeoverPhase string

// The phases.
const (
	// TakeoverPlanning: the plan is being made, or made again.
	TakeoverPlanning TakeoverPhase = "Planning"
	// TakeoverPlanned: the plan is there and waits for its confirmation.
	TakeoverPlanned TakeoverPhase = "Planned"
	// TakeoverRefused: it cannot be carried out, and nothing was changed. The message says why,
	// and what to do.
	TakeoverRefused TakeoverPhase = "Refused"
	// TakeoverRunning: it is being carried out. A new leader continues it.
	TakeoverRunning TakeoverPhase = "Running"
	// TakeoverDone: every image is this cluster's; or there is nothing left to cut the node off from, and the
	// message says whether it is cut off.
	TakeoverDone TakeoverPhase = "Done"
	// TakeoverFailed: it was begun, and some images are not this cluster's, or the node is not known to be
	// cut off from them. It is tried again, unless the message asks for another confirmation.
	TakeoverFailed TakeoverPhase = "Failed"
)

// TakeoverStatus is the plan, and how far it is carried out.
type TakeoverStatus struct {
	// +optional
	Phase TakeoverPhase `json:"phase,omitempty"`
	// Message is for people: why it was refused, or what it waits for.
	// +optional
	Message string `json:"message,omitempty"`
	// Plan is what a person confirms.
	// +optional
	Plan *TakeoverPlan `json:"plan,omitempty"`
	// Confirmed is the hash of the plan that is, or was, carried out.
	// +optional
	Confirmed string `json:"confirmed,omitempty"`
	// Rejected is a confirmation that came after the situation had changed. It does not count later
	// either, unless spec.confirm is emptied first.
	// +optional
	Rejected string `json:"rejected,omitempty"`
	// Volumes are the images, by claim.
	// +optional
	// +listType=atomic
	Volumes []TakeoverVolume `json:"volumes,omitempty"`
	// VolumeCount is how many there are, and TakenCount how many are this cluster's, or known to be safe from
	// the node. A patch does not send a zero.
	// +optional
	// +kubebuilder:default=0
	VolumeCount int32 `json:"volumeCount"`
	// +optional
	// +kubebuilder:default=0
	TakenCount int32 `json:"takenCount"`
	// Conditions are the steps: Begun, MachinesFenced, InstancesFenced, InForce, Renamed,
	// NobodyLeft, TakenOver, NodeFenced. They are of the plan that was confirmed last. Each is True
	// when the step is done for every image. A Takeover with a node has no Begun, Renamed, NobodyLeft
	// and TakenOver; one without a node has no NodeFenced.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TakeoverPlan is what a failover would do.
type TakeoverPlan struct {
	// Hash stands for all of the plan. Another situation makes another hash.
	Hash string `json:"hash"`
	// Text is the plan as "kubectl cephferry failover" shows it. A very long one is cut.
	Text string `json:"text"`
	// After is what a person does when it is carried out.
	// +optional
	After string `json:"after,omitempty"`
	// Digest is that of the whole plan, including what is cut here.
	Digest string `json:"digest"`
	// Exact: only the clients of these volumes are cut off, and not their machines.
	// +optional
	Exact bool `json:"exact,omitempty"`
	// Machines and Instances are what would be put on Ceph's blocklist.
	// +optional
	// +listType=atomic
	Machines []string `json:"machines,omitempty"`
	// +optional
	// +listType=atomic
	Instances []string `json:"instances,omitempty"`
	// Boots are those of the node that are cut off, by their bootIDs.
	// +optional
	// +listType=atomic
	Boots []string `json:"boots,omitempty"`
	// AlsoCutOff are images that the fence cuts off besides, the first thousand.
	// +optional
	// +listType=atomic
	AlsoCutOff []string `json:"alsoCutOff,omitempty"`
}

// TakeoverVolume is an image of a Takeover.
type TakeoverVolume struct {
	Namespace string `json:"namespace"`
	Claim     string `json:"claim"`
	// +optional
	Image string `json:"image,omitempty"`
	// Record is a digest of the image's record that was decided about.
	// +optional
	Record string `json:"record,omitempty"`
	// Step is the last one that was done.
	// +optional
	Step string `json:"step,omitempty"`
	// Message is why it cannot be taken, or why there is nothing to do.
	// +optional
	Message string `json:"message,omitempty"`
}
