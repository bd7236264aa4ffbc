//go:build lab

package guard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// spec names the image of a claim.
func (s *shop) spec(claim string) ceph.ImageSpec {
	pool, namespace, _ := strings.Cut(s.pool, "/")
	return ceph.ImageSpec{Pool: pool, Namespace: namespace, Name: s.namespace + "." + claim}
}

// connect is a connection as Ceph's administrator.
func (s *shop) connect() ceph.Cluster {
	s.Helper()
	connected, err := goceph.Dial(context.Background(), goceph.Config{ConfFile: s.storage.ConfFile})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = connected.Close() })
	return connected
}

// record is the record of a claim's image, the zero one if there is none.
func (s *shop) record(claim string) ceph.Record {
	s.Helper()
	image, err := s.admin().Image(s.Context(), s.spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	record, err := ownership.Read(s.Context(), s.admin(), image)
	if err != nil {
		s.Fatal(err)
	}
	return record
}

// holders waits until the record names the nodes and clients that have the image
// open, if somebody owns it.
func (s *shop) holders(claim string) (ceph.Record, []watcher) {
	s.Helper()
	var record ceph.Record
	var watchers []watcher
	s.eventually("the record of "+claim+" names who has it open", func() error {
		record, watchers = s.record(claim), s.watchers(claim)
		if record.Owner == nil {
			return nil
		}
		for _, w := range watchers {
			if !slices.Contains(record.Owner.Instances(), w.Address) || record.Owner.Nodes == nil {
				return fmt.Errorf("%s is not in %+v", w.Address, record.Owner)
			}
		}
		if len(record.Pending) > 0 {
			return fmt.Errorf("pods that may still appear: %v", record.Pending)
		}
		if len(record.Unbound) > 0 {
			return fmt.Errorf("pods without a node: %v", record.Unbound)
		}
		return nil
	})
	return record, watchers
}

// released waits until the image of the claim is not the cluster's.
func (s *shop) released(c *cluster, claim string) {
	s.Helper()
	s.eventually(c.Name+" has released "+claim, func() error {
		if record := s.record(claim); record.Owner != nil && record.Owner.Name == c.Name {
			return fmt.Errorf("it owns it: %s", record.Encode())
		}
		return nil
	})
}

func (s *shop) party(c *cluster) ceph.Party {
	s.Helper()
	system, err := c.client.CoreV1().Namespaces().Get(s.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return ceph.Party{UID: string(system.UID), Name: c.Name}
}

// takeOver does by hand what `kubectl cephferry failover` does: it fences those that
// the record names, and gives the image to the cluster.
func (s *shop) takeOver(c *cluster, claim string) {
	s.Helper()
	image, err := s.admin().Image(s.Context(), s.spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	ann := ownership.Taker{Cluster: s.party(c), By: "ann", Now: time.Now()}
	begun, err := ownership.Change(s.Context(), s.admin(), image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.BeginFence(stored, ann)
	})
	if err != nil {
		s.Fatal(err)
	}
	for _, client := range begun.Owner.Instances() {
		if _, err := s.storage.Run(s.Context(), "osd", "blocklist", "add", client, "36000"); err != nil {
			s.Fatal(err)
		}
	}
	s.free(claim)
	if _, err := ownership.Change(s.Context(), s.admin(), image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.FinishFence(stored, begun, ann, s.namespace, claim, begun.Owner.Instances())
	}); err != nil {
		s.Fatal(err)
	}
}
