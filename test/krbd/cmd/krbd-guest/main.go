//go:build linux

// Krbd-guest is process 1 of the virtual machines of the tests. As `krbd-guest
// <tty>` it does what the host asks for (package serial): it runs scripts, and
// writes stamps into devices.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cephferry/cephferry/test/krbd/vm/serial"
)

// waitingSign is between two newlines that say that nothing was asked yet.
const waitingSign = 20 * time.Millisecond

func main() {
	err := fmt.Errorf("arguments %q; want a serial line", os.Args[1:])
	if len(os.Args) == 2 {
		err = serve(os.Args[1])
	}
	fmt.Fprintln(os.Stderr, "krbd-guest:", err)
	os.Exit(1)
}

func serve(tty string) error {
	line, err := os.OpenFile(tty, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	encoder := json.NewEncoder(line)
	answer := func(a serial.Answer) {
		mu.Lock()
		defer mu.Unlock()
		// The host waits with a limit of its own.
		_ = encoder.Encode(a)
	}
	waiting := time.NewTicker(waitingSign)
	go func() {
		for range waiting.C {
			mu.Lock()
			_, _ = line.WriteString("\n")
			mu.Unlock()
		}
	}()
	writers := writers{all: map[string]*writer{}}
	for decoder := json.NewDecoder(line); ; {
		var request serial.Request
		if err := decoder.Decode(&request); err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		waiting.Stop()
		if !request.Now.IsZero() {
			now := syscall.NsecToTimeval(request.Now.UnixNano())
			if err := syscall.Settimeofday(&now); err != nil {
				return fmt.Errorf("set clock: %w", err)
			}
		}
		if len(request.Entropy) > 0 {
			if err := reseed(request.Entropy); err != nil {
				return fmt.Errorf("seed random numbers: %w", err)
			}
		}
		go func() {
			if request.Writer == nil {
				answer(run(request))
				return
			}
			a := serial.Answer{ID: request.ID}
			var err error
			if a.Writing, err = writers.do(*request.Writer); err != nil {
				a.Error = err.Error()
			}
			answer(a)
		}()
	}
}

// reseed makes the kernel's random numbers depend on entropy from now on.
func reseed(entropy []byte) error {
	random, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer random.Close()
	if _, err := random.Write(entropy); err != nil {
		return err
	}
	const now = 0x5207 // RNDRESEEDCRNG of linux/random.h
	return unix.IoctlSetInt(int(random.Fd()), now, 0)
}

// run runs a script. It returns soon after the limit also when the script cannot
// be killed, as one that waits for a device.
func run(request serial.Request) serial.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), request.Limit)
	defer cancel()
	var output bytes.Buffer
	cmd := exec.Command("/bin/sh", "-ec", request.Script)
	cmd.Stdout, cmd.Stderr = &output, &output
	// A program that the script has left behind must not keep its end.
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return serial.Answer{ID: request.ID, Error: err.Error()}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		a := serial.Answer{ID: request.ID, Output: output.String()}
		if err != nil {
			a.Error = err.Error()
		}
		return a
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return serial.Answer{ID: request.ID, Error: fmt.Sprintf("not done within %v", request.Limit)}
	}
}
