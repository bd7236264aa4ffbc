//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Networks get a /25 each, the first half of 10.77.<number>.0/24. The second half
// is for nodes behind a router.
const (
	networkPrefix = "10.77"
	hostNumber    = 1
	routerOutside = 2
	routerNumber  = 129 // on its inside
	linkPrefix    = "cephferry-"
	ownNamespace  = "/proc/self/ns/net"
	linkGone      = 10 * time.Second
)

// Network is a switch with a cable to this machine and to each node. The switch
// and every node are network namespaces.
//
// A namespace has no name here. It belongs to a process that sleeps in it, and
// the kernel removes it with that process, and with it its end of every cable,
// and with that the other end. So there is nothing to clean up but processes.
//
// The one thing in the machine's own namespace is the cable's end, which is
// called after the number of the network. As there can be only one of that name,
// it also reserves the number.
type Network struct {
	// Address is this machine's in the network. With a network, Ceph and the API
	// servers listen there.
	Address string
	// Link is the name of this machine's end of the cable.
	Link string
	// RouterAddress is what Ceph sees with [Nodes.OneAddress].
	RouterAddress string

	*servers
	number     int
	index      int // of the link
	ip         string
	nsenter    string
	unshare    string
	switchHost *Process
	router     *Process // nil without equal addresses
}

// startNetwork makes the switch. With router it also makes a router, see
// [Nodes].
func startNetwork(ctx context.Context, options Options, router bool) (_ *Network, err error) {
	n, err := newNetwork(options)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Stop())
		}
	}()
	if n.switchHost, err = n.startNamespace(ctx, "switch"); err != nil {
		return nil, err
	}
	if err := n.plugIn(ctx); err != nil {
		return nil, err
	}
	// A new bridge forwards to a port after two forward_delays, 30 s.
	if err := n.configure(ctx, n.switchHost,
		"link add name lan type bridge forward_delay 0",
		"link set dev lan up",
		"link set dev machine master lan",
		"link set dev machine up",
	); err != nil {
		return nil, err
	}
	if router {
		return n, n.addRouter(ctx)
	}
	return n, nil
}

// newNetwork finds the programs.
func newNetwork(options Options) (_ *Network, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("start network: nodes have network namespaces, and only root can make those; run this as root, or a lab without nodes")
	}
	n := &Network{}
	for _, wanted := range []struct {
		path            *string
		name, inPackage string
	}{
		{&n.ip, "ip", "iproute2"},
		{&n.nsenter, "nsenter", "util-linux"},
		{&n.unshare, "unshare", "util-linux"},
	} {
		if *wanted.path, err = findInstalled(wanted.name, wanted.inPackage); err != nil {
			return nil, err
		}
	}
	n.servers, err = newServers(options)
	return n, err
}

// startNamespace starts a process that sleeps in a new namespace.
func (n *Network) startNamespace(ctx context.Context, name string) (*Process, error) {
	sleep, err := findInstalled("sleep", "coreutils")
	if err != nil {
		return nil, err
	}
	p, err := n.start(name, n.unshare, "--net", sleep, "infinity")
	if err != nil {
		return nil, err
	}
	ours, err := os.Readlink(ownNamespace)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, stopLimit, func(context.Context) error {
		theirs, err := os.Readlink(namespaceFile(p))
		if err == nil && theirs == ours {
			err = errors.New("it still has this machine's network")
		}
		return err
	}); err != nil {
		return nil, err
	}
	return p, n.configure(ctx, p, "link set dev lo up")
}

// plugIn makes the cable between this machine and the switch, and takes a number.
func (n *Network) plugIn(ctx context.Context) error {
	var last error
	for range 100 {
		n.number = rand.IntN(256)
		n.Link = linkPrefix + strconv.Itoa(n.number)
		n.Address = n.address(hostNumber)
		if taken, err := n.taken(); err != nil {
			return err
		} else if taken {
			continue
		}
		_, last = run(ctx, "", n.ip, "link", "add", n.Link, "type", "veth", "peer", "name", "machine", "netns", strconv.Itoa(n.switchHost.PID))
		if last != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue // another lab was quicker
		}
		link, err := net.InterfaceByName(n.Link)
		if err != nil {
			return err
		}
		n.index = link.Index
		if err := os.WriteFile(filepath.Join(n.dir, linkFile), fmt.Appendf(nil, "%s %d\n", n.Link, n.index), 0o600); err != nil {
			return err
		}
		_, err = run(ctx, fmt.Sprintf("addr add %s/25 dev %s\nlink set dev %s up\n", n.Address, n.Link, n.Link), n.ip, "-batch", "-")
		return err
	}
	return fmt.Errorf("start network: none of 100 tried networks in %s.0.0/16 is free: %w", networkPrefix, last)
}

