package render

import (
	"os"
	"regexp"
	"testing"
)

// TestHelmVersion: the engine here is that of the Helm that other tests run.
func TestHelmVersion(t *testing.T) {
	find := func(file, pattern string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindSubmatch(data)
		if m == nil {
			t.Fatalf("%s: nothing matches %s", file, pattern)
		}
		return string(m[1])
	}
	equal(t, "Helm", find("../../../versions.mk", `(?m)^HELM3_VERSION\s*:= (\S+)$`), find("go.mod", `helm.sh/helm/v3 (v\S+)`))
}
