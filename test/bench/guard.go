package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/test/lab"
)

const (
	// clients is how many reviews are asked about at a time.
	clients = 16
	// guarded volumes have images. Further ones have only the objects that
	// Kubernetes has for volumes in use, on nodes.
	guarded = 1000
	further = 10000
	nodes   = 100
	// few is how many volumes are asked about again and again.
	few = 80

	turns    = 20
	quick    = 50 // answers per turn
	slow     = 10
	floods   = 5
	perFlood = 2000

	// fewTurns and fewFloods are for who has two minutes.
	fewTurns  = 5
	fewFloods = 2
)

// The claims of single reviews. Those of the StatefulSets free and busy have
// images, and somebody has the one of busy open.
const (
	free    = "free"
	busy    = "busy"
	dynamic = "dynamic" // has a volume that is not guarded
	waiting = "waiting" // has none yet
)

// site is what the guard is measured with.
type site struct {
	lone
	certificate certificate
	// webhook is bin/webhook, yardstick the one that always allows.
	webhook, yardstick *server
	turns, floods      int
}

// guarding measures the webhook as the API server meets it, without the API
// server in between.
func guarding(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	s := &site{lone: lone{dir: filepath.Join(dir, "guard"), tools: tools}, turns: turns, floods: floods}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return err
	}
	memory := &memoryTable{}
	if err := memory.add(ctx, "just started", s.webhook); err != nil {
		return err
	}
	if err := s.fill(ctx); err != nil {
		return fmt.Errorf("make volumes: %w", err)
	}
	if err := memory.add(ctx, fmt.Sprintf("with %d volumes", guarded), s.webhook); err != nil {
		return err
	}
	stop, err := s.watch(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := s.latency(ctx, out); err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	if err := s.throughput(ctx, out); err != nil {
		return fmt.Errorf("admissions per second: %w", err)
	}
	if err := memory.add(ctx, "after answers about all of them", s.webhook); err != nil {
		return err
	}
	if err := createVolumes(ctx, s.api, further, nodes); err != nil {
		return fmt.Errorf("make volumes: %w", err)
	}
	if err := s.await(ctx, guarded+further); err != nil {
		return err
	}
	if err := memory.add(ctx, fmt.Sprintf("and %d further volumes on %d nodes", further, nodes), s.webhook); err != nil {
		return err
	}
	if err := s.crowded(ctx, out); err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	s.webhook.stop()
	if s.webhook, err = startWebhook(ctx, s.tools, s.cluster, s.certificate, filepath.Join(dir, "webhook.log")); err != nil {
		return err
	}
	if err := s.await(ctx, guarded+further); err != nil {
		return err
	}
	if err := memory.add(ctx, fmt.Sprintf("started anew with %d volumes", guarded+further), s.webhook); err != nil {
		return err
	}
	memory.print(out)
	return nil
}

// admitting measures what admissions cost, with fewer runs.
func admitting(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	s := &site{lone: lone{dir: filepath.Join(dir, "guard"), tools: tools}, turns: fewTurns, floods: fewFloods}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.fill(ctx); err != nil {
		return fmt.Errorf("make volumes: %w", err)
	}
	stop, err := s.watch(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := s.latency(ctx, out); err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	if err := s.throughput(ctx, out); err != nil {
		return fmt.Errorf("admissions per second: %w", err)
	}
	return nil
}

func (s *site) start(ctx context.Context) error {
	err := s.lone.start(ctx)
	if err != nil {
		return err
	}
	if s.certificate, err = makeCertificate(filepath.Join(s.dir, "certificate")); err != nil {
		return err
	}
	if s.webhook, err = startWebhook(ctx, s.tools, s.cluster, s.certificate, filepath.Join(s.dir, "webhook.log")); err != nil {
		return err
	}
	s.yardstick, err = startAlwaysAllow(ctx, s.certificate, filepath.Join(s.dir, "always-allow.log"))
	return err
}

func (s *site) stop() error {
	for _, server := range []*server{s.webhook, s.yardstick} {
		if server != nil {
			server.stop()
		}
	}
	return s.lone.stop()
}

// fill makes what the reviews are about.
func (s *site) fill(ctx context.Context) error {
	if err := s.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	single := []client.Object{
		newStatefulSet(free), newStatefulSet(busy),
		newDynamic(dynamic), newClaim(dynamic, "pvc-"+dynamic), newClaim(waiting, ""),
	}
	if err := create(ctx, s.api, len(single), func(i int) client.Object { return single[i] }); err != nil {
		return err
	}
	names := []string{ordinalClaim(free), ordinalClaim(busy)}
	for i := range guarded {
		names = append(names, guardedClaim(i))
	}
	if err := createPairs(ctx, s.api, s.ceph, s.tools, s.dir, names); err != nil {
		return err
	}
	return s.await(ctx, guarded)
}

func guardedClaim(i int) string { return fmt.Sprintf("data-%d", i) }

func ordinalClaim(statefulSet string) string { return staticpv.ClaimName(template, statefulSet, 0) }

func image(claim string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: lab.Pool, Name: staticpv.ImageName(namespace, claim)}
}

