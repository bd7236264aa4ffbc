//go:build linux

package labtest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
)

// Registry starts an OCI registry in memory for t and returns its address on this machine.
func Registry(t testing.TB) string {
	t.Helper()
	program, err := lab.Tools(os.Getenv(lab.ToolsVariable)).Find("registry")
	if err != nil {
		t.Fatal(err)
	}
	registry := exec.Command(program)
	stdin, err := registry.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := registry.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := registry.Wait(); err != nil {
			t.Error(err)
		}
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}
