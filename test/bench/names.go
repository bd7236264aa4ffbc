package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/test/lab"
)

// failovers are few, because each fences other addresses.
const failovers = 10

// naming measures what it costs that an image carries its owner's name. The guard is in this
// program, with its caches in memory, so that nothing is measured but Ceph and what is
// decided.
func naming(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	server, err := lab.StartCeph(ctx, lab.Options{Dir: filepath.Join(dir, "names-ceph"), Tools: tools})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	storage, err := goceph.Dial(ctx, goceph.Config{ConfFile: server.ConfFile})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	for _, cluster := range []ceph.Party{eastern, western} {
		if _, err := storage.ClaimKey(ctx, lab.Pool, "", cluster); err != nil {
			return err
		}
	}
	var both [2]*bearer
	for i, claim := range []string{"plain", "keyed"} {
		both[i] = &bearer{claim: claim, keyed: i == 1, storage: storage, noted: noting(storage), clock: stopwatch}
		if err := both[i].make(ctx); err != nil {
			return fmt.Errorf("make image %s: %w", claim, err)
		}
	}
	found, err := storage.Image(ctx, both[0].spec)
	if err != nil {
		return err
	}
	operation := &contender{name: oneOperation, rounds: turns, perTurn: quick, once: reading(storage, found)}
	// Each finds what the one before has left: the image is west's, then nobody's, then west's.
	again := newWorkload("a pod again", both, turns, slow, (*bearer).admit)
	released := newWorkload("a release", both, 5*turns, 1, (*bearer).release)
	first := newWorkload("a first acquisition", both, 5*turns, 1, (*bearer).admit)
	taken := newWorkload("a failover", both, failovers, 1, (*bearer).takeOver)
	all := []*workload{again, released, first, taken}
	contenders := []*contender{operation}
	for _, w := range all {
		contenders = append(contenders, w.sides[0].contender, w.sides[1].contender)
	}
	if err := duel(ctx, contenders); err != nil {
		return err
	}
	if err := again.constant(); err != nil {
		return err
	}
	printWorkloads(out, operation, all)
	printCalls(out, operation, first)
	printCalls(out, operation, taken)
	return nil
}

// workload is what is done with an image, once with one that is not keyed and once with one
// that is.
type workload struct {
	name  string
	sides [2]*observed
}

// observed is a contender with the calls of Ceph of each of its runs.
type observed struct {
	*contender
	runs [][]call
}

func newWorkload(name string, both [2]*bearer, rounds, perTurn int, once func(*bearer, context.Context) (time.Duration, error)) *workload {
	w := &workload{name: name}
	for i, b := range both {
		s := &observed{}
		s.contender = &contender{name: name + [2]string{"", ", keyed"}[i], rounds: rounds, perTurn: perTurn, once: func(ctx context.Context) (time.Duration, error) {
			b.noted.take()
			elapsed, err := once(b, ctx)
			s.runs = append(s.runs, b.noted.take())
			return elapsed, err
		}}
		w.sides[i] = s
	}
	return w
}

// inCeph is the median of the time that calls of this method, empty for all, took in a run,
// and how many there were in the last one.
func (s *observed) inCeph(method string) (time.Duration, int) {
	of := &contender{}
	count := 0
	for _, run := range s.runs {
		var sum time.Duration
		count = 0
		for _, one := range run {
			if method == "" || one.method == method {
				sum += one.took
				count++
			}
		}
		of.times = append(of.times, sum)
	}
	return of.median(), count
}

// constant is the error if not all runs of both sides made the same calls.
func (w *workload) constant() error {
	want := methods(w.sides[0].runs[0])
	for _, s := range w.sides {
		for _, run := range s.runs {
			if got := methods(run); !slices.Equal(got, want) {
				return fmt.Errorf("%s makes the calls %s, and without a key %s", s.name, strings.Join(got, ", "), strings.Join(want, ", "))
			}
		}
	}
	return nil
}

// printWorkloads prints medians.
func printWorkloads(out io.Writer, operation *contender, all []*workload) {
	rows := [][]string{{operation.name, milliseconds(operation.median(), 2), "", "1.00", "", "1", fmt.Sprint(len(operation.times))}}
	for _, w := range all {
		for i, s := range w.sides {
			inside, count := s.inCeph("")
			beside := ""
			if i == 1 {
				beside = times(s.median(), w.sides[0].median())
			}
			rows = append(rows, []string{
				s.name, milliseconds(s.median(), 2), milliseconds(inside, 2), times(s.median(), operation.median()), beside, fmt.Sprint(count), fmt.Sprint(len(s.times)),
			})
		}
	}
	table(out, "What the owner's name costs", []string{"", "median", "of it in Ceph", "times one RADOS operation", "times without a key", "calls of Ceph", "runs"}, rows)
}

// printCalls prints what the calls of the keyed side take together.
func printCalls(out io.Writer, operation *contender, w *workload) {
	var rows [][]string
	var seen []string
	for _, one := range w.sides[1].runs[len(w.sides[1].runs)-1] {
		if slices.Contains(seen, one.method) {
			continue
		}
		seen = append(seen, one.method)
		keyed, count := w.sides[1].inCeph(one.method)
		_, before := w.sides[0].inCeph(one.method)
		rows = append(rows, []string{one.method, fmt.Sprint(count), fmt.Sprint(before), milliseconds(keyed, 2), times(keyed, operation.median())})
	}
	table(out, w.sides[1].name+": its calls of Ceph", []string{"", "calls", "calls without a key", "median of all, keyed", "times one RADOS operation"}, rows)
}
