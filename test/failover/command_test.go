//go:build lab

package failover

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/cephferry/cephferry/test/lab"
)

// without stops a cluster's webhook until the test ends, or until started is called.
func (s *shop) without(c *lab.Cluster) (started func()) {
	s.Helper()
	guard := guards[c.Name]
	if err := guard.Kill(); err != nil {
		s.Fatal(err)
	}
	start := sync.OnceFunc(func() {
		if err := guard.Start(); err != nil {
			s.Error(err)
		}
	})
	s.Cleanup(start)
	return start
}

// result is what became of a command.
type result struct {
	stdout, stderr string
	err            error
}

// plugin is kubectl cephferry in a cluster.
func (s *shop) plugin(c *lab.Cluster, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.Context(), kubectl, append([]string{"cephferry", "--kubeconfig", c.Kubeconfig}, args...)...)
	cmd.Env = []string{"PATH=" + path, "HOME=" + home}
	cmd.WaitDelay = time.Second
	return cmd
}

func (s *shop) cephferry(c *lab.Cluster, args ...string) result {
	return finish(s.plugin(c, args...), "")
}

func finish(cmd *exec.Cmd, stdin string) result {
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	timer := time.AfterFunc(commandLimit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	return result{stdout.String(), stderr.String(), err}
}

// must is for a command that has to succeed. It returns its stdout.
func (s *shop) must(r result) string {
	s.Helper()
	if r.err != nil {
		s.Fatalf("%v\n%s%s", r.err, r.stdout, r.stderr)
	}
	return r.stdout
}

// refused is for a command that has to say this and change nothing of what it is for.
func (s *shop) refused(r result, want ...string) {
	s.Helper()
	if r.err == nil {
		s.Fatalf("it was not refused:\n%s%s", r.stdout, r.stderr)
	}
	for _, text := range want {
		if !strings.Contains(r.stderr, text) {
			s.Errorf("refused with:\n%s\nwant:\n%s", r.stderr, text)
		}
	}
}

// blocklisted are the addresses on the blocklist, with their ends.
func (s *shop) blocklisted() map[string]time.Time {
	s.Helper()
	entries, err := storage.Blocklisted(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	all := map[string]time.Time{}
	for _, entry := range entries {
		all[entry.Addr] = entry.Until
	}
	return all
}

// killedAfter runs a command, and kills it when it has printed a line that contains
// text.
func (s *shop) killedAfter(cmd *exec.Cmd, text string) {
	s.Helper()
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	timer := time.AfterFunc(commandLimit, func() { _ = writer.CloseWithError(errors.New("it did not come")) })
	defer timer.Stop()
	var seen []byte
	one := make([]byte, 1)
	for !strings.Contains(string(seen), text) {
		if _, err := reader.Read(one); err != nil {
			s.Fatalf("wait for %q: %v\n%s", text, err, seen)
		}
		seen = append(seen, one...)
	}
	if err := cmd.Process.Kill(); err != nil {
		s.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	_ = cmd.Wait()
	_ = writer.Close()
}

// rows are what status prints as JSON.
func (s *shop) rows(r result) []map[string]any {
	s.Helper()
	var list struct{ Volumes []map[string]any }
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		s.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	return list.Volumes
}
