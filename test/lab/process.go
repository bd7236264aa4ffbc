//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	pollInterval = 20 * time.Millisecond
	// stopLimit bounds the wait for a killed process: only one that hangs inside
	// the kernel needs longer.
	stopLimit = 10 * time.Second
	tailLines = 15
)

// recordAndRun writes the record of a process from inside that process, before
// it becomes the server (exec keeps process id and start time). So there is no
// moment at which a server runs that [Down] would not find, even if the starter
// dies at once: a record is there completely or not at all, and a Down that comes
// before it removes the folder, so that nothing starts any more. Arguments:
// record file, program, its arguments.
const recordAndRun = `cat /proc/sys/kernel/random/boot_id /proc/$$/stat >"$0.new" && mv "$0.new" "$0" && exec "$@"`

// Process is one server of the lab.
type Process struct {
	Name string
	PID  int
	// LogFile has what the server wrote to stdout and stderr.
	LogFile string

	program   string
	args      []string
	startTime uint64        // in clock ticks since boot, from /proc/<pid>/stat
	record    string        // the file that [Down] reads
	done      chan struct{} // closed when the process ended; nil if it is not our child
}

// servers starts processes that belong together and stops them together.
type servers struct {
	dir      string
	detached bool
	environ  []string
	// far is where they run; nil is this machine.
	far *Distance

	mu        sync.Mutex
	processes []*Process
}

func newServers(options Options) (*servers, error) {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("find folder %q: %w", options.Dir, err)
	}
	for _, sub := range []string{"processes", "logs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	return &servers{dir: dir, detached: options.Detached, environ: options.Environ, far: options.far}, nil
}

// start runs program as a server of that name. It returns as soon as the process
// exists; await tells when it serves.
func (s *servers) start(name, program string, args ...string) (*Process, error) {
	if s.far != nil {
		program, args = s.far.enter(program, args...)
	}
	p := &Process{
		Name:    name,
		LogFile: filepath.Join(s.dir, "logs", name+".log"),
		record:  filepath.Join(s.dir, "processes", name),
		program: program,
		args:    args,
		done:    make(chan struct{}),
	}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()

	cmd := exec.Command("/bin/sh", append([]string{"-c", recordAndRun, p.record, program}, args...)...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), s.environ...)
	if s.detached {
		// A session of its own: neither ctrl-C nor a closed terminal reaches it.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	} else {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}

	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the starting *thread* ends
		// (https://go.dev/issue/27505), so that thread has to stay until the
		// process is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			// Nobody else can wait for our child, so this is its stat.
			var stat procStat
			stat, err = readStat(statFile(cmd.Process.Pid))
			p.PID, p.startTime = cmd.Process.Pid, stat.startTime
		}
		started <- err
		if p.PID != 0 {
			_ = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p, nil
}

// Stop kills the servers and returns when all of them are gone. There is no
// gentle way, because nothing of what they hold is needed afterwards. Stopping
// twice is fine.
func (s *servers) Stop() error {
	return stopAll(s.processes)
}

// Processes are the servers, in the order in which they were started.
func (s *servers) Processes() []*Process { return s.processes }

