// Package agent stands in for kubelet and for ceph-csi's node plugin on a node of
// the lab, and for ceph-csi's external-attachers in a cluster.
//
// For a pod, it does what they do, in this order:
//
//   - wait until the claim is bound and its volume attached: kube-controller-manager
//     makes the VolumeAttachment, [Attach] confirms it;
//   - say in the node's status that the volume is in use;
//   - for a CephFS volume, mount its rootPath, whoever else has it mounted;
//   - for an RBD volume, look for other watchers of the image, each time by opening it
//     read-write, and wait while there are some, with ceph-csi's intervals (`rbd image … is
//     still being used`). Once begun, that continues whatever becomes of the pod;
//   - open the image, read-write unless the volume is ReadOnlyMany. All images of
//     a node share one client, as in the kernel, except an image with the map option
//     noshare, which gets a client of its own;
//   - report the pod Running and Ready, and write stamps (package stamp). In a
//     CephFS volume each pod writes a file of its own, and then reads everybody's;
//   - grow the filesystem of a volume whose capacity is more than the claim says, when the pod
//     mounts it and while it runs, by kubelet's rules (expand.go), a second after the capacity was
//     raised instead of a minute;
//   - when the pod is deleted or has ended: stop the writing, remove the pod,
//     close the image or unmount, take the volume out of the node's status. Then
//     kube-controller-manager detaches.
//
// A container whose command is `sleep N` ends after N seconds, unless it has to
// run always. Every other container runs until its pod is deleted. Volumes that
// are neither RBD nor CephFS are there at once and empty.
package agent
