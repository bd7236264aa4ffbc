// Package repo checks the repository itself: that imports point one way, that
// versions agree, and that documents say what the code does.
package repo

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/takeover"
)

const (
	root   = "../.."
	module = "github.com/cephferry/cephferry/"
)

// layers are the packages from the vocabulary up. A package imports packages of
// lower layers only.
var layers = [][]string{
	{"pkg/annotations", "pkg/api/v1alpha1", "pkg/ceph", "pkg/manifest", "pkg/helmcall", "pkg/csiconfig", "pkg/version", "pkg/recorder", "pkg/flagvalue", "pkg/count", "pkg/kubeyaml", "pkg/compare", "pkg/podrun"},
	{"pkg/claims", "pkg/ceph/goceph", "pkg/ceph/cephtest", "pkg/storageclass"},
	{"pkg/staticpv", "pkg/slim"},
	{"pkg/provision", "pkg/connect", "pkg/ownership", "pkg/imagename", "pkg/dynamicpv"},
	{"pkg/postrender", "pkg/volumes", "pkg/doctor"},
	{"pkg/usage", "pkg/failover", "pkg/move", "pkg/restore"},
	{"pkg/missing"},
	{"pkg/guard", "pkg/provisioner", "pkg/adopt", "pkg/idle", "pkg/register", "pkg/helmrender", "pkg/page"},
	{"pkg/keeper", "pkg/inventory", "pkg/rekey", "pkg/access"},
	{"pkg/planning", "pkg/objects"},
	{"pkg/takeover"},
	{"cmd/postrender", "cmd/webhook", "cmd/kubectl-cephferry"},
}

// besides are packages with nothing that a program imports: what tests embed, and a program of the
// image's build.
var besides = []string{"charts", "docs", "image/describe"}

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// packages lists the module's packages with their imports, cgo ones too.
func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-tags", "pacific lab krbd image neighbours", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p goPackage
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestImportsPointOneWay(t *testing.T) {
	level := map[string]int{}
	for i, layer := range layers {
		for _, name := range layer {
			level[module+name] = i
		}
	}
	seen := 0
	for _, p := range packages(t) {
		mine, ok := level[p.ImportPath]
		if !ok {
			if name := strings.TrimPrefix(p.ImportPath, module); !strings.HasPrefix(name, "test/") && !slices.Contains(besides, name) {
				t.Errorf("%s is in no layer; put it into the list above and into docs/architecture.md", p.ImportPath)
			}
			continue
		}
		seen++
		for _, imported := range p.Imports {
			theirs, ok := level[imported]
			if strings.HasPrefix(imported, module) && (!ok || theirs >= mine) {
				t.Errorf("%s imports %s, which is not in a lower layer", p.ImportPath, imported)
			}
		}
	}
	if seen != len(level) {
		t.Errorf("%d of the %d packages in the layers exist", seen, len(level))
	}
}

// TestOnlyProgramsImportAdmission: what this cluster does with an image, and whether it
// may be released, is decided without the webhook.
func TestOnlyProgramsImportAdmission(t *testing.T) {
	var importers []string
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "pkg/") && name != "pkg/guard" && slices.Contains(slices.Concat(p.Imports, p.TestImports, p.XTestImports), module+"pkg/guard") {
			importers = append(importers, name)
		}
		if name == "cmd/kubectl-cephferry" && slices.Contains(p.Imports, module+"pkg/guard") {
			importers = append(importers, name)
		}
	}
	if len(importers) > 0 {
		t.Errorf("%q import pkg/guard, which is admission only", importers)
	}
}

// askCeph are packages that the product does not import. Those of the lab stand in for a node's
// kernel client; test/scene judges the product by what it did to Ceph.
var askCeph = []string{module + "test/lab/libcephfs", module + "test/lab/librbd", module + "test/scene"}

