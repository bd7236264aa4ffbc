package main

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestLogger(t *testing.T) {
	for name, test := range map[string]struct {
		level, format string
		lines         []string
	}{
		"as the chart sets it": {"info", "json", []string{"said", "wrong"}},
		"everything":           {"debug", "json", []string{"detail", "said", "wrong"}},
		"errors only, as text": {"error", "text", []string{"wrong"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			log := newLogger(test.level, test.format, &out)
			log.V(1).Info("detail")
			log.Info("said")
			log.Error(errors.New("cause"), "wrong")
			for _, line := range []string{"detail", "said", "wrong"} {
				want := 0
				for _, l := range test.lines {
					if l == line {
						want = 1
					}
				}
				if got := strings.Count(out.String(), line); got != want {
					t.Errorf("%q is there %d times, want %d:\n%s", line, got, want, out.String())
				}
			}
			first, _, _ := strings.Cut(out.String(), "\n")
			if test.format == "text" {
				first, _, _ = strings.Cut(first, "\t")
				first = `{"ts":"` + first + `"}`
			}
			var line struct {
				TS string `json:"ts"`
			}
			if err := json.Unmarshal([]byte(first), &line); err != nil {
				t.Fatalf("%v: %s", err, first)
			}
			if _, err := time.Parse(time.RFC3339, line.TS); err != nil {
				t.Errorf("the time of %s: %v", first, err)
			}
		})
	}
}

// TestLoggerWithValues: values that a logger gets stand before those of the line, under the
// logger's name, and the stack of an error begins where it was logged. They cost no more than
// their own memory until a line is written.
func TestLoggerWithValues(t *testing.T) {
	var out strings.Builder
	log := newLogger("info", "json", &out).WithName("webhook").WithValues("a", 1)
	log.WithValues("b", "two").WithName("part").Error(errors.New("cause"), "wrong", "c", 3)
	log.WithValues("b", "other").Info("said")
	const had = `,"logger":"webhook.part","msg":"wrong","a":1,"b":"two","c":3,"error":"cause","stacktrace":"github.com/cephferry/cephferry/cmd/webhook.TestLoggerWithValues`
	if !strings.Contains(out.String(), had) {
		t.Errorf("%s is not in\n%s", had, out.String())
	}
	if had := `,"logger":"webhook","msg":"said","a":1,"b":"other"}`; !strings.Contains(out.String(), had) {
		t.Errorf("%s is not in\n%s", had, out.String())
	}

	out.Reset()
	outer := func() { log.WithCallDepth(1).Error(errors.New("cause"), "wrong") }
	outer()
	if had := `"stacktrace":"github.com/cephferry/cephferry/cmd/webhook.TestLoggerWithValues\n`; !strings.Contains(out.String(), had) {
		t.Errorf("%s is not in\n%s", had, out.String())
	}

	const times, most = 1000, 500
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		_ = log.WithValues("object", struct{ Namespace, Name string }{"shop", "data"}).WithValues("id", "5e0c1f3a")
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / times; each > most {
		t.Errorf("a logger with two values takes %d bytes before it has written anything, want at most %d", each, most)
	}
}