// await returns when the webhook has seen that many volumes: each passes its
// namespace controller once.
func (s *site) await(ctx context.Context, volumes float64) error {
	return s.webhook.await(ctx, func() error {
		series, err := s.webhook.scrape(ctx)
		if err != nil {
			return err
		}
		if seen := sum(series, `controller_runtime_reconcile_total{controller="namespaces"`); seen < volumes {
			return fmt.Errorf("the webhook has seen %.0f of %.0f volumes", seen, volumes)
		}
		return nil
	})
}

// watch has somebody open the image of busy, until stop.
func (s *site) watch(ctx context.Context) (stop func(), err error) {
	rbd, err := exec.LookPath("rbd")
	if err != nil {
		return nil, err
	}
	spec := image(ordinalClaim(busy))
	p, err := startProgram(ctx, filepath.Join(s.dir, "watch.log"), nil, rbd, "-c", s.ceph.ConfFile, "watch", spec.String())
	if err != nil {
		return nil, err
	}
	err = p.await(ctx, func() error {
		watchers, err := s.storage.Watchers(ctx, spec)
		if err == nil && len(watchers) == 0 {
			err = fmt.Errorf("image %s has no watcher", spec)
		}
		return err
	})
	if err != nil {
		p.stop()
		return nil, err
	}
	return p.stop, nil
}

// reviews are those of single claims.
type reviews struct{ dynamic, waiting, freePod, busyPod, freeScale, busyScale review }

func makeReviews() (reviews, error) {
	var r reviews
	for _, pod := range []struct {
		review *review
		claim  string
	}{{&r.dynamic, dynamic}, {&r.waiting, waiting}, {&r.freePod, ordinalClaim(free)}, {&r.busyPod, ordinalClaim(busy)}} {
		made, err := podReview(pod.claim)
		if err != nil {
			return r, err
		}
		*pod.review = made
	}
	var err error
	if r.freeScale, err = scaleReview(free); err != nil {
		return r, err
	}
	if r.busyScale, err = scaleReview(busy); err != nil {
		return r, err
	}
	r.dynamic, r.waiting = r.dynamic.allowed(guard.NothingGuarded), r.waiting.allowed(guard.NothingGuarded)
	r.freePod, r.freeScale = r.freePod.allowed(guard.NoWatcher), r.freeScale.allowed(guard.NoWatcher)
	r.busyPod, r.busyScale = r.busyPod.refused(), r.busyScale.refused()
	return r, nil
}

// latency measures single answers, one after the other.
func (s *site) latency(ctx context.Context, out io.Writer) error {
	r, err := makeReviews()
	if err != nil {
		return err
	}
	operation, err := s.operation(ctx)
	if err != nil {
		return err
	}
	rbd, err := exec.LookPath("rbd")
	if err != nil {
		return err
	}
	contenders := []*contender{
		operation,
		{name: "always-allow handler", once: s.yardstick.asking(r.dynamic.allowed("always")), rounds: s.turns, perTurn: quick},
		s.decision("pod, nothing guarded", r.dynamic, quick),
		s.decision("pod, claim without a volume yet", r.waiting, slow),
		s.decision("pod, image without watcher", r.freePod, quick),
		s.decision("pod, foreign watcher: refused", r.busyPod, slow),
		s.decision("scale, image without watcher", r.freeScale, slow),
		s.decision("scale, foreign watcher: refused", r.busyScale, slow),
		{name: "rbd status as a process", once: command("", rbd, "-c", s.ceph.ConfFile, "status", image(ordinalClaim(free)).String()), rounds: s.turns},
	}
	if err := duel(ctx, contenders); err != nil {
		return err
	}
	latencies(out, fmt.Sprintf("Time of one answer, %d guarded volumes", guarded), operation, contenders)
	return nil
}

