package objects_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/objects"
)

// fleet is cluster west, in which clusters are shown, and its Ceph.
type fleet struct {
	*world
	clusters *objects.Clusters
	storage  ceph.Cluster
	ceph     *cephtest.Ceph
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{world: newWorld(t, claimOf("data"), volumeOf("data")), ceph: cephtest.New(cephtest.Pool{Name: "replicapool"})}
	var err error
	f.storage, err = f.ceph.Dial(t.Context(), cephtest.Operator)
	f.must(err)
	f.clusters = &objects.Clusters{
		Client: f.volumes.Client, Finder: f.volumes.Finder, Self: west, Log: logr.Discard(), Now: f.clock,
		Storage: func(context.Context, string) (ceph.Registrar, string, error) { return f.storage, "", nil },
	}
	return f
}

// registers writes the registration of a cluster.
func (f *fleet) registers(cluster ceph.Party, written time.Time, nodes ...string) {
	f.Helper()
	registration, err := f.storage.Registration(f.Context(), "replicapool", "", cluster.UID)
	if err != nil && !errors.Is(err, ceph.ErrRegistrationNotFound) {
		f.Fatal(err)
	}
	registration.Party, registration.Version, registration.Written, registration.Nodes = cluster, "v1", written, nil
	for _, node := range nodes {
		registration.Nodes = append(registration.Nodes, ceph.Node{Name: node, BootID: fmt.Sprint(len(registration.Nodes))})
	}
	_, err = f.storage.PutRegistration(f.Context(), "replicapool", "", registration)
	f.must(err)
}

