//go:build linux

package vm

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cephferry/cephferry/test/krbd/vm/serial"
	"github.com/cephferry/cephferry/test/lab"
)

// bootLimit is for a machine that is busy with other things; 3 s is usual.
const bootLimit = 2 * time.Minute

// VM is a running virtual machine.
type VM struct {
	Name string
	// Address is the machine's in the network, without a length.
	Address string
	// Process is the emulator: to freeze it is to freeze the machine.
	Process *lab.Process

	image           *Image
	number          int
	dir             string
	tap             *lab.Tap
	toGuest         *os.File
	fromGuest       *os.File
	running, hungUp chan struct{}
	mu              sync.Mutex
	last            int
	waiting         map[int]chan serial.Answer
	requestsToGuest *json.Encoder
}

// Start starts a machine in the network, from the state that [Image.Boot] has kept,
// and returns when it takes scripts. Its files are in dir. It ends with the network,
// or with Stop.
func Start(ctx context.Context, image *Image, network *lab.Network, name string, number int, dir string) (*VM, error) {
	vm, err := plug(ctx, image, network, name, number, dir)
	if err == nil {
		err = vm.start(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return vm, nil
}

// plug is a machine that is in the network and off.
func plug(ctx context.Context, image *Image, network *lab.Network, name string, number int, dir string) (*VM, error) {
	tap, err := network.AddTap(ctx, number)
	if err != nil {
		return nil, err
	}
	vm := &VM{Name: name, image: image, number: number, dir: dir, tap: tap}
	vm.Address, _, _ = strings.Cut(tap.Address, "/")
	return vm, nil
}

// Reboot cuts the machine's power and starts it again, with the address that it had.
func (vm *VM) Reboot(ctx context.Context) error {
	err := vm.Stop()
	<-vm.hungUp
	if err == nil {
		err = vm.start(ctx)
	}
	if err != nil {
		return fmt.Errorf("reboot %s: %w", vm.Name, err)
	}
	return nil
}

// start turns a machine on that has booted, and gives it what is its own.
func (vm *VM) start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, vm.Stop())
		}
	}()
	if err := vm.turnOn(ctx, "-incoming", "exec:cat "+vm.image.state); err != nil {
		return err
	}
	entropy := make([]byte, 32)
	_, _ = rand.Read(entropy) // never fails
	if _, err := vm.run(ctx, serial.Request{Entropy: entropy, Limit: bootLimit, Script: fmt.Sprintf(`
		ip link set dev eth0 address 52:54:00:00:00:%02x
		ip address add %s dev eth0
		ip link set dev eth0 up`, vm.number, vm.tap.Address)}); err != nil {
		return err
	}
	return vm.setClock(ctx)
}

// setClock sets the machine's clock. It is late by what the request takes, and the times
// of the stamps of several machines are compared, so a slow request is made again, and
// without a quick one the machine is not used.
func (vm *VM) setClock(ctx context.Context) error {
	const quick = 100 * time.Millisecond
	for deadline := time.Now().Add(bootLimit); ; {
		now := time.Now()
		if _, err := vm.run(ctx, serial.Request{Now: now, Script: ":", Limit: bootLimit}); err != nil {
			return err
		}
		took := time.Since(now)
		if took < quick {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("set the clock of %s: no request within %v was quicker than %v; the last one took %v", vm.Name, bootLimit, quick, took)
		}
	}
}

// turnOn starts the emulator and returns when the machine runs.
func (vm *VM) turnOn(ctx context.Context, args ...string) error {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return fmt.Errorf("%w; `apt-get install qemu-system-x86` provides it", err)
	}
	pipe := filepath.Join(vm.dir, vm.Name)
	if err := vm.openLine(pipe); err != nil {
		return err
	}
	if vm.Process, err = vm.tap.Start(vm.Name, qemu, append([]string{
		"-machine", "pc,accel=tcg", "-cpu", "max", "-m", "192",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", vm.image.kernel, "-initrd", vm.image.initrd,
		// On a busy machine the kernel would find that its timer is too slow to work.
		"-append", "console=ttyS0 loglevel=5 panic=-1 no_timer_check",
		"-chardev", "stdio,id=console", "-serial", "chardev:console",
		"-chardev", "pipe,id=line,path=" + pipe, "-serial", "chardev:line",
		"-netdev", "tap,id=lan,script=no,downscript=no,ifname=" + vm.tap.Name,
		"-device", "virtio-net-pci,netdev=lan",
	}, args...)...); err != nil {
		return err
	}
	limit, look := time.NewTimer(bootLimit), time.NewTicker(time.Second)
	defer limit.Stop()
	defer look.Stop()
	for {
		select {
		case <-vm.running:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			if !vm.Process.Alive() { // the kernel panicked
				return fmt.Errorf("it ended by itself\n%s", lab.Tail(vm.Process.LogFile))
			}
		case <-limit.C:
			return fmt.Errorf("not up within %v\n%s", bootLimit, lab.Tail(vm.Process.LogFile))
		}
	}
}

