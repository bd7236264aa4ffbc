// Package neighbours runs programs of others that make or apply the claims of migratable
// volumes: two real clusters with nodes, one real Ceph, in each cluster the built webhook as
// the chart sets it up, and beside it the other program, built from its own module.
//
// What such a program would start in containers is played by the tests, because nodes of the
// lab run none; each test says what it plays.
//
// The tests have the build tag neighbours: the programs are large, and building them takes
// longer than all other tests. `make test-neighbours` runs them.
package neighbours
