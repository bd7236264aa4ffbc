//go:build linux

package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modules are what the guest loads, with what they depend on.
var modules = []string{"virtio_pci", "virtio_net", "rbd", "sch_netem"}

// programs are what the guest has besides busybox, with their libraries, and the
// packages that provide them.
var programs = map[string]string{"mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs", "tc": "iproute2"}

const initScript = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t debugfs none /sys/kernel/debug
for module in /modules/*; do insmod $module; done
stty -F /dev/ttyS1 raw -echo
exec /bin/krbd-guest /dev/ttyS1
`

// Image is what machines are made of.
type Image struct {
	kernel, initrd string
	// state is that of a machine that has booted.
	state string
}

// Build writes the initial RAM filesystem into dir, with the kernel that
// test/krbd/fetch-kernel has unpacked into kernelDir, and the program guest.
func Build(dir, kernelDir, guest string) (*Image, error) {
	kernels, err := filepath.Glob(filepath.Join(kernelDir, "boot", "vmlinuz-*"))
	if err != nil {
		return nil, err
	}
	if len(kernels) != 1 {
		return nil, fmt.Errorf("find kernel: %q has %d; `make test-krbd` fetches one", kernelDir, len(kernels))
	}
	var archive archive
	archive.add("init", 0o755, []byte(initScript))
	for _, name := range []string{"dev", "proc", "sys", "tmp", "mnt"} {
		archive.addDir(name)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("find busybox: %w; `apt-get install busybox-static` provides it", err)
	}
	files := map[string]string{"bin/busybox": busybox, "bin/krbd-guest": guest}
	for name, source := range programs {
		if err := addProgram(files, name, source); err != nil {
			return nil, err
		}
	}
	if err := addModules(files, filepath.Join(kernelDir, "lib", "modules")); err != nil {
		return nil, err
	}
	for name, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		archive.add(name, 0o755, data)
	}
	image := &Image{kernel: kernels[0], initrd: filepath.Join(dir, "initrd"), state: filepath.Join(dir, "state")}
	return image, os.WriteFile(image.initrd, archive.close(), 0o600)
}

// addProgram adds a program of this machine and the libraries that it needs.
func addProgram(files map[string]string, name, source string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("find %s: %w; `apt-get install %s` provides it", name, err, source)
	}
	files["bin/"+name] = path
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return fmt.Errorf("run ldd %s: %w", path, err)
	}
	for _, field := range strings.Fields(string(out)) {
		if filepath.IsAbs(field) {
			files[strings.TrimPrefix(field, "/")] = field
		}
	}
	return nil
}

// addModules adds the modules under names whose order is the one to load them in.
func addModules(files map[string]string, dir string) error {
	paths := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			paths[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	}); err != nil {
		return err
	}
	added, loaded := map[string]bool{}, 0
	var add func(name string) error
	add = func(name string) error {
		if added[name] {
			return nil
		}
		added[name] = true
		path, ok := paths[name]
		if !ok {
			return fmt.Errorf("find module %s: there is none in %s", name, dir)
		}
		needed, err := dependencies(path)
		if err != nil {
			return err
		}
		for _, other := range needed {
			if err := add(other); err != nil {
				return err
			}
		}
		loaded++
		files[fmt.Sprintf("modules/%02d-%s", loaded, filepath.Base(path))] = path
		return nil
	}
	for _, name := range modules {
		if err := add(name); err != nil {
			return err
		}
	}
	return nil
}

// dependencies are the modules that a module names in itself.
func dependencies(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	defer file.Close()
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read module %s: it has no section .modinfo", path)
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", path, err)
	}
	for entry := range bytes.SplitSeq(data, []byte{0}) {
		if list, ok := strings.CutPrefix(string(entry), "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}
