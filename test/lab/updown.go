//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// What [Up] puts into its folder: the servers' own folders, and the files for
// people and scripts.
const (
	lockFile   = "lock"
	ignoreFile = ".gitignore"
	// envFile is written last: it says that the lab is complete.
	envFile = "env"

	networkPart = "network"
)

var (
	parts = []string{networkPart, "ceph", East, West}
	// links are the files for people, by the file that each one stands for.
	links = map[string]string{
		"ceph.conf":       "ceph/ceph.conf",
		"east.kubeconfig": "east/east.kubeconfig",
		"west.kubeconfig": "west/west.kubeconfig",
	}
)

// Up starts a lab in options.Dir that keeps running when this process ends, with
// the files
//
//	east.kubeconfig, west.kubeconfig   cluster administrators
//	ceph.conf                          for `ceph -c` and `rbd -c`, as client.admin
//	env                                to be sourced: PATH with the built tools,
//	                                   CEPH_CONF, KUBECONFIG with both contexts
//
// If the lab is up already, Up says so and changes nothing.
func Up(ctx context.Context, options Options, out io.Writer) error {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()

	processes, complete, err := state(dir)
	if err != nil {
		return err
	}
	for _, p := range processes {
		if p.Alive() && !complete {
			return fmt.Errorf("start lab: %s still runs (process %d) from a lab that is not complete; end it with `make lab-down` first", p.Name, p.PID)
		}
	}
	if complete {
		fmt.Fprintf(out, "the lab in %s is up already\n", options.Dir)
		return nil
	}
	if err := removeFiles(dir); err != nil {
		return err
	}

	// Whatever the folder is called, its files must not end up in a commit.
	if err := os.WriteFile(filepath.Join(dir, ignoreFile), []byte("*\n"), 0o644); err != nil {
		return err
	}

	begin := time.Now()
	lab, err := Start(ctx, Options{Dir: dir, Tools: options.Tools, Nodes: options.Nodes, Detached: true})
	if err != nil {
		return err
	}
	if err := writeLinks(dir, options.Tools); err != nil {
		return errors.Join(err, lab.Stop())
	}
	fmt.Fprintf(out, "the lab in %s is up after %.1f s: Ceph and the clusters %s and %s\n", options.Dir, time.Since(begin).Seconds(), East, West)
	fmt.Fprintf(out, "  . %s\n  kubectl --context %s get storageclass\n  rbd ls %s\n", filepath.Join(options.Dir, envFile), East, Pool)
	return nil
}

// Down ends exactly the processes that an Up in dir started, complete or not, and
// removes its files. Without such a lab it says so and does nothing.
func Down(dir string, out io.Writer) error {
	if _, err := os.Stat(filepath.Join(dir, lockFile)); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(out, "no lab in %s\n", dir)
		return nil
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()

	processes, _, err := state(dir)
	if err != nil {
		return err
	}
	running := 0
	for _, p := range processes {
		if p.Alive() {
			running++
		}
	}
	if err := stopAll(processes); err != nil {
		return err
	}
	if err := awaitNoLink(filepath.Join(dir, networkPart)); err != nil {
		return err
	}
	if err := removeFiles(dir); err != nil {
		return err
	}
	for _, name := range []string{ignoreFile, lockFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Not ours to remove if somebody keeps files of their own there.
	_ = os.Remove(dir)
	fmt.Fprintf(out, "stopped %d servers of the lab in %s\n", running, dir)
	return nil
}

// Status writes a table of the servers of the lab in dir. It returns an error if
// the lab is not complete or one of them does not run.
func Status(dir string, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, part := range parts {
		processes, err := recorded(filepath.Join(dir, part))
		if err != nil {
			return err
		}
		for _, p := range processes {
			running := "gone"
			if p.Alive() {
				running = "running"
			}
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", part, p.Name, p.PID, running)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, complete, err := state(dir)
	if err == nil && !complete {
		err = fmt.Errorf("the lab in %s is not up", dir)
	}
	return err
}

// state returns the recorded processes of all parts, and whether they are those
// of a complete lab and all run.
func state(dir string) (processes []*Process, complete bool, err error) {
	_, err = os.Stat(filepath.Join(dir, envFile))
	complete = err == nil
	for _, part := range parts {
		found, err := recorded(filepath.Join(dir, part))
		if err != nil {
			return nil, false, err
		}
		for _, p := range found {
			complete = complete && p.Alive()
		}
		processes = append(processes, found...)
	}
	return processes, complete && len(processes) > 0, nil
}

func writeLinks(dir string, tools Tools) error {
	for link, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			return err
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	env := fmt.Sprintf("export PATH=%s:\"$PATH\"\nexport CEPH_CONF=%s\nexport KUBECONFIG=%s\n",
		quote(string(tools)), quote(in("ceph.conf")), quote(in("east.kubeconfig")+":"+in("west.kubeconfig")))
	return os.WriteFile(in(envFile), []byte(env), 0o644)
}

// removeFiles removes what Up made, except the lock.
func removeFiles(dir string) error {
	var failures []error
	failures = append(failures, os.RemoveAll(filepath.Join(dir, envFile)))
	for link := range links {
		failures = append(failures, os.RemoveAll(filepath.Join(dir, link)))
	}
	for _, part := range parts {
		failures = append(failures, os.RemoveAll(filepath.Join(dir, part)))
	}
	return errors.Join(failures...)
}

// lock keeps a second Up or Down out of dir; it also ends with the process.
func lock(dir string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: another lab command is at work there: %w", dir, err)
	}
	// A Down that held the lock until now has removed the file.
	now, err := os.Stat(file.Name())
	if held, statErr := file.Stat(); err != nil || statErr != nil || !os.SameFile(now, held) {
		file.Close()
		return nil, fmt.Errorf("lock %s: the lab was just removed; try again", dir)
	}
	return func() { file.Close() }, nil
}

// quote quotes text for the shell.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
