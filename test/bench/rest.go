package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/guard"
)

const (
	// steadily is for how long a webhook is watched that has nothing to do.
	steadily = time.Minute
	// quietLimit bounds the wait for that; what never rests is measured all the same.
	quietLimit = 2 * time.Minute
	// quietFor is for how long it has to have done nothing.
	quietFor = 2 * time.Second
)

// webhook measures the leader: its start, and what it does while nothing happens.
func (g *growth) webhook(ctx context.Context) error {
	// With a namespace it is elected. Each has one of its own: the one before was killed, and
	// has its lease yet.
	election := fmt.Sprintf("election-%d", g.made)
	if err := g.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: election}}); err != nil {
		return err
	}
	begin := time.Now()
	s, err := startWebhook(ctx, g.tools, g.cluster, g.certificate, filepath.Join(g.dir, "growth-webhook.log"), "POD_NAMESPACE="+election)
	if err != nil {
		return err
	}
	defer s.stop()
	g.add("start until it is ready", time.Since(begin).Seconds(), inMilliseconds)
	if err := s.await(ctx, func() error { return isLeader(ctx, s) }); err != nil {
		return err
	}
	g.add("start until it leads", time.Since(begin).Seconds(), inMilliseconds)
	rested, err := s.rests(ctx)
	if err != nil {
		return err
	}
	g.add("start until it has nothing to do", rested.Sub(begin).Seconds(), inMilliseconds)
	shown, err := g.shown(ctx)
	if err != nil {
		return err
	}
	g.add("start until all new volumes are shown", shown.Sub(begin).Seconds(), inMilliseconds)
	if err := g.minute(ctx, s); err != nil {
		return err
	}
	for _, field := range []struct{ name, of string }{{"resident memory", "VmRSS"}, {"its peak", "VmHWM"}} {
		bytes, err := s.memory(field.of)
		if err != nil {
			return err
		}
		g.add(field.name, float64(bytes), inMiB)
	}
	return g.answers(ctx, s)
}

// answers measures those that rest on the API server, while the leader has nothing to do.
func (g *growth) answers(ctx context.Context, s *server) error {
	asked, err := podReview(waiting)
	if err != nil {
		return err
	}
	answer := &contender{name: "pod, claim without a volume yet", once: s.asking(asked.allowed(guard.NothingGuarded)), rounds: turns, perTurn: slow}
	if _, err := answer.once(ctx); err != nil { // for connections to be made
		return fmt.Errorf("%s: %w", answer.name, err)
	}
	before, err := s.scrape(ctx)
	if err != nil {
		return err
	}
	if err := race(ctx, []*contender{answer}); err != nil {
		return err
	}
	after, err := s.scrape(ctx)
	if err != nil {
		return err
	}
	g.add(answer.name, answer.median().Seconds(), inHundredths)
	g.add("requests to the API server for that", (requests(after)-requests(before))/float64(len(answer.times)), inWhole)
	return nil
}

// requests are all to the API server.
func requests(series map[string]float64) float64 { return sum(series, "rest_client_requests_total{") }

// shownLimit is for as many new volumes as there are, at the rate of what is shown.
const shownLimit = 15 * time.Minute

// shown waits until each volume has its MigratableVolume, and returns when that was. One is
// patched after it was made, and nothing is heard of it then.
func (g *growth) shown(ctx context.Context) (time.Time, error) {
	for limit := time.Now().Add(shownLimit); ; {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MigratableVolumeList"))
		if err := g.api.List(ctx, &list, client.Limit(1)); err != nil {
			return time.Time{}, err
		}
		all := len(list.Items)
		if list.RemainingItemCount != nil {
			all += int(*list.RemainingItemCount)
		}
		if all == g.made {
			return time.Now(), nil
		}
		if time.Now().After(limit) {
			return time.Time{}, fmt.Errorf("%d of %d volumes are shown after %s", all, g.made, shownLimit)
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func isLeader(ctx context.Context, s *server) error {
	series, err := s.scrape(ctx)
	if err == nil && sum(series, "leader_election_master_status{") == 0 {
		err = errors.New("the webhook does not lead")
	}
	return err
}

// rests waits until no controller has anything to do, and returns since when.
func (s *server) rests(ctx context.Context) (time.Time, error) {
	limit := time.Now().Add(quietLimit)
	since, done := time.Now(), -1.0
	for {
		series, err := s.scrape(ctx)
		if err != nil {
			return since, err
		}
		now := sum(series, "controller_runtime_reconcile_total{")
		if now != done || sum(series, "workqueue_depth{")+sum(series, "controller_runtime_active_workers{") > 0 {
			since, done = time.Now(), now
		}
		if time.Since(since) > quietFor || time.Now().After(limit) {
			return since, nil
		}
		select {
		case <-ctx.Done():
			return since, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// minute adds what the webhook does in a minute.
func (g *growth) minute(ctx context.Context, s *server) error {
	read := func() (api, calls, processor float64, err error) {
		series, err := s.scrape(ctx)
		if err != nil {
			return 0, 0, 0, err
		}
		used, err := s.cpu()
		return requests(series), sum(series, "cephferry_ceph_call_seconds_count{"), used.Seconds(), err
	}
	api, calls, processor, err := read()
	if err != nil {
		return err
	}
	done, err := operations(ctx, g.ceph, func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(steadily):
			return nil
		}
	})
	if err != nil {
		return err
	}
	apiAfter, callsAfter, processorAfter, err := read()
	g.add("requests to the API server in a minute of rest", apiAfter-api, inWhole)
	g.add("calls of Ceph in a minute of rest", callsAfter-calls, inWhole)
	g.add("operations of the OSD in that minute", float64(done), inWhole)
	g.add("processor time in a minute of rest", processorAfter-processor, inMilliseconds)
	return err
}