// crowded measures what may depend on the number of volumes.
func (s *site) crowded(ctx context.Context, out io.Writer) error {
	r, err := makeReviews()
	if err != nil {
		return err
	}
	operation, err := s.operation(ctx)
	if err != nil {
		return err
	}
	contenders := []*contender{
		operation,
		s.decision("pod, nothing guarded", r.dynamic, quick),
		s.decision("pod, claim without a volume yet", r.waiting, 1),
		s.decision("pod, image without watcher", r.freePod, quick),
		s.decision("pod, foreign watcher: refused", r.busyPod, 1),
	}
	if err := duel(ctx, contenders); err != nil {
		return err
	}
	latencies(out, fmt.Sprintf("Time of one answer, %d guarded volumes, %d of them attached to %d nodes", guarded+further, further, nodes), operation, contenders)
	return nil
}

// operation is the yardstick: reading the record beside an image, which is one
// RADOS operation.
func (s *site) operation(ctx context.Context) (*contender, error) {
	found, err := s.storage.Image(ctx, image(ordinalClaim(free)))
	if err != nil {
		return nil, err
	}
	return &contender{name: oneOperation, rounds: s.turns, perTurn: quick, once: reading(s.storage, found)}, nil
}

const oneOperation = "one RADOS operation"

// reading is a contender's once: the record beside an image is read.
func reading(storage ceph.Cluster, image ceph.Image) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		begin := time.Now()
		_, err := storage.Record(ctx, image)
		return time.Since(begin), err
	}
}

func (s *site) decision(name string, r review, perTurn int) *contender {
	return &contender{name: name, once: s.webhook.asking(r), meter: s.webhook.counters, rounds: s.turns, perTurn: perTurn}
}

