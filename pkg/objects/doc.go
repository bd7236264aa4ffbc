// Package objects writes the objects in which people see this cluster's volumes and the
// clusters that share them: MigratableVolume and FerryCluster, see docs/objects.md.
//
// [Volumes] hears from package keeper what the record of each volume says, and from package
// provisioner which claims wait, and writes what has changed, in the leader. What an object
// shows is a pure function of that (volume.go). It remembers two numbers for each volume, and
// reads all objects page by page when it begins and from time to time (stored.go), because
// ten thousand volumes must not cost ten thousand objects in memory, and nothing while nothing
// happens to them. Where something happens to many, it waits until that is over, for some
// seconds.
//
// [Waiting] writes who was refused a volume. Each replica knows those that it refused itself.
//
// [Clusters] writes what the clusters have registered of themselves, once a minute.
//
// Nothing is ever decided by what these objects show, and nobody waits for it.
package objects
