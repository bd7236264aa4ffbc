// Package alerts tests the chart's alerts with Prometheus's own engine: when each of them fires,
// and when it does not.
package alerts

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

const file = "../../../charts/cephferry/monitoring/alerts.yaml"

// step is how often the pods are scraped and the rules evaluated.
const step = time.Minute

// load reads the alerts as Prometheus does, which refuses what it cannot evaluate or expand.
func load(t *testing.T) []rulefmt.Rule {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) != 1 {
		t.Fatalf("%s has no group", file)
	}
	return groups.Groups[0].Rules
}

// scraped is a storage with series in the notation of Prometheus' tests, one in each line.
func scraped(t *testing.T, series string) storage.Queryable {
	t.Helper()
	type one struct {
		labels labels.Labels
		series storage.Series
	}
	var all []one
	for line := range strings.Lines(series) {
		name, sequence, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var samples []chunks.Sample
		for i, value := range sequence {
			if !value.Omitted {
				samples = append(samples, sample{int64(i) * step.Milliseconds(), value.Value})
			}
		}
		all = append(all, one{name, storage.NewListSeries(name, samples)})
	}
	find := func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var found []storage.Series
		for _, s := range all {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
				found = append(found, s.series)
			}
		}
		return &set{SeriesSet: storage.EmptySeriesSet(), all: found}
	}
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: find}}
}

// sample is a number at a time.
type sample struct {
	t int64
	f float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.f }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// set are series in a row.
type set struct {
	storage.SeriesSet
	all []storage.Series
	at  int
}

func (s *set) Next() bool         { s.at++; return s.at <= len(s.all) }
func (s *set) At() storage.Series { return s.all[s.at-1] }

// fires returns the summaries of the alerts that fire at that time, when the rule was evaluated
// all the time.
func fires(t *testing.T, rule rulefmt.Rule, series string, at time.Duration) []string {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 100_000, Timeout: time.Minute})
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	pods := scraped(t, series)
	since := map[string]time.Duration{}
	var summaries []string
	for now := time.Duration(0); now <= at; now += step {
		query, err := engine.NewInstantQuery(t.Context(), pods, nil, rule.Expr, time.Unix(0, 0).Add(now))
		if err != nil {
			t.Fatal(err)
		}
		result, err := query.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatal(err)
		}
		active := map[string]time.Duration{}
		for _, sample := range result {
			key := sample.Metric.String()
			active[key] = now
			if before, is := since[key]; is {
				active[key] = before
			}
			if now == at && now-active[key] >= time.Duration(rule.For) {
				summaries = append(summaries, expand(t, rule.Annotations["summary"], sample))
			}
		}
		since = active
		query.Close()
	}
	slices.Sort(summaries)
	return summaries
}

// expand puts labels and value into a text, as Prometheus does when an alert fires.
func expand(t *testing.T, text string, sample promql.Sample) string {
	t.Helper()
	data := template.AlertTemplateData(sample.Metric.Map(), nil, "", sample)
	expanded, err := template.NewTemplateExpander(t.Context(), "{{$labels := .Labels}}{{$value := .Value}}"+text, "summary", data, 0, nil, nil, nil).Expand()
	if err != nil {
		t.Fatal(err)
	}
	return expanded
}
