//go:build lab

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/test/scene"
)

// The examples are what people copy, so each is run as it stands, with the real
// tool.
const examples = "../../examples"

func TestExamplePlainKustomize(t *testing.T) {
	t.Parallel()
	team := newTeam(t, 3)
	team.forCluster(team.kustomize(filepath.Join(examples, "plain")), "PersistentVolumeClaim backups", "StatefulSet db")
}

func TestExampleKustomizeFunction(t *testing.T) {
	t.Parallel()
	team := newTeam(t, 3)
	rendered := team.kustomize("--enable-alpha-plugins", "--enable-exec", filepath.Join(examples, "kustomize"))
	team.forCluster(rendered, "PersistentVolumeClaim backups", "StatefulSet db")
	if diff := cmp.Diff(team.kustomize(filepath.Join(examples, "plain")), rendered); diff != "" {
		t.Errorf("the function and the patches do not do the same (-patches +function):\n%s", diff)
	}
}

// kpt itself cannot be built from its module, which the module proxy does not
// have. So its part is played here: the function of the Kptfile gets the
// ResourceList that kpt documents, with the package's files, the Kptfile too.
func TestExampleKpt(t *testing.T) {
	t.Parallel()
	team := newTeam(t, 3)
	var kptfile struct {
		Pipeline struct {
			Mutators []struct{ Exec string }
		}
	}
	folder := filepath.Join(examples, "kpt")
	team.unmarshal(filepath.Join(folder, "Kptfile"), &kptfile)
	if len(kptfile.Pipeline.Mutators) != 1 {
		t.Fatalf("mutators %v, want one", kptfile.Pipeline.Mutators)
	}
	var items []any
	for i, name := range []string{"Kptfile", "pvc.yaml"} {
		var object unstructured.Unstructured
		team.unmarshal(filepath.Join(folder, name), &object.Object)
		all := object.GetAnnotations()
		if all == nil {
			all = map[string]string{}
		}
		all["internal.config.kubernetes.io/path"], all["config.kubernetes.io/path"] = name, name
		all["internal.config.kubernetes.io/index"], all["config.kubernetes.io/index"] = "0", "0"
		all["internal.config.kubernetes.io/annotations-migration-resource-id"] = string(rune('0' + i))
		object.SetAnnotations(all)
		items = append(items, object.Object)
	}
	input, err := yaml.Marshal(map[string]any{"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	command := strings.Fields(kptfile.Pipeline.Mutators[0].Exec)
	ran := scene.Command{Program: filepath.Join(team.programs(), command[0]), Args: command[1:], Stdin: string(input)}.Run(t.Context())
	if ran.Err != nil {
		t.Fatal(ran.Err, ran.Stderr)
	}
	var list struct {
		APIVersion, Kind string
		Items            []map[string]any
	}
	if err := yaml.Unmarshal([]byte(ran.Stdout), &list); err != nil {
		t.Fatal(err)
	}
	if list.Kind != "ResourceList" || len(list.Items) != 2 {
		t.Fatalf("not a ResourceList of 2 items:\n%s", ran.Stdout)
	}
	if diff := cmp.Diff(items[0], any(list.Items[0])); diff != "" {
		t.Errorf("the Kptfile changed (-in +out):\n%s", diff)
	}
	claim, err := yaml.Marshal(list.Items[1])
	if err != nil {
		t.Fatal(err)
	}
	team.forCluster(string(claim), "PersistentVolumeClaim backups")
}

// The plugin's commands run as Argo CD runs them: in the chart's folder, with
// what it puts into the environment.
func TestExampleArgoCDPlugin(t *testing.T) {
	eachHelm(t, func(team *team) {
		var plugin struct {
			Metadata struct{ Name string }
			Spec     struct {
				Init, Generate struct{ Command []string }
			}
		}
		team.unmarshal(filepath.Join(examples, "argocd", "plugin.yaml"), &plugin)
		var application struct {
			Spec struct {
				Source struct {
					Plugin struct {
						Name string
						Env  []struct{ Name, Value string }
					}
				}
			}
		}
		team.unmarshal(filepath.Join(examples, "argocd", "application.yaml"), &application)
		if got := application.Spec.Source.Plugin.Name; got != plugin.Metadata.Name {
			team.Errorf("the Application names plugin %q, and it is %q", got, plugin.Metadata.Name)
		}
		bin := team.programs()
		env := map[string]string{
			"PATH": bin + ":/usr/bin:/bin", "HOME": team.TempDir(),
			"ARGOCD_APP_NAME": "db", "ARGOCD_APP_NAMESPACE": team.namespace,
			"KUBE_VERSION": "1.36.3", "KUBE_API_VERSIONS": "v1,apps/v1",
		}
		for _, variable := range application.Spec.Source.Plugin.Env {
			env["ARGOCD_ENV_"+variable.Name] = variable.Value
		}
		initialize, generate := plugin.Spec.Init.Command, plugin.Spec.Generate.Command
		run := func(program string, args ...string) scene.Result {
			return scene.Command{Program: program, Args: args, Env: env, Dir: db}.Run(team.Context())
		}
		if ran := run(filepath.Join(bin, initialize[0]), initialize[1:]...); ran.Err != nil {
			team.Fatal(ran.Err, ran.Stderr)
		}
		ran := run(generate[0], generate[1:]...)
		if ran.Err != nil {
			team.Fatal(ran.Err, ran.Stderr)
		}
		team.forCluster(ran.Stdout, "StatefulSet db")

		// What fails in either half of the pipe fails the Application.
		for _, mistake := range []string{"--values no-such-file", `--set-string persistence.annotations.cephferry\.io/migratable=yes`} {
			env["ARGOCD_ENV_HELM_ARGS"] = mistake
			if ran := run(generate[0], generate[1:]...); ran.Err == nil || ran.Stdout != "" {
				team.Errorf("%s: %v\n%s", mistake, ran.Err, ran.Stdout)
			}
		}
	})
}

// Flux runs the patches of a HelmRelease with kustomize, on what Helm rendered.
func TestExampleFlux(t *testing.T) {
	eachHelm(t, func(team *team) {
		var release struct {
			Spec struct {
				PostRenderers []struct {
					Kustomize struct{ Patches []any }
				}
			}
		}
		team.unmarshal(filepath.Join(examples, "flux", "helmrelease.yaml"), &release)
		dir := team.TempDir()
		team.write(filepath.Join(dir, "all.yaml"), team.must(east, "template", "db", db))
		kustomization, err := json.Marshal(map[string]any{"resources": []string{"all.yaml"}, "patches": release.Spec.PostRenderers[0].Kustomize.Patches})
		if err != nil {
			team.Fatal(err)
		}
		team.write(filepath.Join(dir, "kustomization.yaml"), string(kustomization))
		team.forCluster(team.kustomize(dir), "StatefulSet db")
	})
}

// kustomize runs kustomize build, with postrender in PATH.
func (team *team) kustomize(args ...string) string {
	team.Helper()
	env := map[string]string{"PATH": team.programs() + ":/usr/bin:/bin", "HOME": team.TempDir()}
	ran := scene.Command{Program: programs.kustomize, Args: append([]string{"build"}, args...), Env: env}.Run(team.Context())
	if ran.Err != nil {
		team.Fatalf("kustomize build %s: %v\n%s", strings.Join(args, " "), ran.Err, ran.Stderr)
	}
	return ran.Stdout
}

// programs makes a folder with the team's helm and postrender.
func (team *team) programs() string {
	team.Helper()
	dir := team.TempDir()
	helm := programs.helm3
	if team.helm == 4 {
		helm = programs.helm4
	}
	for name, path := range map[string]string{"helm": helm, "postrender": team.postrender} {
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			team.Fatal(err)
		}
	}
	return dir
}

func (team *team) unmarshal(file string, into any) {
	team.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		team.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		team.Fatal(err)
	}
}

// forCluster expects the manifests to be ready for the reconciler: exactly the
// claims and templates of these objects are migratable, and none has a class. The
// API server takes all of them.
func (team *team) forCluster(manifests string, want ...string) {
	team.Helper()
	var got []string
	check := func(object unstructured.Unstructured, all map[string]string, class *string) {
		got = append(got, object.GetKind()+" "+object.GetName())
		if class == nil || *class != "" || all[annotations.Migratable] != "true" {
			team.Errorf("%s %s: class %v, annotations %v", object.GetKind(), object.GetName(), class, all)
		}
	}
	for _, object := range team.objects(manifests) {
		switch object.GetKind() {
		case "PersistentVolumeClaim":
			claim := convert[corev1.PersistentVolumeClaim](team, object.Object)
			check(object, claim.Annotations, claim.Spec.StorageClassName)
		case "StatefulSet":
			for _, template := range convert[appsv1.StatefulSet](team, object.Object).Spec.VolumeClaimTemplates {
				check(object, template.Annotations, template.Spec.StorageClassName)
			}
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		team.Errorf("claims (-want +got):\n%s", diff)
	}
	team.applyHere(east, manifests)
}