// duel is a race after everybody has run once, for connections to be made and
// caches to be filled.
func duel(ctx context.Context, contenders []*contender) error {
	for _, c := range contenders {
		if _, err := c.once(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return race(ctx, contenders)
}

// latencies prints round trips, and of decisions what the server measured itself:
// the mean, and the part of it that was spent in Ceph.
func latencies(out io.Writer, title string, operation *contender, contenders []*contender) {
	var rows [][]string
	for _, c := range contenders {
		row := []string{c.name, milliseconds(c.median(), 2), milliseconds(c.percentile(99), 2), milliseconds(c.mean(), 2), times(c.median(), operation.median()), "", "", "", fmt.Sprint(len(c.times))}
		if n := c.spent.decisions; n > 0 {
			inside := seconds(c.spent.decisionSeconds / n)
			row[5], row[6], row[7] = milliseconds(inside, 2), milliseconds(seconds(c.spent.cephSeconds/n), 2), times(inside, operation.mean())
		}
		rows = append(rows, row)
	}
	table(out, title, []string{"", "p50", "p99", "mean", "p50, times one RADOS operation", "in the handler", "of it in Ceph", "handler, times one RADOS operation", "runs"}, rows)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// throughput measures how many answers the webhook gives when it has no rest.
func (s *site) throughput(ctx context.Context, out io.Writer) error {
	all := make([]review, guarded)
	for i := range all {
		made, err := podReview(guardedClaim(i))
		if err != nil {
			return err
		}
		all[i] = made.allowed(guard.NoWatcher)
	}
	r, err := makeReviews()
	if err != nil {
		return err
	}
	shuffled := func() []review {
		mixed := make([]review, len(all))
		for i, from := range rand.Perm(len(all)) {
			mixed[i] = all[from]
		}
		return mixed
	}
	asked := func(name string, on *server, reviews []review, rounds int) *contender {
		return &contender{name: name, once: on.flooding(reviews), meter: on.counters, rounds: rounds, perTurn: 1}
	}

	first := asked(fmt.Sprintf("%d volumes, each for the first time", guarded), s.webhook, all, 1)
	if err := race(ctx, []*contender{first}); err != nil {
		return err
	}
	again := asked(fmt.Sprintf("%d volumes again, in any order", guarded), s.webhook, shuffled(), 1)
	if err := race(ctx, []*contender{again}); err != nil {
		return err
	}
	yardstick := asked("always-allow handler", s.yardstick, repeat([]review{r.dynamic.allowed("always")}, perFlood), s.floods)
	contenders := []*contender{
		yardstick,
		asked("nothing guarded", s.webhook, repeat([]review{r.dynamic}, perFlood), s.floods),
		asked(fmt.Sprintf("%d volumes", few), s.webhook, repeat(all[:few], perFlood), s.floods),
		{name: fmt.Sprintf("%d volumes, Ceph's part alone", few), once: s.cephAlone, meter: own, rounds: s.floods, perTurn: 1},
	}
	if err := duel(ctx, contenders); err != nil {
		return err
	}

	per := func(c *contender) int {
		if c == first || c == again {
			return guarded
		}
		return perFlood
	}
	rate := func(c *contender) float64 { return float64(per(c)) / c.median().Seconds() }
	cost := func(c *contender) time.Duration {
		return seconds(c.spent.processorSeconds / float64(per(c)*len(c.times)))
	}
	var rows [][]string
	for _, c := range append(contenders, again, first) {
		rows = append(rows, []string{
			c.name, fmt.Sprintf("%.0f", rate(c)), fmt.Sprintf("%.2f", rate(yardstick)/rate(c)),
			milliseconds(cost(c), 2), times(cost(c), cost(yardstick)), fmt.Sprintf("%d of %d", len(c.times), per(c)),
		})
	}
	table(out, fmt.Sprintf("Answers to %d clients at a time", clients),
		[]string{"pods", "answers per second", "always-allow is faster by", "processor time per answer", "times always-allow", "runs"}, rows)
	return nil
}

// cephAlone is a contender's once: what as many answers about few volumes ask of Ceph, by a
// connection of this program and without the answers. Of one image, everything is done in turn, as
// the guard does.
func (s *site) cephAlone(ctx context.Context) (time.Duration, error) {
	inTurn := make([]sync.Mutex, few)
	return flood(ctx, perFlood, func(ctx context.Context, i int) error {
		i %= few
		inTurn[i].Lock()
		defer inTurn[i].Unlock()
		for {
			look, err := s.storage.Look(ctx, image(guardedClaim(i)))
			if err == nil {
				_, err = s.storage.PutRecord(ctx, look.Image, look.Record)
			}
			if !errors.Is(err, ceph.ErrRecordChanged) { // by the leader
				return err
			}
		}
	})
}

// own is a contender's meter: what this program has spent.
func own(context.Context) (counters, error) {
	cpu, err := cpuOf(os.Getpid())
	return counters{processorSeconds: cpu.Seconds()}, err
}

// repeat is n reviews, those given again and again.
func repeat(reviews []review, n int) []review {
	repeated := make([]review, n)
	for i := range repeated {
		repeated[i] = reviews[i%len(reviews)]
	}
	return repeated
}

// memoryTable collects what a webhook needs.
type memoryTable struct{ rows [][]string }

func (m *memoryTable) add(ctx context.Context, when string, s *server) error {
	series, err := s.scrape(ctx)
	if err != nil {
		return err
	}
	row := []string{when}
	for _, field := range []string{"VmRSS", "VmHWM"} {
		bytes, err := s.memory(field)
		if err != nil {
			return err
		}
		row = append(row, fmt.Sprintf("%d MiB", bytes>>20))
	}
	row = append(row, fmt.Sprintf("%.0f MiB", series["go_memstats_heap_inuse_bytes"]/(1<<20)), fmt.Sprintf("%.0f", series["go_goroutines"]))
	m.rows = append(m.rows, row)
	return nil
}

func (m *memoryTable) print(out io.Writer) {
	table(out, "Memory of the webhook", []string{"", "resident", "its peak", "Go heap", "goroutines"}, m.rows)
}
