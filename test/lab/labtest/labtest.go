//go:build linux

// Package labtest gives tests the servers of package lab: started in the test's
// own folder, stopped when the test ends. A missing program fails the test with
// a sentence that says how to get it; nothing is ever skipped.
package labtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
)

// Ceph starts a Ceph for t.
func Ceph(t testing.TB) *lab.Ceph { return startCeph(t, options(t.TempDir())) }

// RBD starts a Ceph for t that has RBD only, see [lab.Options].
func RBD(t testing.TB) *lab.Ceph { return startCeph(t, onlyRBD(t.TempDir())) }

// Shared is a Ceph that has RBD only, for those tests of a package that neither stop it, nor count
// what is in it, nor leave in it what Ceph cannot read. It starts for the first of them, and its
// Main stops it.
type Shared struct {
	once sync.Once
	dir  string
	ceph *lab.Ceph
	err  error
}

// Ceph returns it when it runs.
func (s *Shared) Ceph(t testing.TB) *lab.Ceph {
	t.Helper()
	s.once.Do(s.start)
	if s.err != nil {
		t.Fatal(s.err)
	}
	t.Cleanup(func() { showLogs(t, s.ceph) })
	return s.ceph
}

func (s *Shared) start() {
	if s.dir, s.err = os.MkdirTemp("", "shared-ceph-"); s.err == nil {
		s.ceph, s.err = lab.StartCeph(context.Background(), onlyRBD(s.dir))
	}
}

// Main runs the tests of a package that shares a Ceph.
func (s *Shared) Main(m *testing.M) {
	code := m.Run()
	if s.ceph != nil {
		if err := s.ceph.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	_ = os.RemoveAll(s.dir)
	os.Exit(code)
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
	cluster, err := lab.StartCluster(t.Context(), name, options(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, cluster)
	return cluster
}

func options(dir string) lab.Options {
	return lab.Options{Dir: dir, Tools: lab.Tools(os.Getenv(lab.ToolsVariable)), Environ: []string{lab.OneProcessor}}
}

func onlyRBD(dir string) lab.Options {
	o := options(dir)
	o.OnlyRBD = true
	return o
}

type stopper interface {
	Stop() error
	Processes() []*lab.Process
}

// stopAfter stops the servers before the test's folder is removed, and shows
// what they had to say when the test failed.
func stopAfter(t testing.TB, servers stopper) {
	t.Cleanup(func() {
		showLogs(t, servers)
		if err := servers.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func showLogs(t testing.TB, servers stopper) {
	if t.Failed() {
		for _, p := range servers.Processes() {
			t.Logf("%s: %s", p.Name, lab.Tail(p.LogFile))
		}
	}
}
