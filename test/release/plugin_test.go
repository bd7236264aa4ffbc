//go:build lab

package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const chart = `apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
  annotations: {cephferry.io/migratable: "true"}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ceph-block
  resources: {requests: {storage: 1Gi}}
`

// TestInstallFromRepository: the command that the documents name installs the real program, and
// the flag that they name renders with it.
func TestInstallFromRepository(t *testing.T) {
	asked := trusting(t)
	built, err := exec.LookPath("postrender")
	if err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(strings.TrimSpace(mustRun(t, nil, built, "--version")), "+")
	released := newReleases(t)
	released.publish(t, version, read(t, built))
	source := newRepository(t)
	source.commit(t, version)
	app := t.TempDir()
	write(t, filepath.Join(app, "Chart.yaml"), "apiVersion: v2\nname: app\nversion: 1.0.0\n")
	write(t, filepath.Join(app, "templates", "claim.yaml"), chart)

	for name, h := range helms(t, released.url) {
		t.Run(name, func(t *testing.T) {
			mustRun(t, h.env, h.program, append([]string{"plugin", "install", source.url()}, h.install...)...)
			if got, want := h.versions(t), "cephferry "+version; got != want {
				t.Fatalf("plugins are %q, want %q", got, want)
			}
			renderer := "cephferry"
			if name == "Helm 3" {
				renderer = strings.TrimSpace(mustRun(t, h.env, h.program, "cephferry", "path"))
				listed := mustRun(t, h.env, "sh", "-c", h.program+` template app "$1" | `+h.program+` cephferry list --namespace shop`, "sh", app)
				if !strings.Contains(listed, "shop.data") {
					t.Errorf("helm cephferry list says %s", listed)
				}
			}
			rendered := mustRun(t, h.env, h.program, "template", "app", app, "--post-renderer", renderer)
			if !strings.Contains(rendered, `cephferry.io/class: ceph-block`) && !strings.Contains(rendered, `cephferry.io/class: "ceph-block"`) {
				t.Errorf("the claim was not rendered:\n%s", rendered)
			}
		})
	}
	// Whose signature counts is the workflow that is here.
	const workflow = ".github/workflows/release.yaml"
	read(t, filepath.Join(root, workflow))
	identity := "--certificate-identity https://github.com/cephferry/cephferry/" + workflow + "@refs/tags/v" + version + " "
	if got := read(t, asked); strings.Count(got, identity) != 2 {
		t.Errorf("cosign was asked for %s, want twice %q", got, identity)
	}
}

// TestUpdate: helm plugin update brings the program of the new version; when that cannot be had,
// the plugin is the one before.
func TestUpdate(t *testing.T) {
	trusting(t)
	released := newReleases(t)
	source := newRepository(t)
	source.commit(t, "1.0.0")
	released.publish(t, "1.0.0", saying("1.0.0+abc"))
	both := helms(t, released.url)
	for name, h := range both {
		mustRun(t, h.env, h.program, append([]string{"plugin", "install", source.url()}, h.install...)...)
		if out, err := run(h.env, h.program, "plugin", "update", "cephferry"); err != nil || h.versions(t) != "cephferry 1.0.0" || h.programVersion(t) != "1.0.0+abc" {
			t.Errorf("%s: an update to the same version: %v, %s", name, err, out)
		}
	}
	source.commit(t, "2.0.0")
	for name, h := range both {
		out, err := run(h.env, h.program, "plugin", "update", "cephferry")
		if err == nil || !strings.Contains(out, "version 2.0.0 is not released") {
			t.Errorf("%s: an update to what is not released: %v, %s", name, err, out)
		}
		if got := h.versions(t) + ", " + h.programVersion(t); got != "cephferry 1.0.0, 1.0.0+abc" {
			t.Errorf("%s: after an update that failed, there is %s\n%s", name, got, out)
		}
	}
	released.publish(t, "2.0.0", saying("2.0.0+def"))
	for name, h := range both {
		out, err := run(h.env, h.program, "plugin", "update", "cephferry")
		if got := h.versions(t) + ", " + h.programVersion(t); err != nil || got != "cephferry 2.0.0, 2.0.0+def" {
			t.Errorf("%s: after the update, there is %s: %v, %s", name, got, err, out)
		}
	}
}

