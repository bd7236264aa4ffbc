package repo

import (
	"regexp"
	"slices"
	"strings"
	"testing"
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
