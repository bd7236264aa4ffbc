package main

import (
	"encoding/json"
	"errors"
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
