package helmcall

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// maxParents is how far up to look. Helm starts a post-renderer directly, or
// through a wrapper script or two.
const maxParents = 16

// errEnded means that a process is gone.
var errEnded = errors.New("the process has ended")

// Detect returns the helm call among the parents of this process, the nearest
// one, or nil when there is none.
func Detect(ctx context.Context) (*Call, error) {
	direct := process(os.Getppid())
	at := direct
	for range maxParents {
		if at <= 1 {
			return nil, nil
		}
		argv, err := at.commandLine(ctx)
		if errors.Is(err, errEnded) && at != direct {
			// Windows keeps the number of a parent that has ended.
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the command line of parent process %d: %w", at, err)
		}
		if IsHelm(argv) {
			call, err := Parse(argv)
			if err != nil {
				return nil, err
			}
			return &call, nil
		}
		next, err := at.parent(ctx)
		if err != nil {
			return nil, fmt.Errorf("find the parent of process %d: %w", at, err)
		}
		at = next
	}
	return nil, nil
}
