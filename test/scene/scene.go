//go:build lab

package scene

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

const chart = "../../charts/cephferry"

// Setup says what the tests of a package share.
type Setup struct {
	// Name is the package's, for its folder and its messages.
	Name string
	// Nodes and Rook are the lab's.
	Nodes lab.Nodes
	Rook  map[string]lab.Rook
	// Programs are found before anything starts, see [Scene.Programs].
	Programs []string
	// Values are for the chart, by cluster. A cluster that is not in it has no webhook.
	Values map[string]string
	// Prepare, unless nil, is for a cluster before its webhook starts.
	Prepare func(context.Context, *Cluster) error
	// Parallel is how many tests run at a time; 0 is as many as Go takes by itself.
	// Tests wait much more than they work.
	Parallel int
	// Denied are parts of the lines that a webhook may write because of a right that
	// it lacks on purpose.
	Denied []string
}

// Scene is what the tests of a package share.
type Scene struct {
	*lab.Lab
	Storage    *Storage
	East, West *Cluster
	// Programs are paths, by name.
	Programs map[string]string
	// Dir is a folder for the package's tests; Home, in it, keeps what programs cache.
	Dir, Home string

	setup Setup
	shops atomic.Int32
}

// Main starts the servers, hands them to begin, runs the tests, and ends the process.
func Main(m *testing.M, setup Setup, begin func(*Scene) error) {
	code, err := run(m, setup, begin)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", setup.Name, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, setup Setup, begin func(*Scene) error) (code int, err error) {
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	s := &Scene{setup: setup, Programs: map[string]string{}}
	for _, name := range setup.Programs {
		if s.Programs[name], err = tools.Find(name); err != nil {
			return 0, err
		}
	}
	if s.Dir, err = os.MkdirTemp("", setup.Name+"-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }()
	s.Home = filepath.Join(s.Dir, "home")

	ctx := context.Background()
	if s.Lab, err = lab.Start(ctx, lab.Options{
		Dir: filepath.Join(s.Dir, "lab"), Tools: tools, Environ: []string{lab.OneProcessor}, Nodes: setup.Nodes, Rook: setup.Rook,
	}); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	s.Storage = Open(s.Ceph)
	defer func() { err = errors.Join(err, s.Storage.Close()) }()
	if s.East, err = s.prepare(ctx, s.Lab.East); err != nil {
		return 0, err
	}
	if s.West, err = s.prepare(ctx, s.Lab.West); err != nil {
		return 0, err
	}
	guarded := slices.DeleteFunc([]*Cluster{s.East, s.West}, func(c *Cluster) bool { _, ok := setup.Values[c.Name]; return !ok })
	defer func() { err = errors.Join(err, end(guarded)) }()
	if err := s.guard(ctx, s.Ceph, s.Dir, setup.Values, guarded...); err != nil {
		return 0, err
	}
	if err := begin(s); err != nil {
		return 0, err
	}
	flag.Parse()
	if setup.Parallel > 0 {
		if err := flag.Set("test.parallel", fmt.Sprint(setup.Parallel)); err != nil {
			return 0, err
		}
	}
	code = m.Run()
	for _, c := range guarded {
		if code != 0 {
			fmt.Fprintf(os.Stderr, "the webhook in %s: %s\n", c.Name, lab.Tail(c.Webhook.LogFile))
		}
		err = errors.Join(err, c.Webhook.MayDoAll(setup.Denied...))
	}
	return code, err
}

// prepare makes what tests have in a cluster besides a webhook.
func (s *Scene) prepare(ctx context.Context, started *lab.Cluster) (*Cluster, error) {
	c, err := Connect(started)
	if err == nil && s.setup.Prepare != nil {
		err = s.setup.Prepare(ctx, c)
	}
	return c, err
}

// guard starts the clusters' webhooks, side by side.
func (s *Scene) guard(ctx context.Context, storage *lab.Ceph, dir string, values map[string]string, clusters ...*Cluster) error {
	var group errgroup.Group
	for _, c := range clusters {
		group.Go(func() (err error) {
			c.Webhook, err = webhook.Start(ctx, webhook.Options{
				Ceph: storage, Cluster: c.Cluster, Dir: filepath.Join(dir, "webhook-"+c.Name), Chart: chart, Values: values[c.Name],
				Helm: s.Programs["helm"], Webhook: s.Programs["webhook"], Home: s.Home,
			})
			if err != nil {
				return fmt.Errorf("start the webhook in %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// end ends the webhooks that were started.
func end(clusters []*Cluster) (err error) {
	for _, c := range clusters {
		if c.Webhook != nil {
			err = errors.Join(err, c.Webhook.Kill())
		}
	}
	return err
}

// Guarded makes clusters of a lab that is one test's, with a webhook in each.
func (s *Scene) Guarded(t *testing.T, servers *lab.Lab, values string) (east, west *Cluster) {
	t.Helper()
	var clusters []*Cluster
	t.Cleanup(func() {
		if err := end(clusters); err != nil {
			t.Error(err)
		}
	})
	for _, started := range []*lab.Cluster{servers.East, servers.West} {
		c, err := s.prepare(t.Context(), started)
		if err != nil {
			t.Fatal(err)
		}
		clusters = append(clusters, c)
	}
	if err := s.guard(t.Context(), servers.Ceph, t.TempDir(), map[string]string{lab.East: values, lab.West: values}, clusters...); err != nil {
		t.Fatal(err)
	}
	return clusters[0], clusters[1]
}
