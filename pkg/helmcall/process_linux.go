package helmcall

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// process is a process, by its number.
type process int32

// commandLine is what the process was started with.
func (p process) commandLine(context.Context) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p))
	if err != nil || len(text) == 0 { // a thread of the kernel has none
		return nil, err
	}
	return strings.Split(string(bytes.TrimSuffix(text, []byte{0})), "\x00"), nil
}

// parent is the second field behind the name, which is in parentheses, and may have some
// itself (proc_pid_stat(5)).
func (p process) parent(context.Context) (process, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, fmt.Errorf("parse /proc/%d/stat: %q", p, text)
	}
	parent, err := strconv.ParseInt(string(fields[1]), 10, 32)
	return process(parent), err
}
