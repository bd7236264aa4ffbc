//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Nodes says which nodes the clusters of a lab have.
type Nodes struct {
	// PerCluster is how many; at most 9.
	PerCluster int
	// SameAddresses gives the first node of both clusters one address, the second
	// nodes another, and so on: both clusters are behind a router that translates
	// their addresses. Node objects and watchers show the translated ones.
	SameAddresses bool
	// OneAddress is SameAddresses, and Ceph sees all nodes of both clusters as one
	// address that no Node object has: the router hides them.
	OneAddress bool
	// IgnoreWatchers leaves out that ceph-csi doesn't open an image that has
	// another watcher.
	IgnoreWatchers bool
	// StampInterval is the time between two stamps of a pod; 0 is the agent's own.
	StampInterval time.Duration
}

func (n Nodes) routed() bool { return n.SameAddresses || n.OneAddress }

const nodeReady = 30 * time.Second

// Node is a machine of a cluster: a network namespace of its own, and in it an
// agent that stands in for kubelet and ceph-csi (see package agent). What happens
// to the agent happens to the machine.
type Node struct {
	Name, Cluster string
	// Address is the node's in its status, and in watchers except with
	// [Nodes.OneAddress].
	Address string
	// Agent is the process; after [Node.Kill] it has ended.
	Agent *Process `json:"-"`

	*servers
	dir     string // the lab's
	machine machine
}

// machine is what is stored of a node beside the process records.
type machine struct {
	Cluster, Address string
	// Port is the name of the node's port, in the namespace of the process Bridge
	// of the network.
	Port, Bridge string
	NSEnter, IP  string
	// Program and Args start the agent.
	Program string
	Args    []string
}

