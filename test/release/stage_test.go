//go:build lab

package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
)

const root = "../.."

// tools puts the programs that make tools has built into PATH, before those of the machine.
func tools(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", os.Getenv(lab.ToolsVariable)+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// trusting puts a cosign before all others that confirms everything, whether the machine has one
// or not, and returns the file with what it was asked.
func trusting(t *testing.T) string {
	t.Helper()
	tools(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "cosign"), "#!/bin/sh\necho \"$*\" >>"+dir+"/asked\n")
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return filepath.Join(dir, "asked")
}

// run runs a program and returns all that it says.
func run(env []string, name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := run(env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// helm is one Helm with folders of its own.
type helm struct {
	program string
	env     []string
	// plugins is where it installs them.
	plugins string
	// install are the flags without which it installs no plugin from a repository.
	install []string
}

// helms are both Helms, by name, and the releases that their hooks fetch from.
func helms(t *testing.T, releases string) map[string]helm {
	t.Helper()
	all := map[string]helm{}
	for name, h := range map[string]helm{
		"Helm 3": {program: "helm"},
		"Helm 4": {program: "helm4", install: []string{"--verify=false"}},
	} {
		home := t.TempDir()
		h.plugins = filepath.Join(home, "data", "plugins")
		h.env = []string{
			"HELM_CACHE_HOME=" + filepath.Join(home, "cache"), "HELM_CONFIG_HOME=" + filepath.Join(home, "config"),
			"HELM_DATA_HOME=" + filepath.Join(home, "data"), "HELM_PLUGINS=" + h.plugins,
			"KUBECONFIG=" + filepath.Join(home, "no-cluster"), "CEPHFERRY_RELEASES=" + releases,
		}
		all[name] = h
	}
	return all
}

// versions lists the plugins, each as name and version.
func (h helm) versions(t *testing.T) string {
	t.Helper()
	var all []string
	for i, line := range strings.Split(mustRun(t, h.env, h.program, "plugin", "list"), "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) > 1 {
			all = append(all, fields[0]+" "+fields[1])
		}
	}
	return strings.Join(all, ", ")
}

// program runs the plugin's own program.
func (h helm) programVersion(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(mustRun(t, nil, filepath.Join(h.plugins, "repository", "bin", "postrender"), "--version"))
}

// repository is a git repository with the plugin's files.
type repository struct{ dir string }

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{filepath.Join(t.TempDir(), "repository")}
	for _, file := range []string{".gitignore", "plugin.yaml", "helm4/plugin.yaml", "release/helm-plugin"} {
		write(t, filepath.Join(r.dir, file), read(t, filepath.Join(root, file)))
	}
	mustRun(t, nil, "git", "-C", r.dir, "init", "--quiet")
	return r
}

func (r repository) url() string { return "file://" + r.dir }

// commit makes a commit with this version of the plugin, and a tag.
func (r repository) commit(t *testing.T, version string) {
	t.Helper()
	file := filepath.Join(r.dir, "plugin.yaml")
	write(t, file, regexp.MustCompile(`(?m)^version: .*`).ReplaceAllString(read(t, file), "version: "+version))
	mustRun(t, nil, "git", "-C", r.dir, "add", "--all")
	mustRun(t, nil, "git", "-C", r.dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", version)
	mustRun(t, nil, "git", "-C", r.dir, "tag", "v"+version)
}

// releases is the folder of the web server that stands for GitHub's downloads.
type releases struct {
	dir, url string
}

func newReleases(t *testing.T) releases {
	t.Helper()
	dir := t.TempDir()
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v5.0.0/") {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return
		}
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			w.Header().Set("Content-Type", "application/gzip")
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return releases{dir, server.URL}
}

func archiveOf(version string) string {
	return fmt.Sprintf("postrender-%s-%s-%s.tar.gz", version, runtime.GOOS, runtime.GOARCH)
}

// publish puts a program for this machine into the release of a version, with its checksum.
func (r releases) publish(t *testing.T, version, program string) {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zip)
	if err := archive.WriteHeader(&tar.Header{Name: "./postrender", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { _, err := archive.Write([]byte(program)); return err }, archive.Close, zip.Close,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(r.dir, "v"+version, archiveOf(version)), packed.String())
	write(t, filepath.Join(r.dir, "v"+version, "SHA256SUMS.sigstore.json"), "{}")
	write(t, filepath.Join(r.dir, "v"+version, "SHA256SUMS"), fmt.Sprintf("%x  %s\n", sha256.Sum256(packed.Bytes()), archiveOf(version)))
}

// saying is a program that says only its version.
func saying(version string) string { return "#!/bin/sh\necho " + version + "\n" }
