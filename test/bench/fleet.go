package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/agent"
)

// fleet is west with many keyed volumes, whose images and records are in a real Ceph, and the
// plugin, which asks both.
type fleet struct {
	lone
	self ceph.Party
	// volumes is how many there are.
	volumes int
	// client has images open, as a node's has.
	client agent.Client
	opened []agent.Image
	// lost is how often an image was made east's.
	lost int
}

func startFleet(ctx context.Context, dir string, tools lab.Tools) (f *fleet, err error) {
	f = &fleet{lone: lone{dir: dir, tools: tools}}
	if err := f.lone.start(ctx); err != nil {
		return f, err
	}
	if f.self, err = usage.Party(ctx, f.api, lab.West); err != nil {
		return f, err
	}
	for _, cluster := range []ceph.Party{f.self, eastern} {
		if _, err := f.storage.ClaimKey(ctx, lab.Pool, "", cluster); err != nil {
			return f, err
		}
	}
	f.client, err = dialNode(agent.CephSettings{MonHost: strings.Join(f.ceph.Monitors, ","), User: f.ceph.Admin.ID, Key: f.ceph.Admin.Key})
	if err != nil {
		return f, err
	}
	return f, f.nodes(ctx)
}

func (f *fleet) stop() error {
	var err error
	if f.client != nil {
		err = f.closeImages()
		f.client.Close()
	}
	return errors.Join(err, f.lone.stop())
}

// fleetNodes have the volumes, the first of them is where this program runs.
const fleetNodes = 10

func (f *fleet) nodes(ctx context.Context) error {
	if err := f.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	here, err := ceph.ParseAddress(f.client.Address())
	if err != nil {
		return err
	}
	return create(ctx, f.api, fleetNodes, func(i int) client.Object {
		node := newNode(i)
		if i == 0 {
			node.Status.Addresses[0].Address = here.String()
		}
		return node
	})
}

func fleetClaim(i int) string { return fmt.Sprintf("data-%d", i) }

func fleetImage(i int) ceph.ImageSpec { return keyedImage(fleetClaim(i)) }

// grow makes volumes until there are n, all of them west's, attached to its first node.
func (f *fleet) grow(ctx context.Context, n int) error {
	first := f.volumes
	node := newNode(0).Name
	if err := create(ctx, f.api, 3*(n-first), func(i int) client.Object {
		name := fleetClaim(first + i/3)
		switch i % 3 {
		case 0:
			return keyedVolume(name)
		case 1:
			return newClaim(name, staticpv.ImageName(namespace, name))
		default:
			return attachedTo(name, node)
		}
	}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	for i := first; i < n; i++ {
		group.Go(func() error {
			named := ceph.ImageSpec{Pool: lab.Pool, Name: fleetImage(i).Own()}
			made, err := f.storage.CreateImage(ctx, named, keyedLayout())
			if err != nil {
				return err
			}
			owner := ceph.Owner{Party: f.self, Namespace: namespace, Claim: fleetClaim(i), Since: time.Now(), Nodes: []ceph.Node{{Name: node, Addresses: []string{"10.0.0.1"}, BootID: "b"}}}
			_, err = f.storage.PutRecord(ctx, made, heldBy(owner))
			return err
		})
	}
	f.volumes = n
	return group.Wait()
}

// heldBy is the record of a keyed image.
func heldBy(owner ceph.Owner) ceph.Record {
	return ceph.Record{State: ceph.Held, Epoch: 1, ClaimSize: 1 << 30, Exclusive: true, Keyed: true, Named: true, Private: true, Owner: &owner}
}

// openImages has the first n images open.
func (f *fleet) openImages(n int) error {
	for i := range n {
		spec := fleetImage(i)
		opened, err := f.client.Open(ceph.ImageSpec{Pool: spec.Pool, Name: spec.Own()}, agent.ReadWrite)
		if err != nil {
			return err
		}
		f.opened = append(f.opened, opened)
	}
	return nil
}

func (f *fleet) closeImages() error {
	var all []error
	for _, opened := range f.opened {
		all = append(all, opened.Close())
	}
	f.opened = nil
	return errors.Join(all...)
}

// lose makes the first n images east's, each on a node of its own that is known to have it
// mapped.
func (f *fleet) lose(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	f.lost++
	for i := range n {
		group.Go(func() error {
			found, err := f.storage.Image(ctx, fleetImage(i))
			if err != nil {
				return err
			}
			record, err := f.storage.Record(ctx, found)
			if err != nil {
				return err
			}
			address := fmt.Sprintf("198.51.100.%d", i%250+1)
			next := heldBy(ceph.Owner{Party: eastern, Namespace: namespace, Claim: fleetClaim(i), Since: time.Now(), Nodes: []ceph.Node{{
				Name: fmt.Sprint("lost-", i%250), Addresses: []string{address}, BootID: "b", Clients: []string{fmt.Sprintf("%s:0/%d", address, f.lost*1000+i)},
			}}})
			next.Revision = record.Revision
			if _, err = f.storage.PutRecord(ctx, found, next); err != nil {
				return err
			}
			_, err = f.storage.RenameImage(ctx, found, ceph.JoinName(found.Name, eastern.Name), found.Named)
			return err
		})
	}
	return group.Wait()
}

// plugin is a command of kubectl cephferry in west.
func (f *fleet) plugin(args ...string) ([]string, error) {
	program, err := f.tools.Find("kubectl-cephferry")
	return append([]string{program, "--direct", "--kubeconfig", f.cluster.Kubeconfig, "--cluster-name", lab.West}, args...), err
}

// failover is the command that takes the first n volumes from east.
func (f *fleet) failover(n int) ([]string, error) {
	args := []string{"failover", "--ceph-conf", f.ceph.ConfFile, "--from", lab.East, "--yes", "--by", "bench"}
	for i := range n {
		args = append(args, namespace+"/"+fleetClaim(i))
	}
	return f.plugin(args...)
}
