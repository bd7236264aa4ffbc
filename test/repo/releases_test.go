package repo

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// firstAES256k is the first version of each release whose libraries can use the keys that Ceph
// makes since then (CVE-2025-30156).
var firstAES256k = map[string][3]int{"19": {19, 2, 6}, "20": {20, 2, 4}}

// TestCephReleases: the table of Ceph's releases is what ceph.mk knows, and what package goceph
// is built under.
func TestCephReleases(t *testing.T) {
	type release struct{ Name, Librbd, Tag, Keys string }
	var known []release
	var tags []string
	for _, match := range regexp.MustCompile(`(?m)^CEPH_RELEASE_(\d+) := (\w+)$`).FindAllStringSubmatch(read(t, "ceph.mk"), -1) {
		number, tag := match[1], match[2]
		keys := "no"
		if first, ok := firstAES256k[number]; ok {
			keys = fmt.Sprintf("from %d.%d.%d on", first[0], first[1], first[2])
		}
		known = append(known, release{strings.ToUpper(tag[:1]) + tag[1:], "1." + number, "`" + tag + "`", keys})
		tags = append(tags, tag)
	}
	var documented []release
	_, section, _ := strings.Cut(read(t, "docs/webhook.md"), "\n## Ceph releases\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| (1\.\d+) \| (\S+) \| (.+) \|$`).FindAllStringSubmatch(section, -1) {
		documented = append(documented, release{row[1], row[2], row[3], row[4]})
	}
	if diff := cmp.Diff(known, documented); diff != "" || len(known) == 0 {
		t.Errorf("docs/webhook.md (-ceph.mk +documented):\n%s", diff)
	}

	files, err := filepath.Glob(filepath.Join(root, "pkg/ceph/goceph/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	want := "(" + strings.Join(tags, " || ") + ")"
	constrained := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		if !strings.Contains(line, "pacific") {
			continue
		}
		constrained++
		if !strings.Contains(line, want) {
			t.Errorf("%s: %q; ceph.mk knows %s", filepath.Base(file), line, want)
		}
	}
	if constrained == 0 {
		t.Error("no file of package goceph depends on the release")
	}
}

// TestTheImageIsOfACurrentCeph: the base image is of a release that ceph.mk knows, and its
// libraries can use the keys that Ceph makes; documents name the same one.
func TestTheImageIsOfACurrentCeph(t *testing.T) {
	dockerfile := read(t, "Dockerfile")
	base := submatch(t, dockerfile, `(?m)^ARG BASE_IMAGE=(\S+)$`)
	var version [3]int
	if _, err := fmt.Sscanf(base, "quay.io/ceph/ceph:v%d.%d.%d", &version[0], &version[1], &version[2]); err != nil {
		t.Fatalf("BASE_IMAGE %s: %v", base, err)
	}
	number := fmt.Sprint(version[0])
	if !regexp.MustCompile(`(?m)^CEPH_RELEASE_` + number + ` := `).MatchString(read(t, "ceph.mk")) {
		t.Errorf("ceph.mk does not know release %s of %s", number, base)
	}
	if first, ok := firstAES256k[number]; !ok || version[1] < first[1] || version[1] == first[1] && version[2] < first[2] {
		t.Errorf("%s cannot use keys of type aes256k; the first of its release is %v", base, first)
	}
	if !strings.Contains(read(t, "docs/webhook.md"), "`"+base+"`") {
		t.Errorf("docs/webhook.md does not name %s", base)
	}
	// Both stages have one library.
	if got := strings.Count(dockerfile, "\nFROM ${BASE_IMAGE}"); got != 2 {
		t.Errorf("%d stages of the Dockerfile are on BASE_IMAGE; want 2", got)
	}
	for _, image := range regexp.MustCompile(`--build-arg BASE_IMAGE=(\S+?)[\s`+"`"+`]`).FindAllStringSubmatch(dockerfile+read(t, "docs/webhook.md"), -1) {
		if !strings.HasPrefix(image[1], "quay.io/ceph/ceph:v") {
			t.Errorf("another release is %s", image[1])
		}
	}
}
