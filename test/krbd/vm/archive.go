package vm

import (
	"bytes"
	"fmt"
	"path"
)

// archive is a cpio archive in the format "newc", which the kernel unpacks into
// its first filesystem. See Documentation/driver-api/early-userspace/buffer-format.rst
// of the kernel.
type archive struct {
	data  bytes.Buffer
	dirs  map[string]bool
	inode int
}

const (
	regular   = 0o100000
	directory = 0o040000
)

// add adds a file, and the folders that it is in.
func (a *archive) add(name string, mode int, data []byte) {
	if dir := path.Dir(name); dir != "." {
		a.addDir(dir)
	}
	a.entry(name, regular|mode, data)
}

func (a *archive) addDir(name string) {
	if a.dirs[name] {
		return
	}
	if dir := path.Dir(name); dir != "." {
		a.addDir(dir)
	}
	if a.dirs == nil {
		a.dirs = map[string]bool{}
	}
	a.dirs[name] = true
	a.entry(name, directory|0o755, nil)
}

func (a *archive) entry(name string, mode int, data []byte) {
	a.inode++
	const uid, gid, links, mtime, device, checksum = 0, 0, 1, 0, 0, 0
	fmt.Fprintf(&a.data, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, uid, gid, links, mtime, len(data), device, device, device, device, len(name)+1, checksum, name)
	a.pad()
	a.data.Write(data)
	a.pad()
}

// pad fills up to a multiple of four bytes.
func (a *archive) pad() {
	for a.data.Len()%4 != 0 {
		a.data.WriteByte(0)
	}
}

// close ends the archive and returns it.
func (a *archive) close() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.data.Bytes()
}
