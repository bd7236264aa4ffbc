//go:build lab

package release

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gitHub is a gh that knows the releases in a file, each with whether it is a draft.
const gitHub = `#!/bin/sh
echo "gh $*" >>"$0.calls"
touch "$0.releases"
case "$1 $2" in
"release list") [ ! -e "$0.down" ] || { echo "no connection" >&2; exit 1; }; cat "$0.releases" ;;
"release create") echo true >>"$0.releases" ;;
"release edit") sed -i s/true/false/ "$0.releases" ;;
esac
`

// registryOf is a helm and a cosign that only note what they are asked.
const registryOf = `#!/bin/sh
echo "${0##*/} $*" >>"${0%/*}/gh.calls"
[ ! -e "$0.down" ] || { echo "no connection" >&2; exit 1; }
[ "$1" != push ] || echo "Digest: sha256:aa" >&2
`

// published runs release/publish with these programs, and returns what was called, without folders.
func published(t *testing.T, programs, version string) (calls []string, out string, err error) {
	t.Helper()
	dist := t.TempDir()
	write(t, filepath.Join(dist, "cephferry-"+version+".tgz"), "")
	write(t, filepath.Join(dist, "SHA256SUMS"), "")
	if err := os.RemoveAll(filepath.Join(programs, "gh.calls")); err != nil {
		t.Fatal(err)
	}
	out, err = run([]string{"PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH"), "DOCKER_CONFIG=/config", "COSIGN_PRIVATE_KEY="},
		filepath.Join(root, "release", "publish"), version, dist, "registry.example/cephferry")
	said := strings.ReplaceAll(read(t, filepath.Join(programs, "gh.calls")), dist+"/", "")
	return strings.Split(strings.TrimSpace(said), "\n"), out, err
}

// TestPublish: nothing of a release can be seen before all of it is there, and a release that is
// tried out is not the newest.
func TestPublish(t *testing.T) {
	push := func(version string) []string {
		return []string{
			"helm push --registry-config /config/config.json cephferry-" + version + ".tgz oci://registry.example/cephferry/charts",
			"cosign sign --yes registry.example/cephferry/charts/cephferry@sha256:aa",
		}
	}
	list := func(version string) string {
		return "gh release list --limit 1000 --json tagName,isDraft --jq .[] | select(.tagName == \"v" + version + "\") | .isDraft"
	}
	create := func(version, flag string) string {
		return "gh release create v" + version + " --verify-tag --draft " + flag + "--title v" + version + " --generate-notes SHA256SUMS cephferry-" + version + ".tgz"
	}
	edit := "gh release edit v1.2.3 --draft=false"
	for name, test := range map[string]struct {
		version string
		// releases are those of the version that are there, each with whether it is a draft.
		releases string
		down     string
		want     []string
		err      string
	}{
		"a release":             {"1.2.3", "", "", slices.Concat([]string{list("1.2.3"), create("1.2.3", "")}, push("1.2.3"), []string{edit}), ""},
		"a prerelease":          {"1.2.3-rc.1", "", "", slices.Concat([]string{list("1.2.3-rc.1"), create("1.2.3-rc.1", "--prerelease ")}, push("1.2.3-rc.1"), []string{"gh release edit v1.2.3-rc.1 --draft=false"}), ""},
		"once more":             {"1.2.3", "true\n", "", slices.Concat([]string{list("1.2.3"), "gh release upload v1.2.3 --clobber SHA256SUMS cephferry-1.2.3.tgz"}, push("1.2.3"), []string{edit}), ""},
		"one that is published": {"1.2.3", "false\n", "", []string{list("1.2.3")}, "release: v1.2.3 is published already; nothing was changed"},
		"two drafts":            {"1.2.3", "true\ntrue\n", "", []string{list("1.2.3")}, "release: there is more than one release v1.2.3"},
		"GitHub is away":        {"1.2.3", "", "gh", []string{list("1.2.3")}, "no connection"},
		"the registry is away":  {"1.2.3", "", "helm", slices.Concat([]string{list("1.2.3"), create("1.2.3", "")}, push("1.2.3")[:1]), "release: cannot push the chart: no connection"},
		"nobody signs":          {"1.2.3", "", "cosign", slices.Concat([]string{list("1.2.3"), create("1.2.3", "")}, push("1.2.3")), "no connection"},
	} {
		t.Run(name, func(t *testing.T) {
			programs := t.TempDir()
			for program, body := range map[string]string{"gh": gitHub, "helm": registryOf, "cosign": registryOf} {
				write(t, filepath.Join(programs, program), body)
			}
			write(t, filepath.Join(programs, "gh.releases"), test.releases)
			if test.down != "" {
				write(t, filepath.Join(programs, test.down+".down"), "")
			}
			calls, out, err := published(t, programs, test.version)
			if diff := cmp.Diff(test.want, calls); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (err != nil) != (test.err != "") || !strings.Contains(out, test.err) {
				t.Errorf("%v: %s; want %q", err, out, test.err)
			}
		})
	}
}

// TestPublishTwice: a release whose chart could not be pushed is published by the same draft.
func TestPublishTwice(t *testing.T) {
	programs := t.TempDir()
	for program, body := range map[string]string{"gh": gitHub, "helm": registryOf, "cosign": registryOf} {
		write(t, filepath.Join(programs, program), body)
	}
	releases, down := filepath.Join(programs, "gh.releases"), filepath.Join(programs, "helm.down")
	write(t, down, "")
	if _, out, err := published(t, programs, "1.2.3"); err == nil || read(t, releases) != "true\n" {
		t.Fatalf("without a registry: %v, %s; releases that are drafts: %s", err, out, read(t, releases))
	}
	if err := os.Remove(down); err != nil {
		t.Fatal(err)
	}
	if _, out, err := published(t, programs, "1.2.3"); err != nil || read(t, releases) != "false\n" {
		t.Errorf("the second time: %v, %s; releases that are drafts: %s", err, out, read(t, releases))
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

// TestLogin: the credentials are gone afterwards, whatever ends it.
func TestLogin(t *testing.T) {
	for name, command := range map[string]string{"done": "true", "failed": "false", "HUP": "kill -HUP $PPID", "INT": "kill -INT $PPID", "TERM": "kill -TERM $PPID"} {
		t.Run(name, func(t *testing.T) {
			temporary := t.TempDir()
			out, err := run([]string{"TMPDIR=" + temporary, "REGISTRY_USER="}, filepath.Join(root, "release", "login"), "127.0.0.1:1/cephferry",
				"sh", "-c", `cat "$DOCKER_CONFIG/config.json"; `+command)
			if (err == nil) != (name == "done") || out != "{}\n" {
				t.Errorf("%v: %s", err, out)
			}
			left, err := os.ReadDir(temporary)
			if err != nil || len(left) != 0 {
				t.Errorf("it leaves %v, %v", left, err)
			}
		})
	}
}
