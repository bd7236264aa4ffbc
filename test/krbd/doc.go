// Package krbd tests what the kernel client of RBD does with our images:
//
//   - the map option exclusive excludes;
//   - a client that takes over from a dead machine fences that machine first;
//   - a fence has to be a long one;
//   - nobody maps an image by a name that it no longer has, except a map already in progress;
//   - a fence hits one volume where each mapping is a client of its own.
//
// Machines are virtual (package vm), their kernel is Debian's, Ceph is the lab's.
package krbd
