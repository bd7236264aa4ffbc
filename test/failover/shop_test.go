//go:build lab

package failover

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// shop is a namespace of one test, with the same name in both clusters.
type shop struct {
	*testing.T
	namespace  string
	east, west *lab.Cluster
}

var shops atomic.Int32

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t, fmt.Sprint("shop-", shops.Add(1)), servers.East, servers.West}
	for _, c := range []*lab.Cluster{s.east, s.west} {
		s.apply(c, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", s.namespace))
		s.eventually("account default", func() error {
			_, err := c.Run(s.Context(), "get", "serviceaccount", "default", "-n", s.namespace)
			return err
		})
	}
	return s
}

func (s *shop) apply(c *lab.Cluster, manifests string) {
	s.Helper()
	if err := c.Apply(s.Context(), manifests); err != nil {
		s.Fatal(err)
	}
}

// eventually polls until check is content.
func (s *shop) eventually(what string, check func() error) {
	s.Helper()
	for deadline := time.Now().Add(settleLimit); ; time.Sleep(pollInterval) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("wait for %s: %v", what, err)
		}
	}
}

func (s *shop) spec(claim string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: lab.Pool, Name: s.namespace + "." + claim}
}

// volume makes an image without exclusive-lock, so that nothing but the fence keeps
// its old writer away, and the pair in both clusters.
func (s *shop) volume(claim string) {
	s.Helper()
	if _, err := servers.Ceph.RBD(s.Context(), "create", s.spec(claim).String(), "--size", "16M", "--image-feature", "layering"); err != nil {
		s.Fatal(err)
	}
	for _, c := range []*lab.Cluster{s.east, s.west} {
		s.apply(c, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s.%[2]s, annotations: {cephferry.io/migratable: "true"}}
spec:
  capacity: {storage: 16Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: %[1]s, name: %[2]s}
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    volumeHandle: %[1]s.%[2]s
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, pool: %[3]s, staticVolume: "true"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  volumeName: %[1]s.%[2]s
  resources: {requests: {storage: 16Mi}}
`, s.namespace, claim, lab.Pool))
	}
}

// starts makes a pod on a node that has the claim open, and returns when it writes.
func (s *shop) starts(c *lab.Cluster, node *lab.Node, name, claim string) {
	s.Helper()
	s.apply(c, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {kubernetes.io/hostname: %s}
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: none}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}]
`, name, s.namespace, node.Name, claim))
	s.ready(c, name)
	s.grows(claim)
}

func (s *shop) ready(c *lab.Cluster, name string) {
	s.Helper()
	s.eventually("pod "+name+" in "+c.Name, func() error {
		out, err := c.Run(s.Context(), "get", "pod", name, "-n", s.namespace, `-o=jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && string(out) != "True" {
			err = fmt.Errorf("it is not ready: %q", out)
		}
		return err
	})
}

// deletes takes a pod away, and waits until nobody has the claim open.
func (s *shop) deletes(c *lab.Cluster, name, claim string) {
	s.Helper()
	if _, err := c.Run(s.Context(), "delete", "pod", name, "-n", s.namespace); err != nil {
		s.Fatal(err)
	}
	s.free(claim)
}

func (s *shop) watchers(claim string) []ceph.Watcher {
	s.Helper()
	watchers, err := storage.Watchers(s.Context(), s.spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	return watchers
}

func (s *shop) record(claim string) ceph.Record {
	s.Helper()
	image, err := storage.Image(s.Context(), s.spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	record, err := ownership.Read(s.Context(), storage, image)
	if err != nil {
		s.Fatal(err)
	}
	return record
}

// owns waits until the cluster's webhook has written into the record that the image is
// its own, on that node, and by those clients that have it open.
func (s *shop) owns(c *lab.Cluster, node *lab.Node, claim string) {
	s.Helper()
	boot := s.bootID(c, node)
	s.eventually("the record of "+claim+" names "+c.Name, func() error {
		record := s.record(claim)
		var clients []string
		for _, watcher := range s.watchers(claim) {
			clients = append(clients, watcher.Addr)
		}
		if record.State != ceph.Held || record.Owner.Name != c.Name ||
			len(record.Owner.Nodes) != 1 || record.Owner.Nodes[0].BootID != boot || !cmp.Equal(record.Owner.Nodes[0].Addresses, []string{node.Address}) ||
			!cmp.Equal(record.Owner.Instances(), clients) || len(record.Unbound) > 0 {
			return fmt.Errorf("it says %s, %+v", record.State, record.Owner)
		}
		return nil
	})
}

// releases waits until the owner's webhook has given the image up.
func (s *shop) releases(claim string) {
	s.Helper()
	s.eventually("the record of "+claim+" names nobody", func() error {
		if record := s.record(claim); record.State != ceph.Free {
			return fmt.Errorf("it says %s, %+v", record.State, record.Owner)
		}
		return nil
	})
}

// free waits until nobody has the claim open.
func (s *shop) free(claim string) {
	s.Helper()
	s.eventually("nobody has "+claim, func() error {
		if w := s.watchers(claim); len(w) > 0 {
			return fmt.Errorf("watchers %v", w)
		}
		return nil
	})
}

// change overwrites a record.
func (s *shop) change(claim string, transition func(ceph.Record) (ceph.Record, error)) {
	s.Helper()
	image, err := storage.Image(s.Context(), s.spec(claim))
	if err == nil {
		_, err = ownership.Change(s.Context(), storage, image, transition)
	}
	if err != nil {
		s.Fatal(err)
	}
}

func (s *shop) party(c *lab.Cluster) ceph.Party {
	s.Helper()
	out, err := c.Run(s.Context(), "get", "namespace", "kube-system", "-o=jsonpath={.metadata.uid}")
	if err != nil {
		s.Fatal(err)
	}
	return ceph.Party{UID: string(out), Name: c.Name}
}

func (s *shop) bootID(c *lab.Cluster, node *lab.Node) string {
	s.Helper()
	out, err := c.Run(s.Context(), "get", "node", node.Name, "-o=jsonpath={.status.nodeInfo.bootID}")
	if err != nil || len(out) == 0 {
		s.Fatalf("node %s has bootID %q, %v", node.Name, out, err)
	}
	return string(out)
}

func (s *shop) stamps(claim string) stamp.Log {
	s.Helper()
	log, err := servers.Ceph.ReadStamps(s.Context(), s.spec(claim).String())
	if err != nil {
		s.Fatal(err)
	}
	return log
}

// grows waits for new stamps.
func (s *shop) grows(claim string) {
	s.Helper()
	before := s.stamps(claim).Last().Sequence
	s.eventually("new stamps in "+claim, func() error {
		if last := s.stamps(claim).Last().Sequence; last < before+2 {
			return fmt.Errorf("the last one is still %d", last)
		}
		return nil
	})
}

// wrote checks that the clusters wrote one after the other, and each went on from what
// the other left.
func (s *shop) wrote(claim string, want ...string) {
	s.Helper()
	log := s.stamps(claim)
	if err := log.Check(); err != nil {
		s.Error(err)
	}
	var got []string
	for _, run := range log.Runs() {
		if len(got) == 0 || got[len(got)-1] != run.Cluster {
			got = append(got, run.Cluster)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		s.Errorf("writers of %s: %v, want %v", claim, got, want)
	}
}
