//go:build image

package image

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/lab/labtest"
)

// publisher runs the scripts that publish an image, with keys of its own, to a registry on this
// machine.
type publisher struct {
	*testing.T
	env      []string
	registry string
}

const publishedVersion = "1.2.3"

func newPublisher(t *testing.T) publisher {
	t.Helper()
	keys := t.TempDir()
	p := publisher{T: t, registry: labtest.Registry(t) + "/cephferry"}
	p.env = []string{
		"PATH=" + os.Getenv("CEPHFERRY_TOOLS") + string(os.PathListSeparator) + os.Getenv("PATH"), "COSIGN_PASSWORD=", "REGISTRY_USER=",
		"COSIGN_PRIVATE_KEY=" + filepath.Join(keys, "cosign.key"), "COSIGN_PUBLIC_KEY=" + filepath.Join(keys, "cosign.pub"),
	}
	p.must("env", "--chdir="+keys, "cosign", "generate-key-pair")
	return p
}

// key is the file of the private key.
func (p publisher) key() string {
	key, _ := strings.CutPrefix(p.env[len(p.env)-2], "COSIGN_PRIVATE_KEY=")
	return key
}

// run returns what a program prints, and what it says besides.
func (p publisher) run(name string, args ...string) (out, said string, err error) {
	p.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(context.WithoutCancel(p.Context()), "env", slices.Concat(p.env, []string{name}, args)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return strings.TrimSpace(stdout.String()), stderr.String(), err
}

func (p publisher) must(name string, args ...string) string {
	p.Helper()
	out, said, err := p.run(name, args...)
	if err != nil {
		p.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, out, said)
	}
	return out
}

// script runs one of the scripts of a release, logged in.
func (p publisher) script(path string, args ...string) (out, said string, err error) {
	p.Helper()
	return p.run("../../release/login", slices.Concat([]string{p.registry, "../../" + path}, args)...)
}

// other makes the archive of an image with nothing in it, for an architecture.
func (p publisher) other(arch string) string {
	p.Helper()
	archive := filepath.Join(p.TempDir(), "other.tar")
	buildah := os.Getenv("BUILDAH")
	p.must("sh", "-euc", buildah+` from --name "$1" scratch >&2; trap '`+buildah+` rm "$1" >&2' EXIT
`+buildah+` config --os linux --arch "$2" "$1"
`+buildah+` commit --quiet --disable-compression=false "$1" "oci-archive:$3"`, "sh", "published-"+arch, arch, archive)
	described := strings.TrimSuffix(archive, ".tar")
	for kind, text := range map[string]string{
		"digest": "sha256:" + manifest(p.T, archive), "spdx.json": `{"spdxVersion": "SPDX-2.3"}`, "predicate.json": `{"buildDefinition": {"buildType": "https://example.com"}}`,
	} {
		if err := os.WriteFile(described+"."+kind, []byte(text), 0o644); err != nil {
			p.Fatal(err)
		}
	}
	return archive
}

