package helmcall

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/shirou/gopsutil/v4/process"
)

// maxParents is how far up to look. Helm starts a post-renderer directly, or
// through a wrapper script or two.
const maxParents = 16

// Detect returns the helm call among the parents of this process, the nearest
// one, or nil when there is none.
func Detect(ctx context.Context) (*Call, error) {
	pid := int32(os.Getppid())
	for range maxParents {
		if pid <= 1 {
			return nil, nil
		}
		parent, err := process.NewProcessWithContext(ctx, pid)
		if errors.Is(err, process.ErrorProcessNotRunning) && pid != int32(os.Getppid()) {
			// Windows keeps the number of a parent that has ended.
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("read parent process %d: %w", pid, err)
		}
		argv, err := parent.CmdlineSliceWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the command line of parent process %d: %w", pid, err)
		}
		if IsHelm(argv) {
			// gopsutil drops empty arguments at the end, as in --set "". One is
			// enough to complete a flag, and changes nothing otherwise.
			call, err := Parse(append(argv, ""))
			if err != nil {
				return nil, err
			}
			return &call, nil
		}
		if pid, err = parent.PpidWithContext(ctx); err != nil {
			return nil, fmt.Errorf("find the parent of process %d: %w", parent.Pid, err)
		}
	}
	return nil, nil
}
