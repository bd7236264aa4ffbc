//go:build linux

package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports come from below the kernel's range for outgoing connections (32768 and
// up by default), so that no client takes one by chance, and above the range
// from which Ceph's daemons help themselves (6800-7300).
const (
	firstPort = 20000
	lastPort  = 31999
)

// ports are TCP ports of 127.0.0.1 that are free and that no other lab on this
// machine will take before release. The reservation is an abstract unix socket
// named after the port: the kernel drops it with the process, and it leaves the
// port itself free for the server to bind.
type ports struct {
	numbers      []int
	reservations []net.Listener
}

func reservePorts(count int) (*ports, error) {
	p := &ports{}
	for attempt := 0; len(p.numbers) < count; attempt++ {
		if attempt == 1000 {
			p.release()
			return nil, errors.New("reserve ports: none of 1000 tried ports is free")
		}
		p.try(firstPort + rand.IntN(lastPort-firstPort+1))
	}
	return p, nil
}

func (p *ports) try(number int) {
	reservation, err := net.Listen("unix", fmt.Sprintf("@cephferry-lab-port-%d", number))
	if err != nil {
		return
	}
	listener, err := net.Listen("tcp", loopback(number))
	if err != nil {
		reservation.Close()
		return
	}
	listener.Close()
	p.numbers = append(p.numbers, number)
	p.reservations = append(p.reservations, reservation)
}

// release is for when the servers have bound their ports.
func (p *ports) release() {
	for _, reservation := range p.reservations {
		reservation.Close()
	}
	p.reservations = nil
}

func loopback(port int) string { return join("127.0.0.1", port) }

func join(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}
