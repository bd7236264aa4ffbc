//go:build lab

package chart

import (
	"fmt"
	"strings"
	"testing"
)

// TestTemplate: whoever has the programs of `make tools` can look at the chart without
// a cluster, and need not say what its version of Kubernetes would be.
func TestTemplate(t *testing.T) {
	for _, helm := range []int{3, 4} {
		t.Run(fmt.Sprint("with Helm ", helm), func(t *testing.T) {
			rendered := newOffline(t).helm(t, helm, "template", "cephferry", chartDir, "--set", "cluster.name=west")
			if want := "kind: ValidatingWebhookConfiguration"; !strings.Contains(rendered, want) {
				t.Errorf("%q is not in:\n%s", want, rendered)
			}
		})
	}
}
