//go:build neighbours

package neighbours

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// run runs a program in dir until the test ends. If the test fails, it shows the end of what
// the program has said.
func run(t *testing.T, dir string, env []string, program string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(program), lab.Tail(log.Name()))
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
}

// freePort is a port of this machine that nobody uses.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// keyed checks that the image of a claim has the key of a cluster in its name.
func keyed(s *scene.Shop, claim string) {
	s.Helper()
	image, err := s.Admin().Image(s.Context(), s.Spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	if image.Named == s.Spec(claim).Name {
		s.Errorf("the image of %s has no key: %s", claim, image.Named)
	}
}
