package planning

import "testing"

// TestWhenBack: there is always a next step for the day on which the cluster is back.
func TestWhenBack(t *testing.T) {
	for name, test := range map[string]struct {
		only   bool
		fenced []string
		want   string
	}{
		"only these volumes":       {true, nil, "no node has to be rebooted or let in again for this"},
		"machines":                 {false, []string{"e1", "10.0.1.12"}, "reboot e1, 10.0.1.12 and run `kubectl cephferry unfence e1 10.0.1.12` there"},
		"clients, and others' too": {false, nil, "no node has to be let in again for this, and one whose other volumes lost Ceph with these clients has to be rebooted"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := whenBack(test.only, test.fenced); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
