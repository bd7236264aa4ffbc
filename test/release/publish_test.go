//go:build lab

package release

import (
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gitHub is a gh that knows the releases in a file, each with whether it is a draft, and the files
// that an earlier draft has.
const gitHub = `#!/bin/sh
echo "gh $*" >>"$0.calls"
touch "$0.releases"
case "$1 $2" in
"release list") [ ! -e "$0.down" ] || { echo "no connection" >&2; exit 1; }; cat "$0.releases" ;;
"release view") [ ! -e "$0.assets" ] || cat "$0.assets" ;;
"release create") echo true >>"$0.releases" ;;
"release edit") sed -i s/true/false/ "$0.releases" ;;
esac
`

// registryOf is a helm and a cosign that only note what they are asked. The chart that is there is
// in a file.
const registryOf = `#!/bin/sh
case $1 in show) PATH=${PATH#*:} exec helm "$@" ;; esac
echo "${0##*/} $*" >>"${0%/*}/gh.calls"
[ ! -e "$0.down" ] || [ "$1" = verify-blob ] || { echo "no connection" >&2; exit 1; }
case $1 in
verify-blob) [ ! -e "$0.forged" ] ;;
pull)
	[ -e "$0.chart" ] || { echo "Error: registry.example$(echo "$4" | sed "s|^oci://registry.example||"):$6: not found" >&2; exit 1; }
	cp "$0.chart" "$8/cephferry-$6.tgz"
	echo "Digest: sha256:aa" >&2
	;;
push) echo "Digest: sha256:aa" >&2 ;;
esac
`

// published runs release/publish with these programs for the files in a folder, and returns what
// was called, without folders, and with FILES for all of them.
func published(t *testing.T, programs, version, dist string) (calls []string, out string, err error) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(programs, "gh.calls")); err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	out, err = run([]string{"PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH"), "DOCKER_CONFIG=/config", "COSIGN_PRIVATE_KEY=", "COSIGN_PUBLIC_KEY=/key", "TMPDIR=" + temporary},
		filepath.Join(root, "release", "publish"), version, dist, "registry.example/cephferry")
	files, globbed := filepath.Glob(filepath.Join(dist, "*"))
	noted, unread := os.ReadFile(filepath.Join(programs, "gh.calls"))
	left, unlisted := os.ReadDir(temporary)
	if globbed != nil || unlisted != nil || len(left) != 0 || unread != nil && !os.IsNotExist(unread) {
		t.Errorf("%v, %v, %v; it leaves %v", globbed, unread, unlisted, left)
	}
	said := strings.ReplaceAll(string(noted), strings.Join(files, " "), "FILES")
	said = regexp.MustCompile(regexp.QuoteMeta(temporary)+`/\S+`).ReplaceAllString(strings.ReplaceAll(said, dist+"/", ""), "WORK")
	return strings.Split(strings.TrimSpace(said), "\n"), out, err
}

