//go:build linux

package labtest

import (
	"cmp"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
)

// LabWithNodes starts a Ceph and the clusters east and west for t, with nodes; two
// in each cluster if nodes doesn't say how many. It needs root.
func LabWithNodes(t testing.TB, nodes lab.Nodes) *lab.Lab {
	t.Helper()
	nodes.PerCluster = cmp.Or(nodes.PerCluster, 2)
	o := options(t.TempDir())
	o.Nodes = nodes
	started, err := lab.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, started)
	return started
}

// CephInNetwork starts a Ceph for t that has RBD only, in a network of its own, which other
// machines can join. It needs root.
func CephInNetwork(t testing.TB) (*lab.Ceph, *lab.Network) {
	t.Helper()
	network, err := lab.StartNetwork(t.Context(), options(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, network)
	return startCeph(t, onlyRBD(t.TempDir()).In(network)), network
}
