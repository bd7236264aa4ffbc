package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/test/lab"
)

const (
	// imageWriters is how many images are made at a time.
	imageWriters = 8
	// pvPage is how many volumes a page of a list has.
	pvPage     = 500
	growthRuns = 3
)

// sizes are the numbers of images at which everything is measured.
var sizes = []int{1000, 5000, 10000}

// growth is a cluster that gets more and more idle volumes.
type growth struct {
	lone
	self        ceph.Party
	certificate certificate
	// made is how many volumes there are.
	made   int
	curves []*curve
}

// leading measures what the leader costs the more volumes there are.
func leading(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	g := &growth{lone: lone{dir: filepath.Join(dir, "leader"), tools: tools}}
	defer func() { err = errors.Join(err, g.stop()) }()
	if err := g.start(ctx); err != nil {
		return err
	}
	for _, size := range sizes {
		if err := g.grow(ctx, size); err != nil {
			return fmt.Errorf("make volumes: %w", err)
		}
		for _, measure := range []func(context.Context) error{g.lists, g.webhook} {
			if err := measure(ctx); err != nil {
				return fmt.Errorf("%d volumes: %w", size, err)
			}
		}
	}
	printCurves(out, g.curves)
	return nil
}

func (g *growth) start(ctx context.Context) error {
	err := g.lone.start(ctx)
	if err != nil {
		return err
	}
	if err := g.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	if err := g.api.Create(ctx, newClaim(waiting, "")); err != nil {
		return err
	}
	if g.self, err = usage.Party(ctx, g.api, g.cluster.Name); err != nil {
		return err
	}
	if _, err := g.storage.ClaimKey(ctx, lab.Pool, "", g.self); err != nil {
		return err
	}
	g.certificate, err = makeCertificate(filepath.Join(g.dir, "certificate"))
	return err
}

// grow makes volumes until there are that many, keyed and bound, with free images.
func (g *growth) grow(ctx context.Context, size int) error {
	group, making := errgroup.WithContext(ctx)
	group.SetLimit(imageWriters)
	for i := g.made; i < size; i++ {
		group.Go(func() error { return g.volume(making, guardedClaim(i)) })
	}
	g.made = size
	return group.Wait()
}

func (g *growth) volume(ctx context.Context, name string) error {
	made, err := g.storage.CreateImage(ctx, keyedImage(name), keyedLayout())
	if err != nil {
		return err
	}
	record := ceph.Record{State: ceph.Free, ClaimSize: 1 << 30, Exclusive: true, Keyed: true, Private: true}
	if _, err := g.storage.PutRecord(ctx, made, record); err != nil {
		return err
	}
	pv := keyedVolume(name)
	pvc := newClaim(name, pv.Name)
	// As the binder leaves them.
	if err := g.api.Create(ctx, pvc); err != nil {
		return err
	}
	pv.Spec.ClaimRef.UID = pvc.UID
	if err := g.api.Create(ctx, pv); err != nil {
		return err
	}
	pv.Status.Phase, pvc.Status.Phase = corev1.VolumeBound, corev1.ClaimBound
	pvc.Status.AccessModes, pvc.Status.Capacity = pvc.Spec.AccessModes, pvc.Spec.Resources.Requests
	return errors.Join(g.api.Status().Update(ctx, pv), g.api.Status().Update(ctx, pvc))
}

// lists measures the yardstick, reading all volumes.
func (g *growth) lists(ctx context.Context) error {
	yardstick := &contender{name: listName, rounds: growthRuns, once: func(ctx context.Context) (time.Duration, error) {
		return stopwatch(func() error { return g.list(ctx) })
	}}
	if err := duel(ctx, []*contender{yardstick}); err != nil {
		return err
	}
	g.add(yardstick.name, yardstick.median().Seconds(), inMilliseconds)
	return nil
}

const listName = "list of all PersistentVolumes, by pages"

func (g *growth) list(ctx context.Context) error {
	seen := 0
	var page corev1.PersistentVolumeList
	for {
		if err := g.api.List(ctx, &page, client.Limit(pvPage), client.Continue(page.Continue)); err != nil {
			return err
		}
		if seen += len(page.Items); page.Continue == "" {
			break
		}
	}
	if seen != g.made {
		return fmt.Errorf("there are %d of %d PersistentVolumes", seen, g.made)
	}
	return nil
}

// curve is something at all sizes.
type curve struct {
	name   string
	format func(float64) string
	values []float64
}

func inWhole(v float64) string { return fmt.Sprintf("%.0f", v) }

func inHundredths(v float64) string { return milliseconds(seconds(v), 2) }

func inMilliseconds(v float64) string { return milliseconds(seconds(v), 0) }

func inMiB(v float64) string { return fmt.Sprintf("%.0f MiB", v/(1<<20)) }

func (g *growth) add(name string, value float64, format func(float64) string) {
	i := slices.IndexFunc(g.curves, func(c *curve) bool { return c.name == name })
	if i < 0 {
		i = len(g.curves)
		g.curves = append(g.curves, &curve{name: name, format: format})
	}
	g.curves[i].values = append(g.curves[i].values, value)
}

// printCurves prints a curve in each row. The last column says how much more it is with the
// most images than with the fewest.
func printCurves(out io.Writer, curves []*curve) {
	header := []string{""}
	for _, size := range sizes {
		header = append(header, fmt.Sprintf("%d volumes", size))
	}
	most := len(sizes) - 1
	header = append(header, fmt.Sprintf("%d, times %d", sizes[most], sizes[0]))
	var rows [][]string
	for _, c := range curves {
		row := []string{c.name}
		for _, v := range c.values {
			row = append(row, c.format(v))
		}
		more := ""
		if c.values[0] > 0 {
			more = fmt.Sprintf("%.1f", c.values[most]/c.values[0])
		}
		rows = append(rows, append(row, more))
	}
	table(out, "The leader with ever more idle volumes", header, rows)
}
