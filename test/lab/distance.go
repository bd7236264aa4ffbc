//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tunDevice = "/dev/net/tun"
	farNumber = 2
	// farLink begins the name of the other end.
	farLink = "ceph-far-"
	// packetSize is the largest packet, as on loopback.
	packetSize = 65535
	// underWay is how many packets may be.
	underWay = 4096
	// pollTime is how often a road without traffic looks whether it has ended.
	pollTime = 100 // ms
)

// Distance is a network namespace in which a Ceph can run, and the way there. Every packet
// on it takes its time: this process carries them, from one tun device to another, because
// not every kernel can delay packets.
type Distance struct {
	// Address is that of the other end.
	Address string

	network *Network
	far     *Process
	ends    []int // files of the devices
	oneWay  atomic.Int64
	ended   atomic.Bool
	roads   sync.WaitGroup
	failed  chan error
}

// StartDistance makes the namespace, without any delay yet.
func StartDistance(ctx context.Context, options Options) (_ *Distance, err error) {
	d := &Distance{failed: make(chan error, 4)}
	if d.network, err = newNetwork(options); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Stop())
		}
	}()
	if d.far, err = d.network.startNamespace(ctx, "far"); err != nil {
		return nil, err
	}
	if err := d.open(); err != nil {
		return nil, err
	}
	n := d.network
	d.Address = n.address(farNumber)
	d.roads.Add(2)
	go d.carry(d.ends[0], d.ends[1])
	go d.carry(d.ends[1], d.ends[0])
	if _, err := run(ctx, fmt.Sprintf("addr add %s/25 dev %s\nlink set dev %s mtu %d up\nlink set dev %s%d netns %d\n",
		n.Address, n.Link, n.Link, packetSize, farLink, n.number, d.far.PID), n.ip, "-batch", "-"); err != nil {
		return nil, err
	}
	return d, n.configure(ctx, d.far,
		fmt.Sprintf("addr add %s/25 dev %s%d", d.Address, farLink, n.number),
		fmt.Sprintf("link set dev %s%d mtu %d up", farLink, n.number, packetSize))
}

// open makes both ends, and takes a number as [Network] does.
func (d *Distance) open() error {
	n := d.network
	var last error
	for range 100 {
		n.number = rand.IntN(256)
		n.Link, n.Address = linkPrefix+strconv.Itoa(n.number), n.address(hostNumber)
		if taken, err := n.taken(); err != nil {
			return err
		} else if taken {
			continue
		}
		var here, there int
		if here, last = openTun(n.Link); last != nil {
			continue // another lab was quicker
		}
		d.ends = append(d.ends, here)
		there, err := openTun(farLink + strconv.Itoa(n.number))
		if err == nil {
			d.ends = append(d.ends, there)
		}
		return err
	}
	return fmt.Errorf("start distance: none of 100 tried networks in %s.0.0/16 is free: %w", networkPrefix, last)
}

// openTun makes a tun device, which goes with the file.
func openTun(name string) (int, error) {
	file, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", tunDevice, err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
		err = unix.IoctlIfreq(file, unix.TUNSETIFF, request)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("make device %s: %w", name, err), unix.Close(file))
	}
	return file, nil
}

// In lets a Ceph run at the other end.
func (d *Distance) In(options Options) Options {
	options.host, options.far = d.Address, d
	return options
}

func (d *Distance) enter(program string, args ...string) (string, []string) {
	return d.network.enter(d.far, program, args...)
}

// Set makes each packet take that long from now on, in each direction.
func (d *Distance) Set(oneWay time.Duration) { d.oneWay.Store(int64(oneWay)) }

// Stop removes both ends. What runs at the other one has to be stopped first.
func (d *Distance) Stop() error {
	d.ended.Store(true)
	d.roads.Wait()
	err := d.network.servers.Stop()
	for _, end := range d.ends {
		err = errors.Join(err, unix.Close(end))
	}
	d.ends = nil
	select {
	case failed := <-d.failed:
		return errors.Join(err, failed)
	default:
		return err
	}
}

// packet is under way until it is due.
type packet struct {
	data []byte
	due  time.Time
}

// carry takes packets from one device to the other, in their order, until Stop.
func (d *Distance) carry(from, to int) {
	defer d.roads.Done()
	packets := make(chan packet, underWay)
	var delivered sync.WaitGroup
	delivered.Go(func() { d.deliver(packets, to) })
	defer delivered.Wait()
	defer close(packets)
	// A thread of its own, which waits in the kernel: Go's own timers have steps of a
	// millisecond when nothing else runs.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buffer := make([]byte, packetSize)
	for !d.ended.Load() {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(from), Events: unix.POLLIN}}, pollTime); err != nil && err != unix.EINTR {
			d.fail("wait for packets", err)
			return
		}
		n, err := unix.Read(from, buffer)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err == unix.EIO: // it is not up yet
			time.Sleep(pollInterval)
		case err != nil:
			d.fail("read a packet", err)
			return
		default:
			packets <- packet{append([]byte(nil), buffer[:n]...), time.Now().Add(time.Duration(d.oneWay.Load()))}
		}
	}
}

// deliver writes packets when they are due.
func (d *Distance) deliver(packets <-chan packet, to int) {
	runtime.LockOSThread() // for good: it sleeps like no other
	// Threads oversleep by 50 µs otherwise.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	for p := range packets {
		if rest := time.Until(p.due); rest > 0 {
			pause := unix.NsecToTimespec(rest.Nanoseconds())
			_ = unix.Nanosleep(&pause, nil) // a signal makes this packet early
		}
		// A device that is down or full loses packets, as any network does.
		if _, err := unix.Write(to, p.data); err != nil && err != unix.EIO && err != unix.EAGAIN && err != unix.ENOBUFS {
			d.fail("write a packet", err)
		}
	}
}

func (d *Distance) fail(what string, err error) {
	select {
	case d.failed <- fmt.Errorf("%s: %w", what, os.NewSyscallError("tun", err)):
	default:
	}
}
