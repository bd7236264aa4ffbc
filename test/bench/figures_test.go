package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/bench/document"
)

func TestReadOperations(t *testing.T) {
	for name, test := range map[string]struct {
		data  string
		want  int
		fails bool
	}{
		"a counter":            {`{"osd":{"op":36}}`, 36, false},
		"one that is 0":        {`{"osd":{"op":0}}`, 0, false},
		"no such counter":      {`{"osd":{}}`, 0, true},
		"what is no JSON":      {`Error ENOENT`, 0, true},
		"another one's answer": {`{"bluestore":{"op":36}}`, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := readOperations([]byte(test.data)); got != test.want || (err != nil) != test.fails {
				t.Errorf("%d, error %v", got, err)
			}
		})
	}
}

func TestCurves(t *testing.T) {
	var out strings.Builder
	printCurves(&out, []*curve{
		{"calls", inWhole, []float64{10, 50, 100}},
		{"time", inMilliseconds, []float64{0.1, 0.2, 0.25}},
		{"errors", inWhole, []float64{0, 0, 3}},
		{"memory", inMiB, []float64{1 << 20, 2 << 20, 3 << 20}},
	})
	want := []document.Table{{
		Title:  "The leader with ever more idle volumes",
		Header: []string{"", "1000 volumes", "5000 volumes", "10000 volumes", "10000, times 1000"},
		Rows: [][]string{
			{"calls", "10", "50", "100", "10.0"},
			{"time", "100 ms", "200 ms", "250 ms", "2.5"},
			{"errors", "0", "0", "3", ""},
			{"memory", "1 MiB", "2 MiB", "3 MiB", "3.0"},
		},
	}}
	if diff := cmp.Diff(want, document.Tables(out.String())); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// What takes two milliseconds longer, where one operation takes one longer, has waited twice.
func TestTrips(t *testing.T) {
	done := func(name string, operations int, near, far time.Duration) *work {
		return &work{name: name, operations: operations, at: [2]*contender{
			{times: []time.Duration{near, near, 2 * near}}, {times: []time.Duration{far, far, 2 * far}},
		}}
	}
	var out strings.Builder
	printTrips(&out, []*work{
		done(oneOperation, 1, 200*time.Microsecond, 1200*time.Microsecond),
		done("a pod", 4, time.Millisecond, 3*time.Millisecond),
		done("a failover", 10, 70*time.Millisecond, 60*time.Millisecond), // something else decides
	})
	want := []document.Table{{
		Title:  "1ms to Ceph and back",
		Header: []string{"", "at 0 ms", "at 1 ms", "round trips", "operations of the OSD", "at 1 ms, times one RADOS operation", "runs"},
		Rows: [][]string{
			{oneOperation, "0.20 ms", "1.20 ms", "1.0", "1", "1.00", "3"},
			{"a pod", "1.00 ms", "3.00 ms", "2.0", "4", "2.50", "3"},
			{"a failover", "70.00 ms", "60.00 ms", "", "10", "50.00", "3"},
		},
	}}
	if diff := cmp.Diff(want, document.Tables(out.String())); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
