//go:build linux

package lab

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"sync"
)

// The names of a lab's clusters.
const (
	East = "east"
	West = "west"
)

// Lab is one Ceph and the two clusters that use it as Rook would in external
// mode. Unless [Options.Rook] says otherwise, East has the ceph-csi operator's form of
// ceph-csi's configuration, West the older form, and all names are equal.
type Lab struct {
	Ceph       *Ceph
	East, West *Cluster
	// Network is nil in a lab without nodes.
	Network *Network
}

// Start starts a whole lab, all of it at once, in the folders network, ceph, east
// and west of options.Dir. On an error nothing is left running.
func Start(ctx context.Context, options Options) (*Lab, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var (
		lab       Lab
		group     sync.WaitGroup
		mutex     sync.Mutex
		failures  []error
		cephReady = make(chan struct{})
	)
	// The first failure ends everybody's waiting; what fails because of that says
	// nothing new.
	check := func(err error) {
		mutex.Lock()
		defer mutex.Unlock()
		if err != nil && ctx.Err() == nil {
			failures = append(failures, err)
			cancel()
		}
	}
	in := func(name string) Options {
		sub := options
		sub.Dir = filepath.Join(options.Dir, name)
		return sub
	}
	if options.Nodes.PerCluster > 0 {
		var err error
		if lab.Network, err = startNetwork(ctx, in(networkPart), options.Nodes.routed()); err != nil {
			return nil, err
		}
		options.host = lab.Network.Address
	}
	startCluster := func(name string, config CSIConfig, first int, cluster **Cluster) error {
		var err error
		if *cluster, err = StartCluster(ctx, name, in(name)); err != nil {
			return err
		}
		select {
		case <-cephReady:
			rook := options.Rook[name]
			rook.Config = cmp.Or(rook.Config, config)
			err = (*cluster).AddRook(ctx, lab.Ceph, rook)
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil || lab.Network == nil {
			return err
		}
		return (*cluster).startNodes(ctx, lab.Network, options, first)
	}
	group.Go(func() { check(startCluster(East, OperatorConfig, firstNumber, &lab.East)) })
	group.Go(func() { check(startCluster(West, RookConfig, firstNumber+10, &lab.West)) })
	group.Go(func() {
		var err error
		if lab.Ceph, err = StartCeph(ctx, in("ceph")); err == nil {
			close(cephReady)
		}
		check(err)
	})
	group.Wait()

	err := errors.Join(failures...)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, lab.Stop())
	}
	return &lab, nil
}

// Stop stops everything, see [Ceph.Stop].
func (l *Lab) Stop() error {
	err := stopAll(l.Processes())
	if l.Network != nil {
		err = errors.Join(err, awaitNoLink(l.Network.dir))
	}
	return err
}

// Processes are the servers of Ceph and both clusters, and what holds the
// network.
func (l *Lab) Processes() []*Process {
	var processes []*Process
	if l.Ceph != nil {
		processes = append(processes, l.Ceph.Processes()...)
	}
	for _, cluster := range []*Cluster{l.East, l.West} {
		if cluster != nil {
			processes = append(processes, cluster.Processes()...)
		}
	}
	if l.Network != nil {
		processes = append(processes, l.Network.Processes()...)
	}
	return processes
}
