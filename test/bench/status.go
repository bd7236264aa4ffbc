package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/test/lab"
)

const (
	statusVolumes  = 200
	statusRounds   = 10
	failoverRounds = 3
	// manyLost is how many volumes one command takes.
	manyLost = 100
)

// growths are how many images with records there are, for the curves.
var growths = []int{1000, 5000, 10000}

// telling measures what a person waits for: the plugin's status of all volumes, and a failover
// of one and of many with one command.
func telling(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	f, err := startFleet(ctx, filepath.Join(dir, "status"), tools)
	defer func() { err = errors.Join(err, f.stop()) }()
	if err != nil {
		return err
	}
	if err := f.grow(ctx, statusVolumes); err != nil {
		return err
	}
	if err := f.openImages(statusVolumes); err != nil {
		return err
	}
	started, yardstick, status, err := f.looks(statusRounds)
	if err != nil {
		return err
	}
	if err := race(ctx, []*contender{started, yardstick, status}); err != nil {
		return err
	}
	if err := f.closeImages(); err != nil {
		return err
	}
	one, many, err := f.takes(ctx, failoverRounds)
	if err != nil {
		return err
	}
	medians(out, fmt.Sprintf("What a person waits for, with %d volumes", statusVolumes), yardstick, []*contender{started, yardstick, status, one, many})
	return nil
}

// growing measures the same with ever more volumes.
func growing(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	f, err := startFleet(ctx, filepath.Join(dir, "growth"), tools)
	defer func() { err = errors.Join(err, f.stop()) }()
	if err != nil {
		return err
	}
	var rows [][]string
	for _, n := range growths {
		if err := f.grow(ctx, n); err != nil {
			return err
		}
		_, yardstick, status, err := f.looks(failoverRounds)
		if err != nil {
			return err
		}
		survey := &contender{name: "survey", rounds: failoverRounds, once: f.survey}
		if err := race(ctx, []*contender{yardstick, status, survey}); err != nil {
			return err
		}
		one, many, err := f.takes(ctx, failoverRounds)
		if err != nil {
			return err
		}
		row := []string{fmt.Sprint(n)}
		for _, c := range []*contender{yardstick, survey, status, one, many} {
			row = append(row, fmt.Sprintf("%s (%s)", milliseconds(c.median(), 0), times(c.median(), yardstick.median())))
		}
		rows = append(rows, row)
	}
	table(out, "Ever more volumes; in brackets, times kubectl get of the same", []string{
		"volumes", "kubectl get pv,pvc -A", "survey of the records", "status of all", "failover of one", fmt.Sprintf("failover of %d", manyLost),
	}, rows)
	return nil
}

// looks are the start of the plugin, the yardstick, and the status of all volumes.
func (f *fleet) looks(rounds int) (started, yardstick, status *contender, err error) {
	kubectl, err := f.tools.Find("kubectl")
	if err != nil {
		return nil, nil, nil, err
	}
	version, err := f.plugin("--version")
	if err != nil {
		return nil, nil, nil, err
	}
	all, err := f.plugin("status", "-A")
	if err != nil {
		return nil, nil, nil, err
	}
	started = &contender{name: "kubectl-cephferry --version", rounds: rounds, once: command("", version...)}
	yardstick = &contender{name: "kubectl get pv,pvc -A", rounds: rounds, once: command("", kubectl, "--kubeconfig", f.cluster.Kubeconfig, "get", "pv,pvc", "-A")}
	status = &contender{name: "kubectl cephferry status -A", rounds: rounds, once: func(ctx context.Context) (time.Duration, error) {
		var shown bytes.Buffer
		begin := time.Now()
		err := pipe(ctx, &shown, "", all...)
		elapsed := time.Since(begin)
		held, open := bytes.Count(shown.Bytes(), []byte("held")), bytes.Count(shown.Bytes(), []byte("1 ours"))
		if err == nil && (held != f.volumes || open != len(f.opened)) {
			err = fmt.Errorf("%d volumes are held, and %d open; want %d and %d", held, open, f.volumes, len(f.opened))
		}
		return elapsed, err
	}}
	return started, yardstick, status, nil
}

// takes measures failovers. What was taken is lost again before the next one.
func (f *fleet) takes(ctx context.Context, rounds int) (one, many *contender, err error) {
	taking := func(name string, n int) *contender {
		return &contender{name: name, rounds: rounds, once: func(ctx context.Context) (time.Duration, error) {
			if err := f.lose(ctx, n); err != nil {
				return 0, fmt.Errorf("lose %d images: %w", n, err)
			}
			argv, err := f.failover(n)
			if err != nil {
				return 0, err
			}
			return command("", argv...)(ctx)
		}}
	}
	one, many = taking("failover of one", 1), taking(fmt.Sprintf("failover of %d with one command", manyLost), manyLost)
	return one, many, race(ctx, []*contender{one, many})
}

func (f *fleet) survey(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	records, err := failover.Records(ctx, f.storage, []failover.Space{{Pool: lab.Pool}})
	elapsed := time.Since(begin)
	if err == nil && len(records) != f.volumes {
		err = fmt.Errorf("%d records; want %d", len(records), f.volumes)
	}
	return elapsed, err
}