// TestInstallIsRefused: what is not the released program is not installed, in a sentence, and
// nothing is left that the next installation finds.
func TestInstallIsRefused(t *testing.T) {
	trusting(t)
	released := newReleases(t)
	source := newRepository(t)
	for version, release := range map[string]func(){
		"1.0.0": func() {},
		"1.1.0": func() { // another archive than the one that was summed
			released.publish(t, "1.1.0", saying("1.1.0 with more"))
			sums := read(t, filepath.Join(released.dir, "v1.1.0", "SHA256SUMS"))
			released.publish(t, "1.1.0", saying("1.1.0"))
			write(t, filepath.Join(released.dir, "v1.1.0", "SHA256SUMS"), sums)
		},
		"1.2.0": func() {
			write(t, filepath.Join(released.dir, "v1.2.0", "SHA256SUMS"), "00  postrender-1.2.0-plan9-mips.tar.gz\n")
			write(t, filepath.Join(released.dir, "v1.2.0", "SHA256SUMS.sigstore.json"), "{}")
		},
		"1.3.0": func() { released.publish(t, "1.3.0", saying("1.2.9")) },
		"1.4.0": func() { released.publish(t, "1.4.0", "\x7fELF of another machine") },
		"1.5.0": func() {
			released.publish(t, "1.5.0", saying("1.5.0"))
			if err := os.Remove(filepath.Join(released.dir, "v1.5.0", archiveOf("1.5.0"))); err != nil {
				t.Fatal(err)
			}
		},
		"5.0.0": func() {},
	} {
		release()
		source.commit(t, version)
	}
	both := helms(t, released.url)
	for version, want := range map[string]string{
		"1.0.0": "version 1.0.0 is not released, or its release is incomplete; choose one of",
		"1.1.0": "is not what was released: its sha256 is ",
		"1.2.0": "SHA256SUMS does not name " + archiveOf("1.2.0"),
		"1.3.0": "is version 1.2.9; nothing was changed",
		"1.4.0": "does not run here: ",
		"1.5.0": "its release is incomplete",
		"5.0.0": "the server answers 503; nothing was changed",
	} {
		for name, h := range both {
			t.Run(name+" "+version, func(t *testing.T) {
				out, err := run(h.env, h.program, append([]string{"plugin", "install", source.url(), "--version", "v" + version}, h.install...)...)
				if err == nil || !strings.Contains(out, want) {
					t.Errorf("it says, %v: %s\nwant %q", err, out, want)
				}
				if left, err := os.ReadDir(h.plugins); err != nil || len(left) > 0 {
					t.Errorf("in the folder of plugins is left: %v, %v", left, err)
				}
			})
		}
	}
}

// TestAWorkingCopyIsLeftAlone: Helm installs a folder as a link, and neither a released program
// nor the other format of plugin.yaml belongs into the folder of somebody who works on it.
func TestAWorkingCopyIsLeftAlone(t *testing.T) {
	trusting(t)
	source := newRepository(t)
	source.commit(t, "1.0.0")
	for name, h := range helms(t, "http://127.0.0.1:1") {
		out, err := run(h.env, h.program, "plugin", "install", source.dir)
		if err == nil || !strings.Contains(out, "a working copy gets no released program") {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		if left, err := os.ReadDir(h.plugins); err != nil || len(left) > 0 {
			t.Errorf("%s: in the folder of plugins is left: %v, %v", name, left, err)
		}
		if changed := mustRun(t, nil, "git", "-C", source.dir, "status", "--porcelain", "--ignored"); changed != "" {
			t.Errorf("%s: in the working copy is changed: %s", name, changed)
		}
	}
}
