// Package outage proves what the guard does while parts of its world are not there:
// Ceph does not answer, an API server does not, its own webhook has died, a key does
// not count any more. It is set up like package guard, in a lab of its own, because
// what it stops is stopped for everybody. So its tests come one after the other.
//
// The tests have the build tag lab, start their servers themselves and need root.
// Nothing is skipped.
package outage