// await polls check until it succeeds. It fails when the process ends, when ctx
// ends or after limit, with the end of the process's log.
func (p *Process) await(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	go func() { // a check in progress has nothing to wait for when the process ends
		select {
		case <-p.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		last := check(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.failed(errors.New("it ended by itself"))
		case <-ctx.Done():
			select {
			case <-p.done: // which is what ended ctx
				return p.failed(errors.New("it ended by itself"))
			default:
				return p.failed(fmt.Errorf("not ready within %v: %w", limit, last))
			}
		case <-time.After(pollInterval):
		}
	}
}

func (p *Process) failed(err error) error {
	return fmt.Errorf("start %s: %w\n%s", p.Name, err, Tail(p.LogFile))
}

// Alive says whether the process runs (or is frozen).
func (p *Process) Alive() bool {
	stat, err := readStat(statFile(p.PID))
	return err == nil && stat.startTime == p.startTime && stat.state != 'Z' && stat.state != 'X'
}

// Freeze stops the process as SIGSTOP does and returns when it stands still:
// from outside it looks like a machine that hangs. An OSD frozen for longer than
// its read lease (16 s) may not serve its placement groups again after the thaw.
func (p *Process) Freeze() error {
	return p.signalUntil(syscall.SIGSTOP, true)
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error {
	return p.signalUntil(syscall.SIGCONT, false)
}

// Kill ends the process as a power cut does.
func (p *Process) Kill() error { return stopAll([]*Process{p}) }

func (p *Process) signalUntil(signal syscall.Signal, frozen bool) error {
	if err := p.signal(signal); err != nil {
		return err
	}
	for deadline := time.Now().Add(stopLimit); ; time.Sleep(pollInterval) {
		now, err := p.frozen()
		if err != nil {
			return fmt.Errorf("signal %s: %w", p.Name, err)
		}
		if now == frozen {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("signal %s: frozen is %t %v after signal %q", p.Name, now, stopLimit, signal)
		}
	}
}

// frozen says whether every thread of the process stands still.
func (p *Process) frozen() (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID))
	if err != nil {
		return false, err
	}
	if !p.Alive() {
		return false, os.ErrProcessDone
	}
	for _, thread := range threads {
		stat, err := readStat(thread)
		if err == nil && stat.state != 'T' { // an error: the thread ended meanwhile
			return false, nil
		}
	}
	return true, nil
}

// signal reaches this very process or nobody: FindProcess takes hold of whatever
// has the process id now (a pidfd), and only then is the start time compared. It
// returns os.ErrProcessDone when the process is gone.
func (p *Process) signal(signal syscall.Signal) error {
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	defer handle.Release()
	if !p.Alive() {
		return fmt.Errorf("signal %s: %w", p.Name, os.ErrProcessDone)
	}
	if err := handle.Signal(signal); err != nil {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// stopAll kills processes, waits until they are gone and removes their records.
func stopAll(processes []*Process) error {
	var failures []error
	for _, p := range processes {
		if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			failures = append(failures, err)
		}
	}
	deadline := time.Now().Add(stopLimit)
	for _, p := range processes {
		for p.Alive() && time.Now().Before(deadline) {
			time.Sleep(pollInterval)
		}
		if p.Alive() {
			failures = append(failures, fmt.Errorf("stop %s: process %d still runs %v after the kill", p.Name, p.PID, stopLimit))
			continue
		}
		if p.done != nil {
			<-p.done
		}
		if err := os.Remove(p.record); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// recorded returns the processes whose records are in dir.
func recorded(dir string) ([]*Process, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "processes", "*"))
	if err != nil {
		return nil, err
	}
	var processes []*Process
	for _, file := range files {
		if strings.HasSuffix(file, ".new") {
			continue // see recordAndRun
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		p := &Process{
			Name:    filepath.Base(file),
			LogFile: filepath.Join(dir, "logs", filepath.Base(file)+".log"),
			record:  file,
		}
		// After a reboot, process ids and start times begin anew.
		if line, ok := bytes.CutPrefix(data, boot); ok {
			if stat, err := parseStat(string(line)); err == nil {
				p.PID, p.startTime = stat.pid, stat.startTime
			}
		}
		processes = append(processes, p)
	}
	return processes, nil
}

// procStat is what the lab needs of /proc/<pid>/stat, see proc_pid_stat(5).
type procStat struct {
	pid       int
	state     byte
	startTime uint64
}

func statFile(pid int) string { return fmt.Sprintf("/proc/%d/stat", pid) }

func readStat(file string) (procStat, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(data))
}

func parseStat(line string) (procStat, error) {
	// The second field is the name in parentheses and may contain anything.
	pid, _, _ := strings.Cut(line, " ")
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 20 {
		return procStat{}, fmt.Errorf("parse process stat %q: too short", line)
	}
	id, err := strconv.Atoi(pid)
	if err != nil {
		return procStat{}, fmt.Errorf("parse process stat: %w", err)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("parse process stat: %w", err)
	}
	return procStat{pid: id, state: fields[0][0], startTime: start}, nil
}

// Tail is the end of a log file, indented, under a line with its name.
func Tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Sprintf("no log: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return fmt.Sprintf("the end of %s:\n  %s", file, strings.Join(lines, "\n  "))
}
