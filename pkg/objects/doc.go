// Package objects writes the objects in which people see this cluster's volumes and the
// clusters that share them: MigratableVolume and FerryCluster, see docs/objects.md.
//
// [Volumes] runs in the leader. Package keeper tells it what the record of each volume says,
// and package provisioner which claims wait; it writes what has changed. What an object shows
// is a pure function of that (volume.go). Ten thousand volumes must not cost ten thousand
// objects in memory, and nothing while nothing happens to them. So it remembers two numbers
// for each volume, and reads all objects page by page when it begins and from time to time
// (stored.go). When something happens to many volumes, it waits some seconds for that to end.
//
// [Waiting] writes who was refused a volume. Each replica knows those that it refused itself.
//
// [Clusters] writes what the clusters have registered about themselves, once a minute.
//
// No decision rests on what these objects show, and nobody waits for them to be written.
package objects