// TestTheImageIsPublished: what make has built is in the registry by the digest that its provenance
// names, signed and described; the image of a release is one for all architectures, of what the
// same release has signed.
func TestTheImageIsPublished(t *testing.T) {
	archive := os.Getenv("CEPHFERRY_IMAGE_ARCHIVE")
	p := newPublisher(t)
	arch := archive[strings.LastIndex(archive, "-")+1 : len(archive)-len(".tar")]
	foreign := map[string]string{"amd64": "arm64", "arm64": "amd64"}[arch]
	image := p.registry + "/webhook"
	pushed := image + "@sha256:" + manifest(t, archive)

	// Tags are set last, and only to what is signed as this release.
	untagged := func(tag, when string) {
		t.Helper()
		if out, said, err := p.script("image/digest", image+":"+tag); err != nil || out != "" {
			t.Errorf("%s, the tag %s leads to %q: %v, %s", when, tag, out, err, said)
		}
	}
	mine := p.env
	without := append(slices.Clone(mine), "COSIGN_PRIVATE_KEY="+filepath.Join(t.TempDir(), "none"))
	somebody := append(slices.Clone(mine), "COSIGN_PRIVATE_KEY="+newPublisher(t).key())
	p.env = without
	if out, said, err := p.script("image/push", archive, publishedVersion, arch, p.registry); err == nil {
		t.Errorf("without a key: %s%s", out, said)
	}
	untagged(publishedVersion+"-"+arch, "without a key")
	p.env = somebody
	if out, said, err := p.script("image/push", archive, publishedVersion, arch, p.registry); err == nil || !strings.Contains(said, "is not of this release") {
		t.Errorf("signed by somebody else: %v, %s%s", err, out, said)
	}
	untagged(publishedVersion+"-"+arch, "signed by somebody else")
	p.env = mine
	another := p.other(arch)
	if err := os.WriteFile(strings.TrimSuffix(another, ".tar")+".digest", []byte("sha256:"+manifest(t, archive)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, said, err := p.script("image/push", another, publishedVersion, arch, p.registry); err == nil || !strings.Contains(said, "Digest of source image") {
		t.Errorf("another archive than its provenance names: %v, %s%s", err, out, said)
	}
	untagged(publishedVersion+"-"+arch, "another archive")

	out, said, err := p.script("image/push", archive, publishedVersion, arch, p.registry)
	if err != nil || out != pushed {
		t.Fatalf("image/push prints %q; want %q: %v, %s", out, pushed, err, said)
	}
	if out, said, err := p.script("image/digest", image+":"+publishedVersion+"-"+arch); image+"@"+out != pushed {
		t.Errorf("its tag leads to %q: %v, %s", out, err, said)
	}
	p.must("env", "COSIGN_PLAIN_HTTP=true", "../../release/cosign", "verify", pushed)
	for kind, file := range map[string]string{"spdxjson": "spdx", "slsaprovenance1": "predicate"} {
		var envelope struct{ Payload string }
		var statement struct{ Predicate any }
		var want any
		attested := p.must("env", "COSIGN_PLAIN_HTTP=true", "../../release/cosign", "verify-attestation", "--type", kind, pushed)
		described, err := os.ReadFile(strings.TrimSuffix(archive, ".tar") + "." + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(attested), &envelope); err != nil {
			t.Fatalf("%v: %s", err, attested)
		}
		payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
		if err != nil {
			t.Fatal(err)
		}
		for text, value := range map[string]any{string(payload): &statement, string(described): &want} {
			if err := json.Unmarshal([]byte(text), value); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		if diff := cmp.Diff(want, statement.Predicate); diff != "" {
			t.Errorf("%s (-described +attested):\n%s", kind, diff)
		}
	}
	again := filepath.Join(t.TempDir(), "again.tar")
	p.must("skopeo", "copy", "--quiet", "--preserve-digests", "--src-tls-verify=false", "docker://"+pushed, "oci-archive:"+again)
	if got := manifest(t, again); image+"@sha256:"+got != pushed {
		t.Errorf("what is pulled is %s; want %s", got, pushed)
	}

	// One that nobody signed, and one of another machine.
	other := p.other(foreign)
	p.must("skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "oci-archive:"+other, "docker://"+image+":"+publishedVersion+"-"+foreign)
	index := func() (string, string, error) {
		return p.script("image/index", publishedVersion, p.registry, arch, foreign)
	}
	if out, said, err := index(); err == nil || !strings.Contains(said, "is not signed as this release") {
		t.Errorf("with an image that nobody signed: %v, %s%s", err, out, said)
	}
	if _, said, err := p.script("image/push", p.other(arch), publishedVersion, foreign, p.registry); err != nil {
		t.Fatalf("%v, %s", err, said)
	}
	if out, said, err := index(); err == nil || !strings.Contains(said, "is not of "+foreign) {
		t.Errorf("with an image of another architecture: %v, %s%s", err, out, said)
	}
	if _, said, err := p.script("image/push", other, publishedVersion, foreign, p.registry); err != nil {
		t.Fatalf("%v, %s", err, said)
	}
	p.env = without
	if out, said, err := index(); err == nil {
		t.Errorf("without a key: %s%s", out, said)
	}
	untagged(publishedVersion, "without a key")
	p.env = somebody
	if out, said, err := index(); err == nil || !strings.Contains(said, "is not of this release") {
		t.Errorf("signed by somebody else: %v, %s%s", err, out, said)
	}
	untagged(publishedVersion, "signed by somebody else")
	p.env = mine
	p.must("skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "oci-archive:"+archive, "docker://"+image+":9.9.9")
	for _, a := range []string{arch, foreign} {
		p.must("skopeo", "copy", "--quiet", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false",
			"docker://"+image+":"+publishedVersion+"-"+a, "docker://"+image+":9.9.9-"+a)
	}
	if _, said, err := p.script("image/index", "9.9.9", p.registry, arch, foreign); err == nil || !strings.Contains(said, "is published already, as sha256:") {
		t.Errorf("a tag that leads to something else: %v, %s", err, said)
	}
	if out, said, err := p.script("image/digest", image+":9.9.9"); image+"@"+out != pushed {
		t.Errorf("the tag of something else leads to %q now: %v, %s", out, err, said)
	}
	whole, said, err := index()
	if err != nil {
		t.Fatalf("image/index: %v, %s", err, said)
	}
	p.must("env", "COSIGN_PLAIN_HTTP=true", "../../release/cosign", "verify", whole)
	var list struct {
		Manifests []struct {
			Digest   string
			Platform struct{ OS, Architecture string }
		}
	}
	text := p.must("skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+whole)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	got := map[string]string{}
	for _, m := range list.Manifests {
		got[m.Platform.OS+"/"+m.Platform.Architecture] = image + "@" + m.Digest
	}
	if diff := cmp.Diff(map[string]string{"linux/" + arch: pushed, "linux/" + foreign: image + "@sha256:" + manifest(t, other)}, got); diff != "" {
		t.Errorf("the image of the release (-want +got):\n%s", diff)
	}
	if got := p.must("skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+image+":"+publishedVersion); got != text {
		t.Errorf("its tag leads to %s", got)
	}

	if again, said, err := index(); err != nil || again != whole {
		t.Errorf("the same once more: %q, want %q: %v, %s", again, whole, err, said)
	}
	if _, said, err := p.script("image/push", p.other(arch), publishedVersion, arch, p.registry); err == nil || !strings.Contains(said, "is published already; nothing was changed") {
		t.Errorf("another archive for a version that is published: %v, %s", err, said)
	}
	if out, said, err := p.script("image/push", archive, publishedVersion, arch, p.registry); err != nil || out != pushed {
		t.Errorf("the archive that is published, once more: %q, want %q: %v, %s", out, pushed, err, said)
	}
}

// TestDigestOfATag: only a registry that says so has no such tag.
func TestDigestOfATag(t *testing.T) {
	const image = `{"schemaVersion":2}`
	p := publisher{T: t, env: []string{"REGISTRY_USER="}}
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
		known  bool
	}{
		"there is one":    {http.StatusOK, image, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(image))), true},
		"no such tag":     {http.StatusNotFound, `{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "said"}]}`, "", true},
		"no such name":    {http.StatusNotFound, `{"errors": [{"code": "NAME_UNKNOWN", "message": "said"}]}`, "", true},
		"no registry":     {http.StatusNotFound, "manifest unknown", "", false},
		"no credentials":  {http.StatusUnauthorized, `{"errors": [{"code": "UNAUTHORIZED", "message": "said"}]}`, "", false},
		"not allowed":     {http.StatusForbidden, `{"errors": [{"code": "DENIED", "message": "manifest unknown"}]}`, "", false},
		"too many of us":  {http.StatusBadGateway, "manifest unknown", "", false},
		"it is not there": {0, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return
				}
				w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			defer server.Close()
			if test.status == 0 {
				server.Close()
			}
			p.registry = strings.TrimPrefix(server.URL, "http://") + "/cephferry"
			out, said, err := p.script("image/digest", p.registry+"/webhook:1.2.3")
			if out != test.want || (err == nil) != test.known || !test.known && !strings.Contains(said, "image: cannot see whether") {
				t.Errorf("it prints %q, and says, %v: %s", out, err, said)
			}
		})
	}
}
