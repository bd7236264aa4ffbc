//go:build !linux

package helmcall

import (
	"context"
	"errors"

	gopsutil "github.com/shirou/gopsutil/v4/process"
)

// process is a process, by its number.
type process int32

// commandLine is what the process was started with. gopsutil drops empty arguments at the
// end, as in --set "". One is enough to complete a flag, and changes nothing otherwise.
func (p process) commandLine(ctx context.Context) ([]string, error) {
	found, err := p.find(ctx)
	if err != nil {
		return nil, err
	}
	argv, err := found.CmdlineSliceWithContext(ctx)
	if len(argv) == 0 {
		return nil, err
	}
	return append(argv, ""), err
}

func (p process) parent(ctx context.Context) (process, error) {
	found, err := p.find(ctx)
	if err != nil {
		return 0, err
	}
	parent, err := found.PpidWithContext(ctx)
	return process(parent), err
}

func (p process) find(ctx context.Context) (*gopsutil.Process, error) {
	found, err := gopsutil.NewProcessWithContext(ctx, int32(p))
	if errors.Is(err, gopsutil.ErrorProcessNotRunning) {
		err = errEnded
	}
	return found, err
}
