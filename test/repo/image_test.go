package repo

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheImageHasWhatMakeIncludes: make reads all of these before it builds anything, and
// .dockerignore leaves out what it does not name.
func TestTheImageHasWhatMakeIncludes(t *testing.T) {
	ignore := strings.Split(read(t, ".dockerignore"), "\n")
	includes := regexp.MustCompile(`(?m)^include (\S+)$`).FindAllStringSubmatch(read(t, "Makefile"), -1)
	if len(includes) == 0 {
		t.Fatal("the Makefile includes nothing")
	}
	for _, include := range includes {
		// The pattern *.mk is about the top folder.
		if path := include[1]; !slices.Contains(ignore, "!"+path) && (strings.Contains(path, "/") || !slices.Contains(ignore, "!*.mk")) {
			t.Errorf(".dockerignore leaves out %s", path)
		}
	}
}

// TestImageArguments: the document has the build arguments that a person gives.
func TestImageArguments(t *testing.T) {
	// The builder sets the first; the second only names a cache.
	own := []string{"TARGETARCH", "HEADERS"}
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^ARG (\w+)`).FindAllStringSubmatch(read(t, "Dockerfile"), -1) {
		if !slices.Contains(own, m[1]) {
			want = append(want, m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\|").FindAllStringSubmatch(read(t, "docs/image.md"), -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		t.Errorf("docs/image.md (-Dockerfile +document):\n%s", diff)
	}
}