// taken says whether this machine has an address in the network already.
func (n *Network) taken() (bool, error) {
	ours, err := netip.ParsePrefix(n.address(0) + "/24")
	if err != nil {
		return false, err
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	for _, address := range addresses {
		theirs, err := netip.ParsePrefix(address.String())
		if err == nil && theirs.Overlaps(ours) {
			return true, nil
		}
	}
	return false, nil
}

func (n *Network) address(number int) string {
	return fmt.Sprintf("%s.%d.%d", networkPrefix, n.number, number)
}

func namespaceFile(p *Process) string { return fmt.Sprintf("/proc/%d/ns/net", p.PID) }

// enter is the command line for a program inside the namespace of p. Unlike `ip
// netns exec` it leaves the mounts alone.
func (n *Network) enter(p *Process, program string, args ...string) (string, []string) {
	return n.nsenter, append([]string{"--net=" + namespaceFile(p), program}, args...)
}

// configure runs `ip` commands inside the namespace of p.
func (n *Network) configure(ctx context.Context, p *Process, lines ...string) error {
	return configureNamespace(ctx, p, strings.Join(lines, "\n")+"\n", n.nsenter, n.ip)
}

func configureNamespace(ctx context.Context, p *Process, lines, nsenter, ip string) error {
	_, err := run(ctx, lines, nsenter, "--net="+namespaceFile(p), ip, "-batch", "-")
	if err != nil {
		return fmt.Errorf("configure %s: %w", p.Name, err)
	}
	return nil
}

// cable connects the namespace of p to a bridge in that of at. It returns the
// name of the bridge's port.
func (n *Network) cable(ctx context.Context, at *Process, bridge string, p *Process, number int) (string, error) {
	port := "port" + strconv.Itoa(number)
	return port, errors.Join(
		n.configure(ctx, at,
			fmt.Sprintf("link add name %s type veth peer name eth0 netns %d", port, p.PID),
			fmt.Sprintf("link set dev %s master %s", port, bridge),
			fmt.Sprintf("link set dev %s up", port)),
		n.configure(ctx, p,
			fmt.Sprintf("addr add %s/25 dev eth0", n.address(number)),
			"link set dev eth0 up"))
}

// addRouter makes the router between the switch and the nodes behind it.
func (n *Network) addRouter(ctx context.Context) error {
	nft, err := findInstalled("nft", "nftables")
	if err != nil {
		return err
	}
	n.RouterAddress = n.address(routerOutside)
	if n.router, err = n.startNamespace(ctx, "router"); err != nil {
		return err
	}
	if _, err := n.cable(ctx, n.switchHost, "lan", n.router, routerOutside); err != nil {
		return err
	}
	if err := n.configure(ctx, n.router,
		"link add name inside type bridge forward_delay 0",
		fmt.Sprintf("addr add %s/25 dev inside", n.address(routerNumber)),
		"link set dev inside up",
	); err != nil {
		return err
	}
	program, args := n.enter(n.router, "/bin/sh", "-c", `echo 1 >/proc/sys/net/ipv4/ip_forward && exec "$0" -f -`, nft)
	_, err = run(ctx, "table ip lab {\n chain translate {\n  type nat hook postrouting priority srcnat\n }\n}\n", program, args...)
	return err
}

// translate lets the router show the node with one number as another one, and
// gives it that address.
func (n *Network) translate(ctx context.Context, inside, shown int) error {
	nft, err := findInstalled("nft", "nftables")
	if err != nil {
		return err
	}
	if err := n.configure(ctx, n.router, fmt.Sprintf("addr replace %s/25 dev eth0", n.address(shown))); err != nil {
		return err
	}
	program, args := n.enter(n.router, nft, "add", "rule", "ip", "lab", "translate",
		"ip", "saddr", n.address(inside), "snat", "to", n.address(shown))
	_, err = run(ctx, "", program, args...)
	return err
}

// Stop ends the network: the processes, and with them all links.
func (n *Network) Stop() error {
	return errors.Join(n.servers.Stop(), awaitNoLink(n.dir))
}

// linkFile has name and index of the link in the folder of a network.
const linkFile = "link"

// awaitNoLink waits until the kernel has removed the link of the network in dir,
// which it does shortly after the processes.
func awaitNoLink(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, linkFile))
	if err != nil {
		return nil // there is no network
	}
	name, index, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	for deadline := time.Now().Add(linkGone); ; time.Sleep(pollInterval) {
		link, err := net.InterfaceByName(name)
		if err != nil || strconv.Itoa(link.Index) != index {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("stop network: link %s is still there %v after its processes ended", name, linkGone)
		}
	}
}