// TestPublish: nothing of a release can be seen before all of it is there, and a release that is
// tried out is not the newest.
func TestPublish(t *testing.T) {
	tools(t)
	t.Setenv("LC_ALL", "C")
	const release, candidate = "1.2.3", "1.2.3-rc.1"
	dists := map[string]string{}
	for _, version := range []string{release, candidate} {
		dists[version] = snapshotOf(t, version)
		write(t, filepath.Join(dists[version], "SHA256SUMS.sigstore.json"), "{}")
	}
	verify := "cosign verify-blob --key /key --insecure-ignore-tlog=true --bundle SHA256SUMS.sigstore.json SHA256SUMS"
	list := func(version string) string {
		return "gh release list --limit 1000 --json tagName,isDraft --jq .[] | select(.tagName == \"v" + version + "\") | .isDraft"
	}
	create := func(version, flag string) string {
		return "gh release create v" + version + " --verify-tag --draft " + flag + "--title v" + version + " --generate-notes FILES"
	}
	pull := func(version string) string {
		return "helm pull --registry-config /config/config.json oci://registry.example/cephferry/charts/cephferry --version " + version + " --destination WORK"
	}
	push := func(version string) string {
		return "helm push --registry-config /config/config.json cephferry-" + version + ".tgz oci://registry.example/cephferry/charts"
	}
	sign := "cosign sign --yes registry.example/cephferry/charts/cephferry@sha256:aa"
	edit := func(version string) string { return "gh release edit v" + version + " --draft=false" }
	begin := []string{verify, list(release)}
	begun := append(slices.Clone(begin), create(release, ""), pull(release))
	upload := []string{"gh release upload v1.2.3 --clobber FILES", "gh release view v1.2.3 --json assets --jq .assets[].name"}
	for name, test := range map[string]struct {
		version string
		// releases are those of the version that are there, each with whether it is a draft.
		releases string
		// files are more that are there, beside the programs.
		files map[string]string
		want  []string
		err   string
	}{
		"a release":    {release, "", nil, append(slices.Clone(begun), push(release), sign, edit(release)), ""},
		"a prerelease": {candidate, "", nil, []string{verify, list(candidate), create(candidate, "--prerelease "), pull(candidate), push(candidate), sign, edit(candidate)}, ""},
		"once more":    {release, "true\n", nil, slices.Concat(begin, upload, []string{pull(release), push(release), sign, edit(release)}), ""},
		"a draft with files of another set": {
			release, "true\n", map[string]string{"gh.assets": "SHA256SUMS\nold.tgz\ncephferry.yaml\nolder.tgz\n"},
			slices.Concat(begin, upload, []string{"gh release delete-asset v1.2.3 old.tgz --yes", "gh release delete-asset v1.2.3 older.tgz --yes", pull(release), push(release), sign, edit(release)}), "",
		},
		"the chart is there": {
			release, "", map[string]string{"helm.chart": read(t, filepath.Join(dists[release], "cephferry-1.2.3.tgz"))},
			append(slices.Clone(begun), sign, edit(release)), "",
		},
		"another chart is there": {release, "", map[string]string{"helm.chart": "other"}, begun, "release: the registry has another chart 1.2.3 already; it was not changed"},
		"one that is published":  {release, "false\n", nil, begin, "release: v1.2.3 is published already; nothing was changed"},
		"two drafts":             {release, "true\ntrue\n", nil, begin, "release: there is more than one release v1.2.3"},
		"GitHub is away":         {release, "", map[string]string{"gh.down": ""}, begin, "no connection"},
		"the registry is away":   {release, "", map[string]string{"helm.down": ""}, begun, "release: cannot see whether the chart is published: no connection"},
		"nobody signs":           {release, "", map[string]string{"cosign.down": ""}, append(slices.Clone(begun), push(release), sign), "no connection"},
		"signed by another":      {release, "", map[string]string{"cosign.forged": ""}, begin[:1], "release: the signature of SHA256SUMS is not of this release"},
	} {
		t.Run(name, func(t *testing.T) {
			programs := t.TempDir()
			for program, body := range map[string]string{"gh": gitHub, "helm": registryOf, "cosign": registryOf} {
				write(t, filepath.Join(programs, program), body)
			}
			write(t, filepath.Join(programs, "gh.releases"), test.releases)
			for file, content := range test.files {
				write(t, filepath.Join(programs, file), content)
			}
			calls, out, err := published(t, programs, test.version, dists[test.version])
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
	tools(t)
	dist := snapshotOf(t, "1.2.3")
	if calls, out, err := published(t, t.TempDir(), "1.2.3", dist); err == nil || calls[0] != "" || !strings.Contains(out, "SHA256SUMS.sigstore.json is missing") {
		t.Errorf("without a signature: %v, %s; it calls %q", err, out, calls)
	}
	write(t, filepath.Join(dist, "SHA256SUMS.sigstore.json"), "{}")
	programs := t.TempDir()
	for program, body := range map[string]string{"gh": gitHub, "helm": registryOf, "cosign": registryOf} {
		write(t, filepath.Join(programs, program), body)
	}
	releases, down := filepath.Join(programs, "gh.releases"), filepath.Join(programs, "helm.down")
	write(t, down, "")
	if _, out, err := published(t, programs, "1.2.3", dist); err == nil || read(t, releases) != "true\n" {
		t.Fatalf("without a registry: %v, %s; releases that are drafts: %s", err, out, read(t, releases))
	}
	if err := os.Remove(down); err != nil {
		t.Fatal(err)
	}
	if _, out, err := published(t, programs, "1.2.3", dist); err != nil || read(t, releases) != "false\n" {
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
	// A shell cannot trap what was ignored when it began, as by nohup or in the background. What a Go
	// program handles, its children do not ignore.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP, syscall.SIGINT)
	t.Cleanup(func() { signal.Stop(handled) })
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
