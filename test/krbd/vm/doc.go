// Package vm runs small virtual machines with Debian's kernel, for tests of what
// only the kernel client of RBD does. They are emulated (TCG), which needs no
// hardware support. One boots, and all others start from the state that it has then:
// what an emulated boot computes is computed once.
//
// A machine has no disk: everything it needs is in its initial RAM filesystem,
// made of this machine's busybox, e2fsprogs and tc, the kernel's modules, and the
// program krbd-guest, which does what the host asks for over a serial line: it runs
// scripts, and writes stamps. It is plugged into a lab's network with an address of its
// own, and can be frozen, killed and cut off.
package vm
