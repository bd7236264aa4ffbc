package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// load reads a YAML file of the repository.
func load(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

type chartFile struct {
	Version, AppVersion, Icon string
	Annotations               map[string]string
}

// TestOneVersion: the plugin's hook fetches the version that plugin.yaml names, and the chart
// runs the image of its appVersion, so all of them are released together.
func TestOneVersion(t *testing.T) {
	var chart chartFile
	var plugin struct{ Version string }
	load(t, "charts/cephferry/Chart.yaml", &chart)
	load(t, "plugin.yaml", &plugin)
	if plugin.Version == "" || chart.Version != plugin.Version || chart.AppVersion != plugin.Version {
		t.Errorf("plugin.yaml is version %q, Chart.yaml %q of the app %q", plugin.Version, chart.Version, chart.AppVersion)
	}
}

// TestArtifactHubKnowsTheObjects: what the chart's page lists is what the chart installs, and the
// example is an object that the API server takes.
func TestArtifactHubKnowsTheObjects(t *testing.T) {
	var chart chartFile
	load(t, "charts/cephferry/Chart.yaml", &chart)
	type crd struct{ Kind, Version, Name string }
	var listed, installed []crd
	if err := yaml.Unmarshal([]byte(chart.Annotations["artifacthub.io/crds"]), &listed); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../charts/cephferry/crd-schemas/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var schema struct {
			Metadata struct{ Name string }
			Spec     struct {
				Names    struct{ Kind string }
				Versions []struct{ Name string }
			}
		}
		load(t, strings.TrimPrefix(file, "../../"), &schema)
		for _, version := range schema.Spec.Versions {
			installed = append(installed, crd{schema.Spec.Names.Kind, version.Name, schema.Metadata.Name})
		}
	}
	if diff := cmp.Diff(installed, listed); diff != "" {
		t.Errorf("artifacthub.io/crds (-chart +annotation):\n%s", diff)
	}
	var examples []v1alpha1.Takeover
	if err := yaml.UnmarshalStrict([]byte(chart.Annotations["artifacthub.io/crdsExamples"]), &examples); err != nil {
		t.Fatal(err)
	}
	if len(examples) != 1 || examples[0].Kind != "Takeover" || examples[0].Spec.From == "" || len(examples[0].Spec.Claims) == 0 {
		t.Errorf("artifacthub.io/crdsExamples is %+v", examples)
	}
}

// TestAddressesOfTheChart: what Artifact Hub shows of this repository is in it.
func TestAddressesOfTheChart(t *testing.T) {
	var chart chartFile
	load(t, "charts/cephferry/Chart.yaml", &chart)
	var links []struct{ Name, URL string }
	if err := yaml.Unmarshal([]byte(chart.Annotations["artifacthub.io/links"]), &links); err != nil {
		t.Fatal(err)
	}
	addresses := []string{strings.Replace(chart.Icon, "https://raw.githubusercontent.com/cephferry/cephferry/main/", "https://github.com/cephferry/cephferry/blob/main/", 1)}
	for _, link := range links {
		addresses = append(addresses, link.URL)
	}
	for _, address := range addresses {
		path, ours := strings.CutPrefix(address, "https://github.com/cephferry/cephferry/blob/main/")
		if _, err := os.Stat(filepath.Join("../..", path)); !ours || err != nil {
			t.Errorf("%q leads to no file of the repository", address)
		}
	}
	if len(links) == 0 {
		t.Error("there are no links")
	}
}
