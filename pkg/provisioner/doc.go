// Package provisioner makes the volumes of migratable claims from inside the
// cluster, as an external provisioner does for other claims, and looks after their
// PersistentVolumes when the claims are gone. It runs on one replica of the webhook,
// the leader.
//
// A claim is ours when it names a class of ours, or when its class is "" and it is
// annotated cephferry.io/migratable: "true". [Claims] then
//
//   - finds class, image and size, and refuses what package claims and the class
//     refuse, and images that the namespace may not use (tenancy.go), all before it asks
//     Ceph anything;
//   - makes or grows the image with package provision;
//   - creates the PersistentVolume of package staticpv, with the claim's uid in its
//     claimRef, so that the binder binds at once. The guard reviews it like any other;
//   - reports the result on the claim: events, and a condition that
//     `helm --wait` reads.
//
// The volume of a bound claim grows by its annotation (grow.go) or by its record (wish.go). A
// claim with a class of ours grows by its request too (raise.go); ceph-csi's external-resizer
// is kept away from it (resizer.go). Admission asks [Claims.MayRise] about requests that rise.
//
// [Volumes] removes the PersistentVolumes that Claims created when their claim is
// gone, and frees those of the renderer for the next claim. Neither ever removes an
// image.
//
// Every step can be repeated: the next leader continues what one that died left half done.
package provisioner
