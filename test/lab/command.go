//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// commandLimit bounds every command: Ceph's own wait for ever for a cluster
	// that doesn't answer.
	commandLimit = 30 * time.Second
	settleLimit  = time.Minute
)

// FewMessages is for the environment of commands, because kubectl packs and unpacks all messages
// of its language at each start, which for English takes a third of that. It has a handful in
// this one, all of them about kubeconfigs and annotations, and shows the others in English.
const FewMessages = "LC_MESSAGES=zh_TW.UTF-8"

// Run runs `ceph <args>` as client.admin and returns its stdout.
func (c *Ceph) Run(ctx context.Context, args ...string) ([]byte, error) {
	return run(ctx, "", c.programs.ceph, append([]string{"-c", c.ConfFile}, args...)...)
}

// RBD runs `rbd <args>` as client.admin (or as `--id` says) and returns its
// stdout.
func (c *Ceph) RBD(ctx context.Context, args ...string) ([]byte, error) {
	return run(ctx, "", c.programs.rbd, append([]string{"-c", c.ConfFile}, args...)...)
}

// Watches are how long Ceph keeps the watch of a client that is silent, by default.
const Watches = 30 * time.Second

// KeepWatches changes that for watches that begin from now on. It is for tests that wait for a watch
// to end, whenever that is. Clients say every 5 s that they live, so much less than 15 s ends the
// watches of those that live too, on a machine that is busy.
func (c *Ceph) KeepWatches(ctx context.Context, limit time.Duration) error {
	_, err := c.Run(ctx, "tell", "osd.0", "config", "set", "osd_client_watch_timeout", fmt.Sprint(int(limit.Seconds())))
	return err
}

// SetPoolQuota limits the pool to that many bytes; zero takes the limit away.
// See [Ceph.WaitPoolFull] for when the pool notices.
func (c *Ceph) SetPoolQuota(ctx context.Context, pool string, bytes uint64) error {
	_, err := c.Run(ctx, "osd", "pool", "set-quota", pool, "max_bytes", strconv.FormatUint(bytes, 10))
	return err
}

// WaitPoolFull waits until the pool is marked full (or not full) because of its
// quota, which the monitor does when the manager's next statistics arrive.
func (c *Ceph) WaitPoolFull(ctx context.Context, pool string, full bool) error {
	return settle(ctx, fmt.Sprintf("wait for pool %q to be full: %t", pool, full), func(ctx context.Context) error {
		data, err := c.Run(ctx, "osd", "pool", "ls", "detail", "-f", "json")
		if err != nil {
			return err
		}
		var pools []struct {
			Name  string `json:"pool_name"`
			Flags string `json:"flags_names"`
		}
		if err := json.Unmarshal(data, &pools); err != nil {
			return err
		}
		for _, p := range pools {
			if p.Name == pool && slices.Contains(strings.Split(p.Flags, ","), "full_quota") == full {
				return nil
			}
		}
		return fmt.Errorf("it is not: %+v", pools)
	})
}

// WaitManager waits until the manager serves.
func (c *Ceph) WaitManager(ctx context.Context) error {
	return settle(ctx, "wait for the manager", func(ctx context.Context) error {
		data, err := c.Run(ctx, "mgr", "stat", "-f", "json")
		if err != nil {
			return err
		}
		var stat struct{ Available bool }
		if err := json.Unmarshal(data, &stat); err != nil {
			return err
		}
		if !stat.Available {
			return fmt.Errorf("not available: %s", data)
		}
		return nil
	})
}

// WaitFilesystem waits until subvolumes can be made in [Filesystem].
func (c *Ceph) WaitFilesystem(ctx context.Context) error {
	return settle(ctx, "wait for the file system", func(ctx context.Context) error {
		// The manager needs the metadata server for this.
		_, err := c.Run(ctx, "fs", "subvolumegroup", "ls", Filesystem)
		return err
	})
}

// runLines gives commands to one ceph process. It exits with 0 whatever its
// commands do, but says on stderr what failed.
func (c *Ceph) runLines(ctx context.Context, lines ...string) error {
	_, stderr, err := execute(ctx, strings.Join(lines, "\n")+"\n", c.programs.ceph, "-c", c.ConfFile)
	if err == nil && strings.Contains(stderr, "Error E") {
		err = errors.New(stderr)
	}
	if err != nil {
		return fmt.Errorf("run ceph commands %q: %w", lines, err)
	}
	return nil
}

// settle polls a condition that takes a command to look at. The command works more than what
// it waits for, so it leaves as much time as it takes.
func settle(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for {
		begin := time.Now()
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(max(time.Since(begin), pollInterval)):
		}
	}
}

// run runs a command and returns its stdout.
func run(ctx context.Context, stdin, program string, args ...string) (stdout []byte, err error) {
	stdout, _, err = execute(ctx, stdin, program, args...)
	if err != nil {
		return nil, fmt.Errorf("run %s %s: %w", filepath.Base(program), strings.Join(args, " "), err)
	}
	return stdout, nil
}

// execute runs a command for at most commandLimit. The error has its stderr.
func execute(ctx context.Context, stdin, program string, args ...string) (stdout []byte, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second // a grandchild that keeps the pipes open must not keep us
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), FewMessages)
	var written bytes.Buffer
	cmd.Stderr = &written

	// A command that waits for Ceph must not outlive us either (see start).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err = cmd.Output()
	stderr = strings.TrimSpace(written.String())
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, stderr, fmt.Errorf("%w: %s", err, stderr)
	}
	return stdout, stderr, nil
}
