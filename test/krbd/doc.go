// Package krbd tests what the kernel client of RBD does with images of ours:
// that the map option exclusive excludes, that who takes over from a dead machine
// fences it first, and that a fence has to be a long one; that nobody maps an image
// by a name that it no longer has, but for a map on its way; and that a fence hits
// one volume where each mapping is a client of its own. Machines are virtual
// (package vm), their kernel is Debian's, Ceph is the lab's.
package krbd
