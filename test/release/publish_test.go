//go:build lab

package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPublish: nothing of a release can be seen before all of it is there, and a release that is
// tried out is not the newest.
func TestPublish(t *testing.T) {
	for name, test := range map[string]struct{ version, flag string }{
		"a release":    {"1.2.3", ""},
		"a prerelease": {"1.2.3-rc.1", "--prerelease "},
	} {
		t.Run(name, func(t *testing.T) {
			programs, dist := t.TempDir(), t.TempDir()
			for _, program := range []string{"gh", "helm"} {
				write(t, filepath.Join(programs, program), "#!/bin/sh\necho \""+program+" $*\"\n")
			}
			chart, sums := filepath.Join(dist, "cephferry-"+test.version+".tgz"), filepath.Join(dist, "SHA256SUMS")
			write(t, chart, "")
			write(t, sums, "")
			out := mustRun(t, []string{"GH_TOKEN=secret", "REGISTRY_USER=ann", "PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH")},
				filepath.Join(root, "release", "publish"), test.version, dist)
			want := []string{
				"gh release create v" + test.version + " --verify-tag --draft " + test.flag + "--title v" + test.version + " --generate-notes " + sums + " " + chart,
				"helm registry login ghcr.io --username ann --password-stdin",
				"helm push " + chart + " oci://ghcr.io/cephferry/charts",
				"gh release edit v" + test.version + " --draft=false",
			}
			if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(out), "\n")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestTagged: a release whose files name another version is not made.
func TestTagged(t *testing.T) {
	work := filepath.Join(t.TempDir(), "repository")
	for _, file := range []string{"plugin.yaml", "charts/cephferry/Chart.yaml", "release/tagged"} {
		write(t, filepath.Join(work, file), read(t, filepath.Join(root, file)))
	}
	write(t, filepath.Join(work, "CHANGELOG.md"), "# Changelog\n\n## 0.1.0 (2026-12-01)\n")
	commit := func(version string) {
		for file, find := range map[string]string{"plugin.yaml": "s/^version:.*/version: ", "charts/cephferry/Chart.yaml": `s/^\(version\|appVersion\):.*/\1: `} {
			mustRun(t, nil, "sed", "-i", find+version+"/", filepath.Join(work, file))
		}
		mustRun(t, nil, "sed", "-i", `s/^appVersion: \(.*\)/appVersion: "\1"/`, filepath.Join(work, "charts/cephferry/Chart.yaml"))
		mustRun(t, nil, "git", "-C", work, "init", "--quiet")
		mustRun(t, nil, "git", "-C", work, "add", "--all")
		mustRun(t, nil, "git", "-C", work, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--allow-empty", "--message", version)
	}
	tagged := func(version, want string) {
		t.Helper()
		if out, err := run(nil, filepath.Join(work, "release", "tagged"), version); (err == nil) != (want == "") || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %s; want %q", version, err, out, want)
		}
	}
	commit("0.1.0")
	tagged("0.1.0", "the commit has no tag v0.1.0")
	mustRun(t, nil, "git", "-C", work, "tag", "v0.1.0")
	tagged("0.1.0", "")
	tagged("0.2.0", "plugin.yaml is not of version 0.2.0")
	write(t, filepath.Join(work, "more"), "")
	tagged("0.1.0", "files were changed since the commit")
	commit("0.2.0")
	mustRun(t, nil, "git", "-C", work, "tag", "v0.2.0")
	tagged("0.2.0", "CHANGELOG.md has no section 0.2.0")
}
