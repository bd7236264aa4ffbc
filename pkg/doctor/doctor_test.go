package doctor_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/doctor"
)

func TestWrite(t *testing.T) {
	findings := []doctor.Finding{
		{State: doctor.OK, Check: "cluster", Says: "Kubernetes v1.36.3"},
		doctor.Skip("ceph", "not with %s", "--create cluster"),
		{State: doctor.Problem, Check: "renderer", Says: "it is not in PATH", Do: "install it"},
	}
	const want = `ok       cluster    Kubernetes v1.36.3
skipped  ceph       not with --create cluster
problem  renderer   it is not in PATH
         do this    install it
`
	var out strings.Builder
	if err := doctor.Write(&out, findings); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for n := range 4 {
		if err := doctor.Write(&fails{after: n}, findings); !errors.Is(err, errFull) {
			t.Errorf("line %d cannot be written: %v", n+1, err)
		}
	}
}

var errFull = errors.New("full")

type fails struct{ after int }

func (f *fails) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestHealthy(t *testing.T) {
	well := []doctor.Finding{{State: doctor.OK}, {State: doctor.Skipped}}
	if !doctor.Healthy(well) {
		t.Error("what is well or skipped is a problem")
	}
	if doctor.Healthy(append(well, doctor.Finding{State: doctor.Problem})) {
		t.Error("a problem is none")
	}
}
