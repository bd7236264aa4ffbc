//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/cephferry/cephferry/test/lab/stamp"
)

// ReadStamps reads what pods on nodes wrote into an image: pool/name, or
// pool/namespace/name. It opens the image read-only, so that it is no watcher.
func (c *Ceph) ReadStamps(ctx context.Context, image string) (stamp.Log, error) {
	return readStamps(ctx, c.programs.rbd, c.ConfFile, image)
}

// Sees returns everybody's newest stamp in a CephFS volume, as pods on the node
// last read them through the node's own mount. Without such a mount it is none.
func (n *Node) Sees(volumeHandle string) ([]stamp.Stamp, error) {
	data, err := os.ReadFile(filepath.Join(n.seenDir(), volumeHandle+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var newest []stamp.Stamp
	if err := json.Unmarshal(data, &newest); err != nil {
		return nil, fmt.Errorf("read what %s sees in %s: %w", n.Name, volumeHandle, err)
	}
	return newest, nil
}

// Seen writes what pods on a node of the lab in dir see in a CephFS volume.
func Seen(dir, node, volumeHandle string, out io.Writer) error {
	opened, err := OpenNode(dir, node)
	if err != nil {
		return err
	}
	newest, err := opened.Sees(volumeHandle)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CLUSTER\tNODE\tPOD\tSTAMPS\tUNTIL")
	for _, s := range newest {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", s.Cluster, s.Node, s.Pod, s.Sequence, s.Time.Format(time.TimeOnly))
	}
	return table.Flush()
}

// Stamps writes who wrote into an image of the lab in dir, and an error when two
// did at a time.
func Stamps(ctx context.Context, dir, image string, out io.Writer) error {
	rbd, err := findInstalled("rbd", "ceph-common")
	if err != nil {
		return err
	}
	log, err := readStamps(ctx, rbd, filepath.Join(dir, "ceph.conf"), image)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CLUSTER\tNODE\tPOD\tSTAMPS\tFROM\tUNTIL")
	for _, r := range log.Runs() {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d-%d\t%s\t%s\n", r.Cluster, r.Node, r.Pod, r.First, r.Last,
			r.From.Format(time.TimeOnly), r.Until.Format(time.TimeOnly))
	}
	return errors.Join(table.Flush(), log.Check())
}

func readStamps(ctx context.Context, rbd, confFile, image string) (stamp.Log, error) {
	data, err := run(ctx, "", rbd, "-c", confFile, "info", image, "--format", "json")
	if err != nil {
		return stamp.Log{}, err
	}
	var info struct{ Size uint64 }
	if err := json.Unmarshal(data, &info); err != nil {
		return stamp.Log{}, err
	}
	area, err := readBeginning(ctx, stamp.Area(info.Size), rbd, "-c", confFile, "export", "--no-progress", image, "-")
	if err != nil {
		return stamp.Log{}, fmt.Errorf("read stamps of %s: %w", image, err)
	}
	return stamp.Read(area)
}

// readBeginning is the beginning of what a command writes. The rest is not waited
// for.
func readBeginning(ctx context.Context, length int, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	runtime.LockOSThread() // see execute
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	area := make([]byte, length)
	_, err = io.ReadFull(stdout, area)
	cancel()
	_ = cmd.Wait() // killed, or done
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return area, nil
}