// startNodes starts the scheduler, the attacher and the nodes, and returns when
// the nodes are ready. first is the number of the first node's address.
func (c *Cluster) startNodes(ctx context.Context, network *Network, options Options, first int) error {
	scheduler, err := options.Tools.Find("kube-scheduler")
	if err != nil {
		return err
	}
	labNode, err := options.Tools.Find("lab-node")
	if err != nil {
		return err
	}
	const schedulerUser = "system:kube-scheduler"
	if err := c.writeUser("kube-scheduler", schedulerUser); err != nil {
		return err
	}
	if c.Scheduler, err = c.start("kube-scheduler", scheduler,
		"--kubeconfig="+c.file("kube-scheduler.kubeconfig"), "--secure-port=0", "--leader-elect=false",
		"--kube-api-qps=1000", "--kube-api-burst=1000",
	); err != nil {
		return err
	}
	if c.Attacher, err = c.start("attacher", labNode, "attacher", "--kubeconfig", c.Kubeconfig, "--operator", c.Rook.Operator); err != nil {
		return err
	}
	for i := range options.Nodes.PerCluster {
		if err := c.startNode(ctx, network, options, labNode, i, first+i); err != nil {
			return err
		}
	}
	// A new node is tainted until kube-controller-manager has seen that it is ready.
	for _, node := range c.Nodes {
		if err := node.Agent.await(ctx, nodeReady, func(ctx context.Context) error {
			var object struct {
				Spec   struct{ Taints []any }
				Status struct{ Addresses []struct{ Address string } }
			}
			if err := c.api.read(ctx, "/api/v1/nodes/"+node.Name, &object); err != nil {
				return err
			}
			if at := object.Status.Addresses; len(at) == 0 || at[0].Address != node.Address || len(object.Spec.Taints) > 0 {
				return fmt.Errorf("node %s has %+v, want its address and no taint", node.Name, object)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startNode(ctx context.Context, network *Network, options Options, labNode string, index, number int) error {
	name := fmt.Sprintf("%s-%d", c.Name, index+1)
	node := &Node{Name: name, Cluster: c.Name, Address: network.address(number), servers: c.servers, dir: filepath.Dir(network.dir)}
	host, err := network.startNamespace(ctx, name)
	if err != nil {
		return err
	}
	at, bridge := network.switchHost, "lan"
	if network.router != nil {
		node.Address = network.address(firstNumber + index)
		shown := firstNumber + index
		if options.Nodes.OneAddress {
			shown = routerOutside
		}
		inside := routerNumber - hostNumber + number
		if err := network.translate(ctx, inside, shown); err != nil {
			return err
		}
		at, bridge, number = network.router, "inside", inside
	}
	port, err := network.cable(ctx, at, bridge, host, number)
	if err != nil {
		return err
	}
	if network.router != nil {
		if err := network.configure(ctx, host, "route add default via "+network.address(routerNumber)); err != nil {
			return err
		}
	}
	// As kubelet; no Node authorizer runs here that would give it its rights.
	if err := c.writeUser(name, "system:node:"+name, "system:nodes", "system:masters"); err != nil {
		return err
	}
	args := []string{"agent", "--kubeconfig", c.file(name + ".kubeconfig"), "--operator", c.Rook.Operator, "--cluster", c.Name, "--node", name, "--address", node.Address, "--seen", node.seenDir()}
	if options.Nodes.IgnoreWatchers {
		args = append(args, "--ignore-watchers")
	}
	if interval := options.Nodes.StampInterval; interval > 0 {
		args = append(args, "--stamp-interval", interval.String())
	}
	program, args := network.enter(host, labNode, args...)
	node.machine = machine{
		Cluster: c.Name, Address: node.Address, Port: port, Bridge: at.Name,
		NSEnter: network.nsenter, IP: network.ip, Program: program, Args: args,
	}
	if err := node.store(); err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return err
	}
	c.Nodes = append(c.Nodes, node)
	return nil
}

func (n *Node) store() error {
	data, err := json.MarshalIndent(n.machine, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(n.file(), data, 0o600)
}

// firstNumber is that of the first node's address, firstNumber+10 that of the
// next cluster's.
const firstNumber = 11

func (n *Node) file() string { return filepath.Join(n.dir, networkPart, n.Name+".json") }

// OpenNode is a node of the lab that [Up] started in dir.
func OpenNode(dir, name string) (*Node, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	node := &Node{Name: name, dir: dir}
	data, err := os.ReadFile(node.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the lab in %s has no node %q", dir, name)
	} else if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &node.machine); err != nil {
		return nil, err
	}
	node.Cluster, node.Address = node.machine.Cluster, node.machine.Address
	if node.servers, err = newServers(Options{Dir: filepath.Join(dir, node.Cluster), Detached: true}); err != nil {
		return nil, err
	}
	processes, err := recorded(filepath.Join(dir, node.Cluster))
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		if p.Name == node.processName() {
			node.Agent = p
		}
	}
	return node, nil
}

// seenDir is where the node's agent writes what pods see in CephFS volumes.
func (n *Node) seenDir() string { return filepath.Join(n.dir, n.Cluster, n.Name+".seen") }

func (n *Node) processName() string { return "node-" + n.Name }

// Start boots the node after [Node.Kill]. It comes back with the pods that are
// bound to it then.
func (n *Node) Start() error {
	if n.Agent != nil && n.Agent.Alive() {
		return fmt.Errorf("start node %s: it runs", n.Name)
	}
	agent, err := n.start(n.processName(), n.machine.Program, n.machine.Args...)
	if err != nil {
		return err
	}
	n.Agent = agent
	// Whoever kills or stops it next may only know the record.
	return agent.await(context.Background(), stopLimit, func(context.Context) error {
		_, err := os.Stat(agent.record)
		return err
	})
}

// Kill ends the node as a power cut does (SIGKILL): nothing is closed, and its
// watches stay for 25 to 30 seconds.
func (n *Node) Kill() error {
	if n.Agent == nil || !n.Agent.Alive() {
		return fmt.Errorf("kill node %s: it does not run", n.Name)
	}
	return stopAll([]*Process{n.Agent})
}

// Move gives the node another address of its network, which ends in number, for its next start.
func (n *Node) Move(ctx context.Context, number int) error {
	if n.Agent != nil && n.Agent.Alive() {
		return fmt.Errorf("move node %s: it runs", n.Name)
	}
	processes, err := recorded(filepath.Join(n.dir, networkPart))
	if err != nil {
		return err
	}
	at := slices.IndexFunc(processes, func(p *Process) bool { return p.Name == n.Name && p.Alive() })
	if at < 0 {
		return fmt.Errorf("move node %s: its network is gone", n.Name)
	}
	address := fmt.Sprint(n.Address[:strings.LastIndex(n.Address, ".")+1], number)
	if err := configureNamespace(ctx, processes[at], fmt.Sprintf("addr flush dev eth0\naddr add %s/25 dev eth0\n", address), n.machine.NSEnter, n.machine.IP); err != nil {
		return err
	}
	n.machine.Args[slices.Index(n.machine.Args, "--address")+1] = address
	n.Address, n.machine.Address = address, address
	return n.store()
}

// Freeze stops the node (SIGSTOP): it hangs, and wakes up in [Node.Thaw] without
// knowing that time went by.
func (n *Node) Freeze() error { return n.signalAgent((*Process).Freeze) }

// Thaw lets a frozen node go on.
func (n *Node) Thaw() error { return n.signalAgent((*Process).Thaw) }

func (n *Node) signalAgent(signal func(*Process) error) error {
	if n.Agent == nil {
		return fmt.Errorf("signal node %s: it does not run", n.Name)
	}
	return signal(n.Agent)
}

// Cut pulls the node's cable: it loses Ceph and the API server, and goes on.
func (n *Node) Cut(ctx context.Context) error { return n.setPort(ctx, "down") }

// Heal plugs the cable in again.
func (n *Node) Heal(ctx context.Context) error { return n.setPort(ctx, "up") }

func (n *Node) setPort(ctx context.Context, state string) error {
	processes, err := recorded(filepath.Join(n.dir, networkPart))
	if err != nil {
		return err
	}
	for _, p := range processes {
		if p.Name == n.machine.Bridge && p.Alive() {
			return configureNamespace(ctx, p, fmt.Sprintf("link set dev %s %s\n", n.machine.Port, state), n.machine.NSEnter, n.machine.IP)
		}
	}
	return fmt.Errorf("set port of node %s %s: its network is gone", n.Name, state)
}

// ActOnNode is for people: it does to a node of the lab that [Up] started in dir
// what the action says: start, kill, freeze, thaw, cut or heal.
func ActOnNode(ctx context.Context, dir, name, action string) error {
	if _, err := os.Stat(filepath.Join(dir, lockFile)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no lab in %s", dir)
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	node, err := OpenNode(dir, name)
	if err != nil {
		return err
	}
	switch action {
	case "start":
		return node.Start()
	case "kill":
		return node.Kill()
	case "freeze":
		return node.Freeze()
	case "thaw":
		return node.Thaw()
	case "cut":
		return node.Cut(ctx)
	case "heal":
		return node.Heal(ctx)
	}
	return fmt.Errorf("act on node %s: unknown action %q", name, action)
}
