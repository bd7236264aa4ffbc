//go:build linux

package lab

import (
	"context"
	"os"
)

// Backup copies what etcd has stored, for [Cluster.Restore].
func (c *Cluster) Backup(ctx context.Context, dir string) error {
	// It is what a power cut would leave on the disk, which etcd recovers from.
	if err := c.Etcd.Freeze(); err != nil {
		return err
	}
	err := os.CopyFS(dir, os.DirFS(c.file("etcd")))
	if thawed := c.Etcd.Thaw(); err == nil {
		err = thawed
	}
	return err
}

// Restore puts the cluster back to a backup of its etcd, with everything in it started anew, as
// the past needs: clients that go on would wait for what comes after the future. It returns when
// the nodes' agents run. It is for clusters with nodes that this process has started.
func (c *Cluster) Restore(ctx context.Context, dir string) error {
	if err := c.stopAll(); err != nil {
		return err
	}
	if err := os.RemoveAll(c.file("etcd")); err != nil {
		return err
	}
	if err := os.CopyFS(c.file("etcd"), os.DirFS(dir)); err != nil {
		return err
	}
	return c.startAll(ctx)
}

// ColdStart is a power cut of the whole cluster: its nodes, with what they have mapped, and its control
// plane end at once, and everything in it starts anew, from what etcd had stored. It returns when
// the nodes' agents run. It is for clusters with nodes that this process has started.
func (c *Cluster) ColdStart(ctx context.Context) error {
	if err := c.stopAll(); err != nil {
		return err
	}
	return c.startAll(ctx)
}

// stopAll ends everything in the cluster, as a power cut does.
func (c *Cluster) stopAll() error {
	all := []*Process{c.APIServer, c.ControllerManager, c.Scheduler, c.Attacher, c.Etcd}
	for _, node := range c.Nodes {
		all = append(all, node.Agent)
	}
	return stopAll(all)
}

// startAll starts it anew, from what etcd has stored.
func (c *Cluster) startAll(ctx context.Context) error {
	if err := c.again(&c.Etcd, &c.APIServer); err != nil {
		return err
	}
	if err := c.APIServer.await(ctx, clusterReady, func(ctx context.Context) error {
		_, err := c.Run(ctx, "get", "--raw=/readyz")
		return err
	}); err != nil {
		return err
	}
	if err := c.again(&c.ControllerManager, &c.Scheduler, &c.Attacher); err != nil {
		return err
	}
	for _, node := range c.Nodes {
		if err := node.Start(); err != nil {
			return err
		}
	}
	return nil
}

// again starts processes that were stopped, as they were.
func (c *Cluster) again(processes ...**Process) (err error) {
	for _, process := range processes {
		if *process, err = c.start((*process).Name, (*process).program, (*process).args...); err != nil {
			return err
		}
	}
	return nil
}
