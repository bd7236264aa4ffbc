package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is what an unprivileged process may ask for by default (pipe(7)).
const pipeSize = 1 << 20

// widen lets pipes hold 1 MiB instead of 64 KiB, so that Helm and this program, each of
// which fills what the other empties, take turns less often. What is no pipe, or may not
// grow, stays as it is.
func widen(files ...*os.File) {
	for _, file := range files {
		if raw, err := file.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
		}
	}
}
