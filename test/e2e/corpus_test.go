//go:build lab

package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/test/scene"
)

// corpusVariable names a folder with rendered manifests of charts that nobody
// here wrote, all for the namespace shop. Without it the folder is looked for
// beside the repository, and may be missing.
const corpusVariable = "CEPHFERRY_CORPUS"

func TestRenderedChartsAreAcceptedAndTheirClaimsBound(t *testing.T) {
	t.Parallel()
	shop := newTeam(t, 3)
	shop.namespace = "shop"
	shop.makeNamespace(shop.namespace)
	classes := shop.write(filepath.Join(t.TempDir(), "class.yaml"), strings.Replace(rbdClass{name: "ceph-block"}.manifest(),
		"metadata:\n", "metadata:\n  annotations: {storageclass.kubernetes.io/is-default-class: \"true\"}\n", 1))

	for name, manifests := range shop.corpus() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			team := &team{T: t, namespace: shop.namespace}
			ran := scene.Command{Program: programs.postrender, Stdin: manifests, Args: []string{
				"--create=client", "--dry-run", "--namespace", team.namespace, "--storage-class", classes}}.Run(t.Context())
			if ran.Err != nil {
				t.Fatal(ran.Err, ran.Stderr)
			}
			want := team.wantedClaims(manifests)
			if len(want) == 0 {
				if ran.Stdout != manifests {
					t.Error("manifests without an annotation of ours were changed")
				}
				return
			}
			pairs, claims := team.pairs(ran.Stdout)
			if diff := gocmp.Diff(want, claims); diff != "" {
				t.Errorf("claims with a pair (-want +got):\n%s", diff)
			}
			team.applyHere(west, ran.Stdout, "--dry-run=server")
			team.applyHere(west, pairs)
			for _, claim := range claims {
				team.bound(west, claim)
			}
		})
	}
}

// corpus is rendered manifests by name: those of our own charts, and of the
// folder.
func (team *team) corpus() map[string]string {
	team.Helper()
	all := map[string]string{
		"our web": team.must(west, "template", "our-web", web, migratable),
		"our db":  team.must(west, "template", "our-db", db, migratable, replicas("2")),
	}
	named := os.Getenv(corpusVariable)
	dir := cmp.Or(named, "../../../shared/corpus")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && named == "" {
		team.Logf("no folder %s; only our own charts are rendered", dir)
		return all
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		team.Fatal(err)
	}
	if len(files) == 0 {
		team.Fatalf("there are no manifests (*.yaml) in %s", dir)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			team.Fatal(err)
		}
		all[filepath.Base(file)] = string(content)
	}
	return all
}

// wantedClaims are the names of the claims that the manifests ask a pair for.
func (team *team) wantedClaims(manifests string) []string {
	var names []string
	for _, object := range team.objects(manifests) {
		switch object.GetKind() {
		case "PersistentVolumeClaim":
			if object.GetAnnotations()[annotations.Migratable] == "true" {
				names = append(names, object.GetName())
			}
		case "StatefulSet":
			set := convert[appsv1.StatefulSet](team, object.Object)
			for _, template := range set.Spec.VolumeClaimTemplates {
				for ordinal := range int(*set.Spec.Replicas) {
					if template.Annotations[annotations.Migratable] == "true" {
						names = append(names, staticpv.ClaimName(template.Name, set.Name, ordinal))
					}
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// pairs are the volumes and claims among the manifests that belong to a pair,
// and the names of those claims.
func (team *team) pairs(manifests string) (pairs string, names []string) {
	for _, object := range team.objects(manifests) {
		switch object.GetKind() {
		case "PersistentVolumeClaim":
			claim := convert[corev1.PersistentVolumeClaim](team, object.Object)
			if claim.Spec.VolumeName == "" {
				continue
			}
			names = append(names, claim.Name)
		case "PersistentVolume":
		default:
			continue
		}
		data, err := json.Marshal(object.Object)
		if err != nil {
			team.Fatal(err)
		}
		pairs += "---\n" + string(data) + "\n"
	}
	slices.Sort(names)
	return pairs, names
}

func (team *team) objects(manifests string) []unstructured.Unstructured {
	team.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	var all []unstructured.Unstructured
	for {
		var object unstructured.Unstructured
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			team.Fatal(err)
		}
		if object.Object != nil {
			all = append(all, object)
		}
	}
}
