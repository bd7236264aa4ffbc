//go:build linux

package lab

import (
	"context"
	"fmt"
)

// StartNetwork starts a network without nodes, for [Options.In].
func StartNetwork(ctx context.Context, options Options) (*Network, error) {
	return startNetwork(ctx, options, false)
}

// In lets a Ceph or a cluster listen in the network.
func (o Options) In(network *Network) Options {
	o.host = network.Address
	return o
}

// Tap is a port of the switch for a machine that brings its own network card: a
// virtual one.
type Tap struct {
	// Name is the tap device's, in the namespace of the switch.
	Name string
	// Address is for the machine to use, with the length of its network: "10.77.3.11/25".
	Address string

	network *Network
}

// AddTap makes the port for the machine with that number, from 3 to 126.
func (n *Network) AddTap(ctx context.Context, number int) (*Tap, error) {
	t := &Tap{Name: fmt.Sprintf("tap%d", number), Address: n.address(number) + "/25", network: n}
	return t, n.configure(ctx, n.switchHost,
		fmt.Sprintf("tuntap add dev %s mode tap", t.Name),
		fmt.Sprintf("link set dev %s master lan", t.Name),
		fmt.Sprintf("link set dev %s up", t.Name))
}

// Start starts the machine's program where the tap device is.
func (t *Tap) Start(name, program string, args ...string) (*Process, error) {
	program, args = t.network.enter(t.network.switchHost, program, args...)
	return t.network.start(name, program, args...)
}

// Cut pulls the machine's cable.
func (t *Tap) Cut(ctx context.Context) error {
	return t.network.configure(ctx, t.network.switchHost, fmt.Sprintf("link set dev %s down", t.Name))
}

// Heal plugs the cable in again.
func (t *Tap) Heal(ctx context.Context) error {
	return t.network.configure(ctx, t.network.switchHost, fmt.Sprintf("link set dev %s up", t.Name))
}