func TestOnePackageImportsGoCeph(t *testing.T) {
	var importers []string
	for _, p := range packages(t) {
		if slices.Contains(askCeph, p.ImportPath) {
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if imported == "C" || strings.HasPrefix(imported, "github.com/ceph/go-ceph") {
				importers = append(importers, p.ImportPath)
				break
			}
		}
	}
	if diff := cmp.Diff([]string{module + "pkg/ceph/goceph"}, importers); diff != "" {
		t.Errorf("packages that import go-ceph or C (-want +got):\n%s", diff)
	}
}

// TestVocabularyOfCephIsPlain: package ceph speaks of Ceph in Go's own terms.
func TestVocabularyOfCephIsPlain(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"pkg/ceph" {
			continue
		}
		for _, imported := range p.Imports {
			if strings.Contains(imported, ".") {
				t.Errorf("pkg/ceph imports %s, which is not in the standard library", imported)
			}
		}
		return
	}
	t.Error("there is no pkg/ceph")
}

// TestToolVersions compares versions.mk with the module files it stands for.
func TestToolVersions(t *testing.T) {
	versions := read(t, "versions.mk")
	for file, variable := range map[string]string{
		"test/tools/kubernetes/go.mod k8s.io/kubernetes":                            "KUBERNETES_VERSION",
		"test/tools/helm3/go.mod helm.sh/helm/v3":                                   "HELM3_VERSION",
		"go.mod helm.sh/helm/v3":                                                    "HELM3_VERSION",
		"examples/sdk/go.mod helm.sh/helm/v3":                                       "HELM3_VERSION",
		"test/chart/render/go.mod helm.sh/helm/v3":                                  "HELM3_VERSION",
		"test/tools/helm4/go.mod helm.sh/helm/v4":                                   "HELM4_VERSION",
		"examples/sdk/go.mod helm.sh/helm/v4":                                       "HELM4_VERSION",
		"test/tools/kustomize/go.mod sigs.k8s.io/kustomize/kustomize/v5":            "KUSTOMIZE_VERSION",
		"test/tools/resizer/go.mod github.com/kubernetes-csi/external-resizer":      "RESIZER_VERSION",
		"test/tools/golangci-lint/go.mod github.com/golangci/golangci-lint/v2":      "GOLANGCI_LINT_VERSION",
		"test/tools/krew/go.mod sigs.k8s.io/krew":                                   "KREW_VERSION",
		"test/tools/registry/go.mod github.com/google/go-containerregistry":         "REGISTRY_VERSION",
		"test/tools/cosign/go.mod github.com/sigstore/cosign/v3":                    "COSIGN_VERSION",
		"test/tools/govulncheck/go.mod golang.org/x/vuln":                           "GOVULNCHECK_VERSION",
		"test/tools/cert-manager/go.mod github.com/cert-manager/cert-manager":       "CERT_MANAGER_VERSION",
		"test/chart/render/go.mod github.com/cert-manager/cert-manager":             "CERT_MANAGER_VERSION",
		"test/tools/controller-gen/go.mod sigs.k8s.io/controller-tools":             "CONTROLLER_GEN_VERSION",
		"test/tools/cloudnative-pg/go.mod github.com/cloudnative-pg/cloudnative-pg": "CLOUDNATIVE_PG_VERSION",
		"test/tools/flux/go.mod github.com/fluxcd/helm-controller":                  "HELM_CONTROLLER_VERSION",
		"test/tools/argocd/go.mod github.com/argoproj/argo-cd/gitops-engine":        "GITOPS_ENGINE_VERSION",
		"test/tools/hugo/go.mod github.com/gohugoio/hugo":                           "HUGO_VERSION",
	} {
		name, required, _ := strings.Cut(file, " ")
		want := submatch(t, versions, `(?m)^`+variable+`\s*:= (\S+)$`)
		got := submatch(t, read(t, name), `(?m)^(?:require )?\s*`+regexp.QuoteMeta(required)+` (v\S+)`)
		if want != got {
			t.Errorf("versions.mk has %s %s, %s requires %s", variable, want, name, got)
		}
	}
}

