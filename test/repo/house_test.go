package repo

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWorkflowsCallMake: what CI runs can be run by anybody at home, so a step is an action or
// a make target. An action's tag can be moved to other code, its hash cannot.
func TestWorkflowsCallMake(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d workflows, %v", len(files), err)
	}
	// What a bare machine needs before make is there.
	preparation := []string{"apt-get ", "git config "}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\s*-?\s*uses: (.*)$`).FindAllStringSubmatch(string(data), -1) {
			if !regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`).MatchString(m[1]) {
				t.Errorf("%s: %q is not pinned by its hash, with its version", filepath.Base(file), m[1])
			}
		}
		runs := regexp.MustCompile(`(?m)^\s*-?\s*run: (.*)$`).FindAllStringSubmatch(string(data), -1)
		made := 0
		for _, m := range runs {
			prepares := false
			for _, prefix := range preparation {
				prepares = prepares || strings.HasPrefix(m[1], prefix)
			}
			switch {
			case strings.HasPrefix(m[1], "make "):
				made++
			case !prepares:
				t.Errorf("%s: %q is not a make target", filepath.Base(file), m[1])
			}
		}
		if made == 0 {
			t.Errorf("%s makes nothing", filepath.Base(file))
		}
	}
}

// TestPartsOfCI: what CI runs is run by make ci too, but for Debian 13's root and programs of others,
// and documents name the same parts, because a check that nobody knows of is not run before a change is sent.
func TestPartsOfCI(t *testing.T) {
	parts := strings.Fields(submatch(t, read(t, "Makefile"), `(?m)^PARTS += (.*)$`))
	want := slices.Concat([]string{"test"}, parts, []string{"test-reef", "test-neighbours"})
	jobs := strings.Split(submatch(t, read(t, ".github/workflows/ci.yaml"), `(?m)^ +target: \[(.*)\]$`), ", ")
	if diff := cmp.Diff(want, jobs); diff != "" {
		t.Errorf(".github/workflows/ci.yaml (-make ci and what only jobs run +jobs):\n%s", diff)
	}
	targets := func(text string) []string {
		var found []string
		for _, m := range regexp.MustCompile("`make ([a-z-]+)`").FindAllStringSubmatch(text, -1) {
			found = append(found, m[1])
		}
		return found
	}
	table := regexp.MustCompile("(?m)^\\| `make [a-z-]+` \\|").FindAllString(sectionOf(t, "CONTRIBUTING.md", "First change in ten minutes"), -1)
	if diff := cmp.Diff(want, targets(strings.Join(table, ""))); diff != "" {
		t.Errorf("CONTRIBUTING.md (-CI +table):\n%s", diff)
	}
	beside := want[1:]
	sentence := submatch(t, read(t, "README.md"), "(?m)((?:`make [a-z-]+`(?:,\\s| and\\s))+`make [a-z-]+`) are\\snot\\spart\\sof\\sit")
	if diff := cmp.Diff(beside, targets(sentence)); diff != "" {
		t.Errorf("README.md (-CI +README):\n%s", diff)
	}
	help := submatch(t, read(t, "Makefile"), `(?m)^test: .*## Run every check but (.*), which CI runs beside it$`)
	if diff := cmp.Diff(beside, strings.Split(strings.ReplaceAll(help, " and ", ", "), ", ")); diff != "" {
		t.Errorf("Makefile (-CI +help):\n%s", diff)
	}
}

// TestTheChangelogKnowsTheFormats: who upgrades one of several clusters has to know which
// versions read what is stored.
func TestTheChangelogKnowsTheFormats(t *testing.T) {
	changelog := read(t, "CHANGELOG.md")
	for row, source := range map[string][2]string{
		"record of an image or subvolume": {"pkg/ceph/record.go", `const RecordVersion = (\d+)`},
		"registration of a cluster":       {"pkg/ceph/registration.go", `const RegistrationVersion = (\d+)`},
	} {
		version := submatch(t, read(t, source[0]), source[1])
		written := submatch(t, changelog, `(?m)^\| `+row+` \|[^|]*\| (\d+) \|`)
		if written != version {
			t.Errorf("CHANGELOG.md says that version %s of the %s is written, the code writes %s", written, row, version)
		}
	}
}

// TestPathsOfOwners: an owner of a folder that is gone owns nothing.
func TestPathsOfOwners(t *testing.T) {
	for _, m := range regexp.MustCompile(`(?m)^(/\S+)\s+@`).FindAllStringSubmatch(read(t, ".github/CODEOWNERS"), -1) {
		if info, err := os.Stat(filepath.Join(root, m[1])); err != nil || !info.IsDir() {
			t.Errorf("CODEOWNERS: there is no folder %s", m[1])
		}
	}
}
