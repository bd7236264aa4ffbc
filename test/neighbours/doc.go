// Package neighbours runs programs of other projects that make or apply the claims of
// migratable volumes. There are two real clusters with nodes and one real Ceph; each cluster
// has the built webhook as the chart sets it up, and beside it the other program, built from
// its own module.
//
// The lab's nodes run no containers. So where such a program would start one, the test plays
// its part, and says so.
//
// The tests have the build tag neighbours: the programs are large, and building them takes
// longer than all other tests. `make test-neighbours` runs them.
package neighbours
