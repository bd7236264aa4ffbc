//go:build linux

// Package labtest gives tests the servers of package lab: started in the test's
// own folder, stopped when the test ends. A missing program fails the test with
// a sentence that says how to get it; nothing is ever skipped.
package labtest

import (
	"os"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
)

// Ceph starts a Ceph for t.
func Ceph(t testing.TB) *lab.Ceph { return startCeph(t, options(t)) }

// RBD starts a Ceph for t that has RBD only, see [lab.Options].
func RBD(t testing.TB) *lab.Ceph {
	o := options(t)
	o.OnlyRBD = true
	return startCeph(t, o)
}

func startCeph(t testing.TB, o lab.Options) *lab.Ceph {
	t.Helper()
	ceph, err := lab.StartCeph(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, ceph)
	return ceph
}

// Cluster starts a control plane named name for t, without the objects of Rook
// (see [lab.Cluster.AddRook]).
func Cluster(t testing.TB, name string) *lab.Cluster {
	t.Helper()
	cluster, err := lab.StartCluster(t.Context(), name, options(t))
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, cluster)
	return cluster
}

// Lab starts a Ceph and the clusters east and west for t.
func Lab(t testing.TB) *lab.Lab {
	t.Helper()
	started, err := lab.Start(t.Context(), options(t))
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, started)
	return started
}

func options(t testing.TB) lab.Options {
	return lab.Options{Dir: t.TempDir(), Tools: lab.Tools(os.Getenv(lab.ToolsVariable)), Environ: []string{lab.OneProcessor}}
}

type stopper interface {
	Stop() error
	Processes() []*lab.Process
}

// stopAfter stops the servers before the test's folder is removed, and shows
// what they had to say when the test failed.
func stopAfter(t testing.TB, servers stopper) {
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range servers.Processes() {
				t.Logf("%s: %s", p.Name, lab.Tail(p.LogFile))
			}
		}
		if err := servers.Stop(); err != nil {
			t.Error(err)
		}
	})
}
