package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/test/lab"
)

const (
	// oneWay makes the way to Ceph and back 1 ms.
	oneWay    = time.Millisecond / 2
	rttRounds = 10
	// countRounds is how often operations are counted.
	countRounds = 3
	// rttVolumes are looked at with one command.
	rttVolumes = 100
)

// distances are those at which everything is measured.
var distances = [2]time.Duration{0, oneWay}

// far is a Ceph at a distance, and this program's connection to it.
type far struct {
	way     *lab.Distance
	ceph    *lab.Ceph
	storage ceph.Cluster
}

// roundTrips measures how many times something waits for Ceph: what it takes longer, when
// the way there does.
func roundTrips(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	f := &far{}
	defer func() { err = errors.Join(err, f.stop()) }()
	if err := f.start(ctx, dir, tools); err != nil {
		return err
	}
	works, err := f.works(ctx)
	if err != nil {
		return err
	}
	status, err := f.status(ctx, dir, tools)
	if err != nil {
		return err
	}
	defer status.stop()
	works = append(works, status.work)
	for range countRounds {
		for _, w := range works {
			if err := w.count(ctx, f); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	var contenders []*contender
	for i := range distances {
		for _, w := range works {
			contenders = append(contenders, w.at[i])
		}
	}
	if err := race(ctx, contenders); err != nil {
		return err
	}
	printTrips(out, works)
	return nil
}

func (f *far) start(ctx context.Context, dir string, tools lab.Tools) (err error) {
	if f.way, err = lab.StartDistance(ctx, lab.Options{Dir: filepath.Join(dir, "far"), Tools: tools}); err != nil {
		return err
	}
	if f.ceph, err = lab.StartCeph(ctx, f.way.In(lab.Options{Dir: filepath.Join(dir, "far-ceph"), Tools: tools})); err != nil {
		return err
	}
	if f.storage, err = goceph.Dial(ctx, goceph.Config{ConfFile: f.ceph.ConfFile}); err != nil {
		return err
	}
	return nil
}

func (f *far) stop() error {
	var err error
	if f.storage != nil {
		err = f.storage.Close()
	}
	if f.ceph != nil {
		err = errors.Join(err, f.ceph.Stop())
	}
	if f.way != nil {
		err = errors.Join(err, f.way.Stop())
	}
	return err
}

// work is done at each distance.
type work struct {
	name string
	at   [len(distances)]*contender
	// operations are those that the OSD did for one run.
	operations int
	// counted runs it once, and has what is measured of it done by count.
	counted func(ctx context.Context, count func(func() error) (time.Duration, error)) error
}

func (f *far) work(name string, rounds, perTurn int, once func(context.Context) (time.Duration, error)) *work {
	w := &work{name: name}
	for i, distance := range distances {
		w.at[i] = &contender{name: name, rounds: rounds, perTurn: perTurn, once: func(ctx context.Context) (time.Duration, error) {
			f.way.Set(distance)
			defer f.way.Set(0)
			return once(ctx)
		}}
	}
	w.counted = func(ctx context.Context, count func(func() error) (time.Duration, error)) error {
		_, err := count(func() error { _, err := once(ctx); return err })
		return err
	}
	return w
}

// count finds out how many operations one run is for the OSD. The fewest count, because
// others ask it something too, now and then.
func (w *work) count(ctx context.Context, f *far) error {
	return w.counted(ctx, func(act func() error) (time.Duration, error) {
		done, err := operations(ctx, f.ceph, act)
		if w.operations == 0 || done < w.operations {
			w.operations = done
		}
		return 0, err
	})
}

// works are those of [naming], each of which finds what the one before has left.
func (f *far) works(ctx context.Context) ([]*work, error) {
	for _, cluster := range []ceph.Party{eastern, western} {
		if _, err := f.storage.ClaimKey(ctx, lab.Pool, "", cluster); err != nil {
			return nil, err
		}
	}
	var all []*work
	for _, keyed := range []bool{false, true} {
		b := &bearer{claim: "plain", keyed: keyed, storage: f.storage, noted: noting(f.storage), clock: stopwatch}
		suffix := ""
		if keyed {
			b.claim, suffix = "keyed", ", keyed"
		}
		if err := b.make(ctx); err != nil {
			return nil, fmt.Errorf("make image %s: %w", b.claim, err)
		}
		if !keyed {
			found, err := f.storage.Image(ctx, b.spec)
			if err != nil {
				return nil, err
			}
			all = append(all, f.work(oneOperation, rttRounds, quick, reading(f.storage, found)))
		}
		for _, step := range []struct {
			name string
			once func(*bearer, context.Context) (time.Duration, error)
		}{
			{"a pod again", (*bearer).admit},
			{"a release", (*bearer).release},
			{"a first acquisition", (*bearer).admit},
			{"a pod refused: another cluster's image", (*bearer).refuse},
			{"a failover", (*bearer).takeOver},
		} {
			w := f.work(step.name+suffix, rttRounds, 1, func(ctx context.Context) (time.Duration, error) { return step.once(b, ctx) })
			w.counted = func(ctx context.Context, count func(func() error) (time.Duration, error)) error {
				defer func() { b.clock = stopwatch }()
				b.clock = count
				_, err := step.once(b, ctx)
				return err
			}
			all = append(all, w)
		}
	}
	return all, nil
}

// statusWork is a cluster with volumes, whose owners somebody looks at.
type statusWork struct {
	*work
	cluster *lab.Cluster
}

func (s *statusWork) stop() { _ = s.cluster.Stop() }

func (f *far) status(ctx context.Context, dir string, tools lab.Tools) (_ *statusWork, err error) {
	program, err := tools.Find("kubectl-cephferry")
	if err != nil {
		return nil, err
	}
	s := &statusWork{}
	if s.cluster, err = lab.StartCluster(ctx, lab.West, lab.Options{Dir: filepath.Join(dir, "near"), Tools: tools}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if err := s.cluster.AddRook(ctx, f.ceph, lab.Rook{Config: lab.OperatorConfig}); err != nil {
		return nil, err
	}
	api, err := newClient(s.cluster.Kubeconfig)
	if err != nil {
		return nil, err
	}
	if err := api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, err
	}
	var names []string
	for i := range rttVolumes {
		names = append(names, guardedClaim(i))
	}
	if err := createPairs(ctx, api, f.ceph, tools, dir, names); err != nil {
		return nil, err
	}
	argv := []string{program, "status", "--direct", "-A", "--kubeconfig", s.cluster.Kubeconfig, "--cluster-name", s.cluster.Name, "--ceph-conf", f.ceph.ConfFile}
	var printed strings.Builder
	if err := pipe(ctx, &printed, "", argv...); err != nil {
		return nil, err
	}
	if rows := strings.Count(printed.String(), "\n") - 1; rows != rttVolumes {
		return nil, fmt.Errorf("kubectl cephferry status shows %d of %d volumes:\n%s", rows, rttVolumes, printed.String())
	}
	s.work = f.work(fmt.Sprintf("kubectl cephferry status of %d volumes", rttVolumes), slowRounds, 1, command("", argv...))
	return s, nil
}

// printTrips prints medians at each distance. By how much one RADOS operation takes longer
// is one round trip, whatever the machine adds to it. For that the quickest run of each
// counts, which waited for nothing else.
func printTrips(out io.Writer, works []*work) {
	longer := func(w *work) float64 { return float64(w.at[1].percentile(0) - w.at[0].percentile(0)) }
	var rows [][]string
	for _, w := range works {
		trips := ""
		if longer(w) > 0 {
			trips = fmt.Sprintf("%.1f", longer(w)/longer(works[0]))
		}
		rows = append(rows, []string{
			w.name, milliseconds(w.at[0].median(), 2), milliseconds(w.at[1].median(), 2), trips,
			fmt.Sprint(w.operations), times(w.at[1].median(), works[0].at[1].median()), fmt.Sprint(len(w.at[1].times)),
		})
	}
	table(out, fmt.Sprintf("%v to Ceph and back", 2*oneWay),
		[]string{"", "at 0 ms", "at 1 ms", "round trips", "operations of the OSD", "at 1 ms, times one RADOS operation", "runs"}, rows)
}
