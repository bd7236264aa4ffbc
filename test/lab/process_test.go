//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The records say what a lab started; the process that now has such an id is
// another one. Down must leave it alone, whatever the difference is.
func TestDownNeverKillsAForeignProcess(t *testing.T) {
	boot := read(t, "/proc/sys/kernel/random/boot_id")
	for name, record := range map[string]func(stat procStat) string{
		"the process id was used again": func(stat procStat) string {
			return boot + statLine(stat.pid, stat.startTime-1)
		},
		"the record is from before a reboot": func(stat procStat) string {
			return "11111111-2222-3333-4444-555555555555\n" + statLine(stat.pid, stat.startTime)
		},
		"the record is incomplete": func(stat procStat) string {
			return boot
		},
		"the record is empty": func(procStat) string {
			return ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			foreign := exec.Command("sleep", "60")
			if err := foreign.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = foreign.Wait() }()
			defer func() { _ = foreign.Process.Kill() }()
			stat, err := readStat(statFile(foreign.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}

			dir := filepath.Join(t.TempDir(), "lab")
			write(t, filepath.Join(dir, lockFile), "")
			write(t, filepath.Join(dir, "ceph", "processes", "mon"), record(stat))
			var out bytes.Buffer
			if err := Down(dir, &out); err != nil {
				t.Fatal(err)
			}
			if want := "stopped 0 servers"; !strings.Contains(out.String(), want) {
				t.Errorf("output = %q, want %q", out.String(), want)
			}
			if now, err := readStat(statFile(foreign.Process.Pid)); err != nil || now.state == 'Z' {
				t.Errorf("the foreign process was killed: %+v, %v", now, err)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s still exists: %v", dir, err)
			}
		})
	}
}

// The same with a record that is right: the test above would pass for a Down
// that kills nothing.
func TestDownKillsARecordedProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	write(t, filepath.Join(dir, lockFile), "")
	servers, err := newServers(Options{Dir: filepath.Join(dir, "ceph"), Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	ours, err := servers.start("mon", "/bin/sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	if err := ours.await(t.Context(), stopLimit, func(context.Context) error {
		_, err := os.Stat(ours.record)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"stopped 1 servers", "no lab in"} {
		var out bytes.Buffer
		if err := Down(dir, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("output = %q, want %q", out.String(), want)
		}
	}
	if ours.Alive() {
		t.Error("still runs")
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat(statLine(42, 4711))
	if want := (procStat{pid: 42, state: 'S', startTime: 4711}); err != nil || got != want {
		t.Errorf("parseStat = %+v, %v, want %+v", got, err, want)
	}
	for _, line := range []string{"", "42", "42 (sh) S 1 2"} {
		if got, err := parseStat(line); err == nil {
			t.Errorf("parseStat(%q) = %+v", line, got)
		}
	}
}

// statLine is a line of /proc/<pid>/stat of a program with an awkward name.
func statLine(pid int, startTime uint64) string {
	return fmt.Sprintf("%d (a ) (b) S%s %d 0 0\n", pid, strings.Repeat(" 1", 18), startTime)
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
