// Package usage finds out what this Kubernetes cluster does with an image: its nodes and
// their addresses; the VolumeAttachments, status.volumesInUse and pods of every
// PersistentVolume that leads there; and uses whose PersistentVolume is gone. Admission,
// the keeper of records, the plugin and the provisioner all ask here, so that they
// cannot come to different answers.
//
// What is read from a cache is enough to say that an image is used. Only the API server can
// say that nobody uses it, which a release needs: hence the [Source].
package usage