// shows compares what is shown.
func (f *fleet) shows(want ...string) {
	f.Helper()
	f.must(f.clusters.Pass(f.Context()))
	var list v1alpha1.FerryClusterList
	f.must(f.api.List(f.Context(), &list))
	var got []string
	for _, object := range list.Items {
		is := object.Status
		line := fmt.Sprintf("%s: %s %s, %d nodes %v, owns %d", object.Name, is.Name, is.Version, is.NodeCount, is.Nodes, is.VolumesOwned)
		if is.ThisCluster {
			line += ", this"
		}
		if is.LastSeen != nil {
			line += is.LastSeen.UTC().Format(", 15:04")
		}
		for _, c := range is.Conditions {
			line += fmt.Sprintf(", %s=%s", c.Type, c.Status)
		}
		got = append(got, line)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestClustersAreShownAsTheyAreRegistered(t *testing.T) {
	f := newFleet(t)
	f.shows()
	// A machine that was booted anew stands there twice for a while.
	f.registers(west, noon, "w1", "w2", "w2")
	f.registers(east, noon.Add(-time.Hour), "e1")
	f.requests = nil
	f.shows(
		"east-u-east-0: east v1, 1 nodes [e1], owns 0, 11:00, Readable=True, Seen=False",
		"west-u-west-0: west v1, 2 nodes [w1 w2], owns 0, this, 12:00, Readable=True, Seen=True")
	f.requests = nil
	f.shows(
		"east-u-east-0: east v1, 1 nodes [e1], owns 0, 11:00, Readable=True, Seen=False",
		"west-u-west-0: west v1, 2 nodes [w1 w2], owns 0, this, 12:00, Readable=True, Seen=True")
	f.took("list")

	// East's clock is an hour behind, and east lives. It has got a key, so it has another name.
	_, err := f.storage.ClaimKey(t.Context(), "replicapool", "", east)
	f.must(err)
	f.now = noon.Add(time.Minute)
	f.registers(east, noon.Add(-59*time.Minute), "e1", "e2")
	f.registers(west, noon.Add(time.Minute), "w1")
	f.clusters.Owned(map[string]int{east.UID: 7, "gone": 3})
	f.shows(
		"east: east v1, 2 nodes [e1 e2], owns 7, 11:01, Readable=True, Seen=True",
		"west-u-west-0: west v1, 1 nodes [w1], owns 0, this, 12:01, Readable=True, Seen=True")

	f.now = noon.Add(7 * time.Minute)
	f.registers(west, noon.Add(7*time.Minute), "w1")
	f.shows(
		"east: east v1, 2 nodes [e1 e2], owns 7, 11:01, Readable=True, Seen=False",
		"west-u-west-0: west v1, 1 nodes [w1], owns 0, this, 12:07, Readable=True, Seen=True")

	// What a leader that begins has not counted yet stays.
	f.clusters.Owned(nil)
	f.shows(
		"east: east v1, 2 nodes [e1 e2], owns 7, 11:01, Readable=True, Seen=False",
		"west-u-west-0: west v1, 1 nodes [w1], owns 0, this, 12:07, Readable=True, Seen=True")
}

func TestARegistrationThatCannotBeReadKeepsWhatWasKnown(t *testing.T) {
	f := newFleet(t)
	f.registers(east, noon, "e1")
	f.shows("east-u-east-0: east v1, 1 nodes [e1], owns 0, 12:00, Readable=True, Seen=True")
	_, err := f.storage.ClaimKey(t.Context(), "replicapool", "", east)
	f.must(err)
	f.shows("east: east v1, 1 nodes [e1], owns 0, 12:00, Readable=True, Seen=True")
	f.storage = unreadable{f.storage}
	f.shows("east: east v1, 1 nodes [e1], owns 0, 12:00, Readable=False, Seen=Unknown")
}

// unreadable has registrations of a later version.
type unreadable struct{ ceph.Cluster }

func (u unreadable) Registrations(ctx context.Context, pool, namespace string) ([]ceph.RegistrationOf, error) {
	all, err := u.Cluster.Registrations(ctx, pool, namespace)
	for i := range all {
		all[i] = ceph.RegistrationOf{UID: all[i].UID, Err: ceph.ErrRegistrationUnknown}
	}
	return all, err
}

// TestNoClusterIsForgottenInAnOutage: objects go only if all was looked at.
func TestNoClusterIsForgottenInAnOutage(t *testing.T) {
	f := newFleet(t)
	f.registers(east, noon, "e1")
	east := "east-u-east-0: east v1, 1 nodes [e1], owns 0, 12:00, Readable=True, Seen=True"
	f.shows(east)
	silent := true
	f.ceph.Intercept(func(_ context.Context, _ cephtest.Call, proceed func() error) error {
		if silent {
			return ceph.ErrUnreachable
		}
		return proceed()
	})
	if err := f.clusters.Pass(t.Context()); !errors.Is(err, ceph.ErrUnreachable) {
		t.Errorf("it says %v", err)
	}
	silent = false
	f.shows(east)
	// The last volume in that pool is gone.
	f.must(f.api.Delete(t.Context(), volumeOf("data")))
	f.shows()
}

// TestWhoWasHeardOf: the times are this cluster's, and what an outage hides stays as it was.
func TestWhoWasHeardOf(t *testing.T) {
	f := newFleet(t)
	var heard []map[string]float64
	f.clusters.Heard = func(clusters map[string]float64) { heard = append(heard, clusters) }
	f.registers(east, noon.Add(-time.Hour), "e1")
	f.registers(west, noon, "w1")
	f.must(f.clusters.Pass(t.Context()))
	f.registers(east, noon.Add(-time.Minute), "e1")
	f.must(f.clusters.Pass(t.Context()))
	f.ceph.Intercept(func(context.Context, cephtest.Call, func() error) error { return ceph.ErrUnreachable })
	if err := f.clusters.Pass(t.Context()); !errors.Is(err, ceph.ErrUnreachable) {
		t.Errorf("it says %v", err)
	}
	unix := func(t time.Time) float64 { return float64(t.Unix()) }
	want := []map[string]float64{
		{"east": unix(noon.Add(-time.Hour)), "west": unix(noon)},
		{"east": unix(f.clock()), "west": unix(noon)},
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNamesOfClusters(t *testing.T) {
	for name, c := range map[string]struct {
		key, name string
		isTaken   bool
		want      string
	}{
		"a key":                             {key: "east", name: "anything", want: "east"},
		"a key with a dot":                  {key: "a.b", want: "a.b"},
		"no key":                            {name: "east", want: "east-0123abcd"},
		"a key that another one has":        {key: "east", isTaken: true, want: "east-0123abcd"},
		"a key that is no name":             {key: "Prod_East", want: "prod-east-0123abcd"},
		"a key with a dot that is too much": {key: "a..b", want: "a.b-0123abcd"},
		"a key with a dot at a hyphen":      {key: "east.-eu", want: "east-eu-0123abcd"},
		"nothing that a name can have":      {name: "...", want: "0123abcd"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := objects.ObjectName(c.key, c.name, "0123abcd-9999", c.isTaken); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// One pool that cannot be asked hides nothing that is known by another, and nobody goes because
// of it.
func TestAPoolThatCannotBeAsked(t *testing.T) {
	f := newFleet(t)
	f.registers(east, noon, "e1")
	f.registers(west, noon, "w1")
	seen := "west-u-west-0: west v1, 1 nodes [w1], owns 0, this, 12:00, Readable=True, Seen=True"
	f.shows("east-u-east-0: east v1, 1 nodes [e1], owns 0, 12:00, Readable=True, Seen=True", seen)
	other := volumeOf("other")
	other.Spec.CSI.VolumeAttributes["clusterID"] = "second"
	f.must(f.api.Create(t.Context(), other))
	whole := f.clusters.Storage
	f.clusters.Storage = func(ctx context.Context, clusterID string) (ceph.Registrar, string, error) {
		if clusterID == "second" {
			return nil, "", ceph.ErrUnreachable
		}
		return whole(ctx, clusterID)
	}
	_, err := f.storage.ClaimKey(t.Context(), "replicapool", "", east)
	f.must(err)
	f.registers(west, noon.Add(time.Minute), "w1", "w2")
	if err := f.clusters.Pass(t.Context()); !errors.Is(err, ceph.ErrUnreachable) {
		t.Fatal(err)
	}
	var list v1alpha1.FerryClusterList
	f.must(f.api.List(t.Context(), &list))
	got := map[string]int32{}
	for _, object := range list.Items {
		got[object.Name] = object.Status.NodeCount
	}
	if diff := cmp.Diff(map[string]int32{"east": 1, "east-u-east-0": 1, "west-u-west-0": 2}, got); diff != "" {
		t.Errorf("nodes of the clusters (-want +got):\n%s", diff)
	}
}
