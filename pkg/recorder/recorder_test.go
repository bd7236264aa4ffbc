package recorder_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"

	"github.com/cephferry/cephferry/pkg/recorder"
)

func TestCutting(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"as long as may be":     {strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		"one byte more":         {strings.Repeat("x", 1025), strings.Repeat("x", 1020) + " ..."},
		"with a last line":      {strings.Repeat("x", 1030) + "\n  see  y", strings.Repeat("x", 1011) + " ...\n  see  y"},
		"with a long last line": {"a\n" + strings.Repeat("x", 1025), "a\n" + strings.Repeat("x", 1018) + " ..."},
		"with a percent":        {"90 % of", "90 % of"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := events.NewFakeRecorder(1)
			recorder.Cutting{EventRecorder: fake}.Eventf(&corev1.Pod{}, nil, corev1.EventTypeWarning, "Reason", "Act", "%s", test.text)
			if diff := cmp.Diff("Warning Reason "+test.want, <-fake.Events); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