func TestAnnotationTable(t *testing.T) {
	var want []string
	for _, key := range annotations.Keys() {
		where := "claim, template"
		if key.TemplateOnly {
			where = "template"
		}
		fallback := ""
		if key.Default != "" {
			fallback = code(key.Default)
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", key.Name, where, code(key.Values), fallback))
	}
	var got []string
	for _, row := range rows(read(t, "docs/annotations.md"), annotations.Prefix) {
		cells := strings.Split(row, " | ")
		got = append(got, strings.Join(cells[:4], " | ")+" |") // the fifth says why
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/annotations.md (-code +document):\n%s", diff)
	}
}

// TestChartKnowsTheAnnotations: the policies of the chart go by the same keys, and take
// the same keys for near misses.
func TestChartKnowsTheAnnotations(t *testing.T) {
	var keys []string
	for _, key := range annotations.Keys() {
		keys = append(keys, "'"+key.Name+"'")
	}
	helpers := read(t, "charts/cephferry/templates/_unrendered.tpl")
	for name, want := range map[string]string{
		"cephferry.annotations": "[" + strings.Join(keys, ", ") + "]",
		"cephferry.meant":       "r'" + annotations.Meant + "'",
	} {
		found := regexp.MustCompile(`define "` + regexp.QuoteMeta(name) + `" -}}\n(.*)\n`).FindStringSubmatch(helpers)
		if found == nil {
			t.Fatalf("%s is not defined", name)
		}
		if diff := cmp.Diff(want, found[1]); diff != "" {
			t.Errorf("%s (-code +chart):\n%s", name, diff)
		}
	}
}

// code marks quoted values as code.
func code(text string) string {
	return regexp.MustCompile(`"[^"]*"|<[^>]*>(\.<[^>]*>)*|spec\.\w+`).ReplaceAllString(text, "`$0`")
}

func TestFlagTables(t *testing.T) {
	for command, file := range map[string]string{
		"./cmd/postrender": "docs/postrender.md",
		"./cmd/webhook":    "docs/webhook.md",
	} {
		help := exec.Command("go", "run", command, "--help")
		help.Dir = root
		help.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := help.Output()
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, m := range regexp.MustCompile(`(?m)^\s+(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(string(out), -1) {
			want = append(want, m[1])
		}
		for _, row := range rows(read(t, file), "--") {
			got = append(got, submatch(t, row, "(--[a-z-]+)"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-code +document):\n%s", file, diff)
		}
	}
}

// TestPluginFlagTables: each command of the plugin has a section with a table of its
// flags.
func TestPluginFlagTables(t *testing.T) {
	plugin := filepath.Join(t.TempDir(), "plugin")
	build := exec.Command("go", "build", "-o", plugin, "./cmd/kubectl-cephferry")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	help := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(plugin, append(args, "--help")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		own, _, _ := strings.Cut(string(out), "Global Flags:")
		return own
	}
	want := map[string][]string{"Flags of all commands": flagsIn(help())}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+)  `).FindAllStringSubmatch(help(), -1) {
		if m[1] != "help" {
			want[m[1]] = flagsIn(help(m[1]))
		}
	}
	got := map[string][]string{}
	for _, section := range strings.Split(read(t, "docs/kubectl-cephferry.md"), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		if _, ok := want[title]; ok {
			got[title] = nil // a command may have no flags
		}
		for _, row := range rows(text, "--") {
			got[title] = append(got[title], submatch(t, row, "(--[a-z-]+)"))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/kubectl-cephferry.md (-code +document):\n%s", diff)
	}
}

// flagsIn are the flags in a usage text, without those that every program has.
func flagsIn(usage string) []string {
	var flags []string
	for _, m := range regexp.MustCompile(`(?m)^\s+(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(usage, -1) {
		if m[1] != "--help" && m[1] != "--version" {
			flags = append(flags, m[1])
		}
	}
	return flags
}

// TestMetricsTables compares names and labels with what is registered.
func TestMetricsTables(t *testing.T) {
	for file, registerAll := range metricsOf {
		compareMetrics(t, file, registerAll)
	}
}

func compareMetrics(t *testing.T, file string, registerAll func(prometheus.Registerer)) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registerAll(registry)
	descriptions := make(chan *prometheus.Desc, 100)
	registry.Describe(descriptions)
	close(descriptions)
	var want, got []string
	for d := range descriptions {
		m := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: {([^}]*)}`).FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		want = append(want, fmt.Sprintf("`%s` | %s", m[1], strings.ReplaceAll(m[2], ",", ", ")))
	}
	for _, row := range rows(read(t, file), "cephferry_") {
		cells := strings.Split(strings.Trim(row, "| "), "|")
		got = append(got, strings.TrimSpace(cells[0])+" | "+strings.TrimSpace(cells[1]))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-code +document):\n%s", file, diff)
	}
}

func TestConfigMapsAreDocumented(t *testing.T) {
	document := read(t, "docs/client.md")
	for _, location := range csiconfig.Locations() {
		if want := fmt.Sprintf("`%s`, key `%s`", location.Name, location.Key); !strings.Contains(document, want) {
			t.Errorf("docs/client.md does not mention %s", want)
		}
	}
}

// TestTakeovers: the document has every field that a person can set, every phase and every step.
func TestTakeovers(t *testing.T) {
	document := read(t, "docs/takeover.md")
	var schema struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPI struct {
						Properties map[string]struct {
							Properties map[string]struct {
								Enum []string `json:"enum"`
							} `json:"properties"`
						} `json:"properties"`
					} `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "charts/cephferry/crd-schemas/cephferry.io_takeovers.yaml")), &schema); err != nil {
		t.Fatal(err)
	}
	object := schema.Spec.Versions[0].Schema.OpenAPI.Properties
	phases := object["status"].Properties["phase"].Enum
	if len(object["spec"].Properties) < 5 || len(phases) < 5 {
		t.Fatalf("the schema has the fields %v, and the phases %q", object["spec"].Properties, phases)
	}
	for field := range object["spec"].Properties {
		if !strings.Contains(document, "\n| `"+field+"` |") {
			t.Errorf("docs/takeover.md has no row for spec.%s", field)
		}
	}
	for _, phase := range phases {
		if !strings.Contains(document, "\n| "+phase+" |") {
			t.Errorf("docs/takeover.md has no row for phase %s", phase)
		}
	}
	steps := takeover.Conditions()
	if len(steps) == 0 {
		t.Error("there are no steps")
	}
	for _, step := range steps {
		if !strings.Contains(document, "`"+step+"`") {
			t.Errorf("docs/takeover.md does not mention %s", step)
		}
	}
}

// TestPackageMap: every package of the layers has its sentence.
func TestPackageMap(t *testing.T) {
	document := read(t, "docs/architecture.md")
	for _, layer := range layers {
		for _, name := range layer {
			if !strings.Contains(document, "| `"+name+"` |") {
				t.Errorf("docs/architecture.md has no row for %s", name)
			}
		}
	}
}

// TestMakeTargets: every make command in a document is a target.
func TestMakeTargets(t *testing.T) {
	targets := map[string]bool{}
	files := []string{"Makefile"}
	for _, m := range regexp.MustCompile(`(?m)^include (\S+)$`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		files = append(files, m[1])
	}
	for _, file := range files {
		for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(read(t, file), -1) {
			targets[m[1]] = true
		}
	}
	found := 0
	for _, file := range documents(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?m)(?:^|`)(?:sudo )?make ([a-z0-9-]+)").FindAllStringSubmatch(string(data), -1) {
			found++
			if !targets[m[1]] {
				t.Errorf("%s: there is no target %q", filepath.Base(file), m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no document mentions a make target")
	}
}

// TestLinks: every relative link in a document leads to a file.
func TestLinks(t *testing.T) {
	for _, file := range documents(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", filepath.Base(file), m[1], err)
			}
		}
	}
}

// documents returns the paths of all that people read.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"*.md", "docs/*.md", "charts/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		found = append(found, files...)
	}
	return found
}

// rows returns the lines of a document's tables whose first cell starts with
// prefix, in code marks.
func rows(document, prefix string) []string {
	var found []string
	for line := range strings.Lines(document) {
		if strings.HasPrefix(line, "| `"+prefix) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func submatch(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return m[1]
}
