//go:build lab

package failover

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/cephferry/cephferry/test/scene"
)

// without stops a cluster's webhook until the test ends, or until started is called.
func (s *shop) without(c *scene.Cluster) (started func()) {
	s.Helper()
	started = c.Restarts(s.T)
	if err := c.Webhook.Kill(); err != nil {
		s.Fatal(err)
	}
	return started
}

// plugin is kubectl cephferry in a cluster.
func (s *shop) plugin(c *scene.Cluster, args ...string) scene.Command {
	return scene.Command{Program: stage.Programs["kubectl"], Env: map[string]string{"PATH": path, "HOME": stage.Home},
		Args: append([]string{"cephferry", "--direct", "--kubeconfig", c.Kubeconfig}, args...)}
}

func (s *shop) cephferry(c *scene.Cluster, args ...string) scene.Result {
	return s.plugin(c, args...).Run(s.Context())
}

// answered runs a command with this on its stdin.
func (s *shop) answered(command scene.Command, stdin string) scene.Result {
	command.Stdin = stdin
	return command.Run(s.Context())
}

// refused is for a command that has to say this and change nothing of what it is for.
func (s *shop) refused(r scene.Result, want ...string) {
	s.Helper()
	if r.Err == nil {
		s.Fatalf("it was not refused:\n%s%s", r.Stdout, r.Stderr)
	}
	for _, text := range want {
		if !strings.Contains(r.Stderr, text) {
			s.Errorf("refused with:\n%s\nwant:\n%s", r.Stderr, text)
		}
	}
}

// blocklisted are the addresses on the blocklist, with their ends.
func (s *shop) blocklisted() map[string]time.Time {
	s.Helper()
	entries, err := s.Admin().Blocklisted(s.Context())
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
func (s *shop) killedAfter(command scene.Command, text string) {
	s.Helper()
	cmd := command.Exec(s.Context())
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = writer.CloseWithError(errors.New("it did not come")) })
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
func (s *shop) rows(r scene.Result) []map[string]any {
	s.Helper()
	var list struct{ Volumes []map[string]any }
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil {
		s.Fatalf("%v: %s%s", err, r.Stdout, r.Stderr)
	}
	return list.Volumes
}
