// Package krbd tests what the kernel client of RBD does with images of ours:
// that the map option exclusive excludes, that who takes over from a dead machine
// fences it first, and that a fence has to be a long one. Machines are virtual
// (package vm), their kernel is Debian's, Ceph is the lab's.
package krbd
