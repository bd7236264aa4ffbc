//go:build lab

package release

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab/labtest"
)

const version = "1.2.3-rc.1"

// snapshot makes a release of programs that say only their version.
func snapshot(t *testing.T) string { return snapshotOf(t, version) }

func snapshotOf(t *testing.T, version string) string {
	t.Helper()
	programs, dist := t.TempDir(), filepath.Join(t.TempDir(), "dist")
	for platform, suffix := range map[string]string{runtime.GOOS + "-" + runtime.GOARCH: "", "windows-amd64": ".exe"} {
		for _, program := range []string{"postrender", "kubectl-cephferry"} {
			write(t, filepath.Join(programs, platform, program+suffix), saying(version))
		}
	}
	mustRun(t, nil, filepath.Join(root, "release", "snapshot"), version, programs, dist)
	return dist
}

func platformArchive(dist, name string) string {
	return filepath.Join(dist, name+"-"+runtime.GOOS+"-"+runtime.GOARCH+".tgz")
}

// TestSnapshotIsComplete: the check of a release finds what is missing or different.
func TestSnapshotIsComplete(t *testing.T) {
	trusting(t)
	dist := snapshot(t)
	again := snapshot(t)
	mustRun(t, nil, "diff", "-r", dist, again)
	write(t, filepath.Join(dist, "SHA256SUMS.sigstore.json"), "{}")
	mustRun(t, nil, filepath.Join(root, "release", "check"), version, dist)
	mustRun(t, nil, "validate-krew-manifest", "-manifest", filepath.Join(dist, "cephferry.yaml"), "-skip-install")

	const windows = "postrender-" + version + "-windows-amd64.tar.gz"
	for name, test := range map[string]struct {
		spoil func(dist string)
		want  string
	}{
		"a file is missing": {
			func(dist string) {
				mustRun(t, nil, "sh", "-c", `cd "$1" && rm "$2" && sed -i "/  $2\$/d" SHA256SUMS`, "sh", dist, windows)
			}, "release: " + windows + " is missing",
		},
		"a file is another": {
			func(dist string) { write(t, filepath.Join(dist, windows), "other") }, windows + ": FAILED",
		},
		"a file is one too many": {
			func(dist string) { write(t, filepath.Join(dist, windows+".orig"), "other") }, "release: SHA256SUMS does not name " + windows + ".orig",
		},
		"nobody signed it": {
			func(dist string) { mustRun(t, nil, "rm", filepath.Join(dist, "SHA256SUMS.sigstore.json")) }, "SHA256SUMS.sigstore.json is missing",
		},
		"krew gets another sum": {
			func(dist string) {
				mustRun(t, nil, "sh", "-c", `cd "$1" && sed -i "s/sha256: ./sha256: x/" cephferry.yaml && rm SHA256SUMS && sums=$(sha256sum c* k* p*) && echo "$sums" >SHA256SUMS`, "sh", dist)
			}, "cephferry.yaml has another sum of kubectl-cephferry",
		},
	} {
		t.Run(name, func(t *testing.T) {
			spoiled := filepath.Join(t.TempDir(), "dist")
			mustRun(t, nil, "cp", "-r", dist, spoiled)
			test.spoil(spoiled)
			if out, err := run(nil, filepath.Join(root, "release", "check"), version, spoiled); err == nil || !strings.Contains(out, test.want) {
				t.Errorf("the check says, %v: %s\nwant %q", err, out, test.want)
			}
		})
	}
}

