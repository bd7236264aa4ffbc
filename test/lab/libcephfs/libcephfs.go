//go:build cgo && (pacific || quincy || reef || squid || tentacle)

// Package libcephfs mounts CephFS for the lab's node agent, inside its process and
// so in its network namespace. Product code never mounts a file system.
//
// Like the kernel client, it waits for ever when Ceph does not answer.
package libcephfs

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ceph/go-ceph/cephfs"

	"github.com/cephferry/cephferry/test/lab/agent"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// folder is a mount.
type folder struct {
	mount *cephfs.MountInfo

	mu    sync.Mutex
	files map[string]*cephfs.File // those that are written to
}

// Mount mounts the folder root of a file system, as ceph-csi does with a volume's
// rootPath.
func Mount(settings agent.CephSettings, filesystem, root string) (agent.Folder, error) {
	mount, err := cephfs.CreateMountWithId(settings.User)
	if err != nil {
		return nil, err
	}
	f := &folder{mount: mount, files: map[string]*cephfs.File{}}
	if err := f.open(settings, filesystem, root); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s of %s as %s: %w", root, filesystem, settings.User, err), mount.Release())
	}
	return f, nil
}

func (f *folder) open(settings agent.CephSettings, filesystem, root string) error {
	if err := f.mount.ReadConfigFile("/dev/null"); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"mon_host":     settings.MonHost,
		"key":          settings.Key,
		"client_fs":    filesystem,
		"log_file":     "/dev/null",
		"admin_socket": "",
	} {
		if err := f.mount.SetConfigOption(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return f.mount.MountWithRoot(root)
}

// Append also waits until the data is in Ceph.
func (f *folder) Append(name string, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, ok := f.files[name]
	if !ok {
		var err error
		if file, err = f.mount.Open(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			return fmt.Errorf("open %s: %w", name, err)
		}
		f.files[name] = file
	}
	if n, err := file.Write(data); err != nil {
		return err
	} else if n != len(data) {
		return fmt.Errorf("%d of %d bytes were written", n, len(data))
	}
	return file.Sync()
}

// Ends reads the end of every file.
func (f *folder) Ends() (_ map[string][]byte, err error) {
	dir, err := f.mount.OpenDir("/")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	ends := map[string][]byte{}
	for {
		entry, err := dir.ReadDir()
		if err != nil || entry == nil {
			return ends, err
		}
		if entry.DType() != cephfs.DTypeReg {
			continue
		}
		if ends[entry.Name()], err = f.end(entry.Name()); err != nil {
			return nil, fmt.Errorf("read %s: %w", entry.Name(), err)
		}
	}
}

func (f *folder) end(name string) (_ []byte, err error) {
	file, err := f.mount.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	stat, err := file.Fstatx(cephfs.StatxSize, 0)
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(stat.Size, stamp.End))
	n, err := file.ReadAt(data, int64(stat.Size)-int64(len(data)))
	return data[:n], err
}

// Close unmounts.
func (f *folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, file := range f.files {
		errs = append(errs, file.Close())
	}
	return errors.Join(append(errs, f.mount.Unmount(), f.mount.Release())...)
}
