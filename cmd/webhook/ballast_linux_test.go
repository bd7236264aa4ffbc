package main

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestBallast: it takes no memory, not even where Go has pages that were in use.
func TestBallast(t *testing.T) {
	used := make([]byte, 2*ballast)
	for i := range used {
		used[i] = 1
	}
	runtime.KeepAlive(used)
	runtime.GC()
	weight := newBallast(ballast)
	if pages := resident(t, weight); pages > 0 {
		t.Errorf("%d of %d pages are in memory", pages, ballast/os.Getpagesize())
	}
}

// resident is how many pages of it are in memory, see mincore(2).
func resident(t *testing.T, memory []byte) int {
	t.Helper()
	pages := make([]byte, len(memory)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&memory[0])), uintptr(len(memory)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	return len(slices.DeleteFunc(pages, func(page byte) bool { return page&1 == 0 }))
}
