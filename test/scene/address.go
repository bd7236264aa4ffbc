//go:build lab

package scene

import (
	"bufio"
	"os/exec"
	"testing"
)

// Address starts a program that serves until the test ends, and returns the first line that it
// prints: where.
func Address(t testing.TB, command *exec.Cmd) string {
	t.Helper()
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the program prints no address: %v", err)
	}
	return address
}