// openLine opens the host's end of the machine's second serial line.
func (vm *VM) openLine(pipe string) (err error) {
	vm.running, vm.hungUp = make(chan struct{}), make(chan struct{})
	vm.waiting = map[int]chan serial.Answer{}
	for _, end := range []struct {
		name string
		file **os.File
	}{{pipe + ".in", &vm.toGuest}, {pipe + ".out", &vm.fromGuest}} {
		if err := syscall.Mkfifo(end.name, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make pipe %s: %w", end.name, err)
		}
		// For reading and writing, because then opening waits for nobody.
		if *end.file, err = os.OpenFile(end.name, os.O_RDWR, 0); err != nil {
			return err
		}
	}
	vm.requestsToGuest = json.NewEncoder(vm.toGuest)
	go vm.listen()
	return nil
}

// listen hands out the answers, until the line is closed.
func (vm *VM) listen() {
	defer close(vm.hungUp)
	if _, err := vm.fromGuest.Read(make([]byte, 1)); err != nil {
		return
	}
	close(vm.running)
	for decoder := json.NewDecoder(vm.fromGuest); ; {
		var answer serial.Answer
		if err := decoder.Decode(&answer); err != nil {
			return
		}
		vm.mu.Lock()
		waiting := vm.waiting[answer.ID]
		delete(vm.waiting, answer.ID)
		vm.mu.Unlock()
		if waiting != nil {
			waiting <- answer
		}
	}
}

// Run runs a shell script in the machine and returns what it printed; exit codes
// other than 0 are errors, and so is not to end within limit.
func (vm *VM) Run(ctx context.Context, limit time.Duration, script string) (string, error) {
	return vm.run(ctx, serial.Request{Script: script, Limit: limit})
}

func (vm *VM) run(ctx context.Context, request serial.Request) (string, error) {
	failed := func(err error) error { return fmt.Errorf("run %q on %s: %w", request.Script, vm.Name, err) }
	answer, err := vm.ask(ctx, request)
	if err != nil {
		return "", failed(err)
	}
	output := strings.TrimSpace(answer.Output)
	if answer.Error != "" {
		return output, failed(fmt.Errorf("%s: %s", answer.Error, output))
	}
	return output, nil
}

// Writer asks how it goes for a writer of stamps, which the request may start or stop.
func (vm *VM) Writer(ctx context.Context, limit time.Duration, request serial.WriterRequest) (serial.Writing, error) {
	answer, err := vm.ask(ctx, serial.Request{Writer: &request, Limit: limit})
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	if err != nil {
		return serial.Writing{}, fmt.Errorf("ask %s for the writer of %s: %w", vm.Name, request.Device, err)
	}
	return *answer.Writing, nil
}

func (vm *VM) ask(ctx context.Context, request serial.Request) (serial.Answer, error) {
	// The guest keeps the limit, and has a moment to say so.
	ctx, cancel := context.WithTimeout(ctx, request.Limit+5*time.Second)
	defer cancel()
	answers := make(chan serial.Answer, 1)
	vm.mu.Lock()
	vm.last++
	request.ID = vm.last
	vm.waiting[request.ID] = answers
	err := errors.Join(vm.toGuest.SetWriteDeadline(time.Now().Add(request.Limit)), vm.requestsToGuest.Encode(request))
	vm.mu.Unlock()
	if err != nil {
		return serial.Answer{}, err
	}
	select {
	case answer := <-answers:
		return answer, nil
	case <-vm.hungUp:
		return serial.Answer{}, errors.New("the machine was stopped")
	case <-ctx.Done():
		return serial.Answer{}, fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// Cut pulls the machine's network cable, Heal plugs it in.
func (vm *VM) Cut(ctx context.Context) error { return vm.tap.Cut(ctx) }

// Heal undoes Cut.
func (vm *VM) Heal(ctx context.Context) error { return vm.tap.Heal(ctx) }

// Freeze stops the machine: it hangs, and does not know in Thaw that time went by.
func (vm *VM) Freeze() error { return vm.Process.Freeze() }

// Thaw lets a frozen machine go on.
func (vm *VM) Thaw() error { return vm.Process.Thaw() }

// Kill ends the machine as a power cut does.
func (vm *VM) Kill() error { return vm.Process.Kill() }

// Stop kills the machine, if it runs, and closes the line.
func (vm *VM) Stop() error {
	var err error
	if vm.Process != nil {
		err = vm.Process.Kill()
	}
	return errors.Join(err, vm.toGuest.Close(), vm.fromGuest.Close())
}