// TestInstallFromArchive: without a network both Helms install the archive that is theirs, and
// by its address too: Helm 4 goes by its name, Helm 3 by what the server calls it.
func TestInstallFromArchive(t *testing.T) {
	tools(t)
	dist := snapshot(t)
	released := newReleases(t)
	if err := os.Symlink(dist, filepath.Join(released.dir, "v"+version)); err != nil {
		t.Fatal(err)
	}
	address := func(helm string) string {
		return released.url + "/v" + version + "/" + filepath.Base(platformArchive(dist, "cephferry-"+version+"-"+helm))
	}
	unpacked := filepath.Join(t.TempDir(), "cephferry")
	write(t, filepath.Join(unpacked, "empty"), "")
	mustRun(t, nil, "tar", "-xzf", platformArchive(dist, "cephferry-"+version+"-helm3"), "-C", unpacked)

	for name, test := range map[string]struct {
		helm   string
		source []string
	}{
		"Helm 3, an unpacked archive": {"Helm 3", []string{unpacked}},
		"Helm 3, an address":          {"Helm 3", []string{address("helm3")}},
		"Helm 4, an archive":          {"Helm 4", []string{platformArchive(dist, "cephferry-"+version+"-helm4"), "--verify=false"}},
		"Helm 4, an address":          {"Helm 4", []string{address("helm4"), "--verify=false"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := helms(t, "http://127.0.0.1:1")[test.helm]
			mustRun(t, h.env, h.program, append([]string{"plugin", "install"}, test.source...)...)
			if got, want := h.versions(t), "cephferry "+version; got != want {
				t.Errorf("plugins are %q, want %q", got, want)
			}
			if got := strings.TrimSpace(mustRun(t, nil, filepath.Join(h.plugins, "cephferry", "bin", "postrender"), "--version")); got != version {
				t.Errorf("the program is %q, want %q", got, version)
			}
		})
	}
}

// TestTheHookTakesTheRelease: the hook finds in a release what release/snapshot has made.
func TestTheHookTakesTheRelease(t *testing.T) {
	trusting(t)
	released, dist := newReleases(t), snapshot(t)
	write(t, filepath.Join(dist, "SHA256SUMS.sigstore.json"), "{}")
	if err := os.Symlink(dist, filepath.Join(released.dir, "v"+version)); err != nil {
		t.Fatal(err)
	}
	source := newRepository(t)
	source.commit(t, version)
	h := helms(t, released.url)["Helm 3"]
	mustRun(t, h.env, h.program, "plugin", "install", source.url())
	if got := h.programVersion(t); got != version {
		t.Errorf("the program is %q, want %q", got, version)
	}
}

// TestKrew: krew installs the plugin by the manifest, and kubectl finds it.
func TestKrew(t *testing.T) {
	tools(t)
	dist := snapshot(t)
	home := t.TempDir()
	env := []string{"KREW_ROOT=" + home, "KREW_NO_UPGRADE_CHECK=1"}
	mustRun(t, env, "krew", "install", "--manifest", filepath.Join(dist, "cephferry.yaml"),
		"--archive", filepath.Join(dist, "kubectl-cephferry-"+version+"-"+runtime.GOOS+"-"+runtime.GOARCH+".tar.gz"))
	if got := strings.TrimSpace(mustRun(t, env, filepath.Join(home, "bin", "kubectl-cephferry"))); got != version {
		t.Errorf("it says %q, want %q", got, version)
	}
}

// TestChartInARegistry: both Helms push the chart's archive to an OCI registry and install it
// from there.
func TestChartInARegistry(t *testing.T) {
	tools(t)
	dist := snapshot(t)
	address := labtest.Registry(t)
	for name, h := range helms(t, "") {
		t.Run(name, func(t *testing.T) {
			charts := "oci://" + address + "/" + h.program
			mustRun(t, h.env, h.program, "push", "--plain-http", filepath.Join(dist, "cephferry-"+version+".tgz"), charts)
			pulled := t.TempDir()
			mustRun(t, h.env, h.program, "pull", "--plain-http", charts+"/cephferry", "--version", version, "--destination", pulled)
			mustRun(t, nil, "cmp", filepath.Join(dist, "cephferry-"+version+".tgz"), filepath.Join(pulled, "cephferry-"+version+".tgz"))
			rendered := mustRun(t, h.env, h.program, "template", "cephferry", charts+"/cephferry", "--plain-http", "--version", version, "--set", "cluster.name=east")
			if !strings.Contains(rendered, "kind: ValidatingWebhookConfiguration") || !strings.Contains(rendered, "cephferry/webhook:"+version) {
				t.Errorf("the chart renders %s", rendered)
			}
		})
	}
}
