// Package vm runs small virtual machines with Debian's kernel, for tests of what
// only the kernel client of RBD does. They are emulated (TCG), which needs no
// hardware support, and are up after a few seconds.
//
// A machine has no disk: everything it needs is in its initial RAM filesystem,
// made of this machine's busybox, e2fsprogs and tc, the kernel's modules, and the
// program krbd-guest, which runs the scripts that the host sends over a serial
// line. It is plugged into a lab's network with an address of its own, and can be
// frozen, killed and cut off.
package vm
