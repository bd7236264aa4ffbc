// Package outage proves what the guard does while parts of its world are missing:
// Ceph does not answer, an API server does not, its own webhook has died, a key is
// no longer valid. It is set up like package guard, in a lab of its own, because
// what it stops is stopped for everybody. So its tests run one after the other.
//
// The tests have the build tag lab, start their servers themselves and need root.
// Nothing is skipped.
package outage
