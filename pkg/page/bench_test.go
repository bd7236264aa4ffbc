package page

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// BenchmarkTenThousand measures what docs/page.md says of 10,000 volumes: an answer while the
// table is made anew, and its size.
func BenchmarkTenThousand(b *testing.B) {
	for name, path := range map[string]string{"overview": "/api/overview", "volumes": "/api/volumes", "search": "/api/volumes?q=team-117+app-3&sort=since"} {
		b.Run(name, func(b *testing.B) {
			o := many(10_000)
			now := noon
			look := &Look{New: o.newCache, Probe: func(context.Context) error { return nil }, AfterFunc: (&clock{}).AfterFunc, Now: func() time.Time {
				now = now.Add(fresh) // each answer from a table of its own
				return now
			}}
			defer look.Close()
			p := &Page{Cluster: "west", Identify: users{"": {"*"}}.identify, Look: look, API: o, Log: logr.Discard()}
			request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
			request.Header.Set("Accept-Encoding", "gzip")
			size := 0
			for b.Loop() {
				recorder := httptest.NewRecorder()
				p.ServeHTTP(recorder, request)
				if recorder.Code != http.StatusOK {
					b.Fatal(recorder.Body)
				}
				size = recorder.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes/answer")
		})
	}
}

// BenchmarkMemory measures what the volumes take in memory, as the cache keeps them and as
// the table has them.
func BenchmarkMemory(b *testing.B) {
	used := func() float64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return float64(stats.HeapAlloc)
	}
	for b.Loop() {
		before := used()
		o := many(10_000)
		for i := range o.volumes {
			reduceVolume(&o.volumes[i])
		}
		kept := used()
		rows := make([]row, len(o.volumes))
		for i := range o.volumes {
			rows[i] = newRow(&o.volumes[i])
		}
		b.ReportMetric((kept-before)/1e6, "MB-cache")
		b.ReportMetric((used()-kept)/1e6, "MB-table")
		runtime.KeepAlive(rows)
		runtime.KeepAlive(o)
	}
}
