package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/test/lab"
)

const (
	// someVolumes and moreVolumes are how many there are while nothing happens to them.
	someVolumes = 100
	moreVolumes = 400
	// settles is for how long the leader finds its way, counts for how long its calls are
	// counted after that.
	settles = 90 * time.Second
	counts  = time.Minute
)

// steadying measures what it costs a leader that volumes are there, and nothing happens to
// them: calls of the API server and of Ceph in a minute, as the webhook's metrics count
// them. It runs alone, without a lease.
func steadying(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	s := &site{lone: lone{dir: filepath.Join(dir, "steady"), tools: tools}}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return err
	}
	s.webhook.stop() // volumes come first: a leader that begins finds them
	// No controller makes the namespace's account.
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: namespace}},
	} {
		if err := s.api.Create(ctx, object); err != nil {
			return err
		}
	}
	self, err := usage.Party(ctx, s.api, s.cluster.Name)
	if err != nil {
		return err
	}
	node := newNode(0)
	node.Status.NodeInfo = corev1.NodeSystemInfo{BootID: "boot", MachineID: "machine"}
	if err := s.api.Create(ctx, node); err != nil {
		return err
	}
	holder := usage.RecordedNode(node)
	holder.Clients = []string{holder.Addresses[0] + ":0/1"}
	var rows [][]string
	for _, stage := range []struct {
		name      string
		from, to  int
		elsewhere bool
	}{
		{name: "held by pods here", to: someVolumes},
		{name: "held by pods here", from: someVolumes, to: moreVolumes},
		{name: "another cluster's", to: moreVolumes, elsewhere: true},
	} {
		if stage.elsewhere {
			err = s.loses(ctx, stage.to)
		} else {
			err = s.runs(ctx, stage.from, stage.to, self, holder)
		}
		if err != nil {
			return fmt.Errorf("%d volumes, %s: %w", stage.to, stage.name, err)
		}
		row, err := s.counted(ctx)
		if err != nil {
			return fmt.Errorf("%d volumes, %s: %w", stage.to, stage.name, err)
		}
		rows = append(rows, append([]string{fmt.Sprint(stage.to), stage.name}, row...))
	}
	table(out, fmt.Sprintf("Calls of the leader in a minute, while nothing happens to its volumes (for %s, after %s)", counts, settles),
		[]string{"volumes", "", "API server", "looks at volumes", "Ceph"}, rows)
	return nil
}

// runs makes volumes that pods of this cluster hold, as far as anybody can see: there are no
// kubelets here, so no image is open.
func (s *site) runs(ctx context.Context, from, to int, self ceph.Party, holder ceph.Node) error {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, guardedClaim(i))
	}
	if err := createPairs(ctx, s.api, s.ceph, s.tools, s.dir, names); err != nil {
		return err
	}
	for _, name := range names {
		err := s.change(ctx, name, func(stored ceph.Record) (ceph.Record, error) {
			return ownership.Acquire(stored, ownership.Request{Cluster: self, Namespace: namespace, Claim: name, Nodes: []ceph.Node{holder}, Now: time.Now()})
		})
		if err != nil {
			return err
		}
	}
	return create(ctx, s.api, 2*len(names), func(i int) client.Object {
		name := names[i/2]
		if i%2 == 0 {
			return attachedTo(name, holder.Name)
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: using(name)}
		pod.Spec.NodeName = holder.Name
		return pod
	})
}

// attachedTo is the attachment of a claim's volume.
func attachedTo(claim, node string) *storagev1.VolumeAttachment {
	pv := staticpv.ImageName(namespace, claim)
	return &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: "csi-" + claim},
		Spec:       storagev1.VolumeAttachmentSpec{Attacher: driver, NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv}},
	}
}

// loses gives the volumes to another cluster.
func (s *site) loses(ctx context.Context, many int) error {
	now := metav1.DeletePropagationBackground
	if err := s.api.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace), client.GracePeriodSeconds(0), client.PropagationPolicy(now)); err != nil {
		return err
	}
	if err := s.api.DeleteAllOf(ctx, &storagev1.VolumeAttachment{}); err != nil {
		return err
	}
	for i := range many {
		err := s.change(ctx, guardedClaim(i), func(stored ceph.Record) (ceph.Record, error) {
			owner := *stored.Owner
			owner.Party, stored.Owner = eastern, &owner
			return stored, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// change changes the record of a claim's image, as another cluster does.
func (s *site) change(ctx context.Context, claim string, transition func(ceph.Record) (ceph.Record, error)) error {
	found, err := s.storage.Image(ctx, image(claim))
	if err != nil {
		return err
	}
	_, err = ownership.Change(ctx, s.storage, found, transition)
	return err
}

// counted starts a leader, and counts its calls in a minute once it has found its way.
func (s *site) counted(ctx context.Context) ([]string, error) {
	var err error
	if s.webhook, err = startWebhook(ctx, s.tools, s.cluster, s.certificate, filepath.Join(s.dir, "webhook.log")); err != nil {
		return nil, err
	}
	defer s.webhook.stop()
	var before, after map[string]float64
	for _, part := range []struct {
		lasts time.Duration
		into  *map[string]float64
	}{{settles, &before}, {counts, &after}} {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(part.lasts):
		}
		if *part.into, err = s.webhook.scrape(ctx); err != nil {
			return nil, err
		}
	}
	var row []string
	for _, prefix := range []string{
		"rest_client_requests_total{", `controller_runtime_reconcile_total{controller="owners"`, "cephferry_ceph_call_seconds_count{",
	} {
		row = append(row, fmt.Sprintf("%.1f", (sum(after, prefix)-sum(before, prefix))/counts.Minutes()))
	}
	return row, nil
}
