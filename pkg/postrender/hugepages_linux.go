package postrender

import (
	"syscall"
	"unsafe"
)

const hugePage = 2 << 20

// newBuffer returns an empty buffer of that capacity on pages of 2 MiB: touching 5 MiB for
// the first time is 3 page faults then, and not 1,280, which took longer than all that is
// done with the bytes. A kernel that has no such pages gives others.
func newBuffer(capacity int) []byte {
	memory := make([]byte, capacity+hugePage)
	past := uintptr(unsafe.Pointer(unsafe.SliceData(memory))) % hugePage
	aligned := memory[(hugePage-past)%hugePage:][:capacity]
	_ = syscall.Madvise(aligned, syscall.MADV_HUGEPAGE)
	return aligned[:0]
}
