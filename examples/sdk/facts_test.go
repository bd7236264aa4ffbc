package sdk_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	helm3 "helm.sh/helm/v3/pkg/action"
	chart3 "helm.sh/helm/v3/pkg/chart"
	helm4 "helm.sh/helm/v4/pkg/action"
	common4 "helm.sh/helm/v4/pkg/chart/common"
	chart4 "helm.sh/helm/v4/pkg/chart/v2"
	release4 "helm.sh/helm/v4/pkg/release/v1"

	"github.com/cephferry/cephferry/pkg/helmrender"
	"github.com/cephferry/cephferry/pkg/postrender"
)

// hook is the claim as a hook.
var hook = strings.Replace(claim, "annotations:", "annotations:\n    helm.sh/hook: pre-install", 1)

// unrendered is the line of a claim that no post-renderer has seen.
const unrendered = "storageClassName: ceph-block"

// A way renders one template with one Helm and returns the manifest of the release
// and those of its hooks.
type way func(template string) (manifest, hooks string, err error)

func with3(outputDir string) way {
	return func(template string) (manifest, hooks string, err error) {
		install := helm3.NewInstall(&helm3.Configuration{})
		install.ReleaseName, install.Namespace = "db", "shop"
		install.DryRun, install.ClientOnly = true, true
		install.OutputDir = outputDir
		install.PostRenderer = helmrender.ForCluster()
		release, err := install.Run(&chart3.Chart{
			Metadata:  &chart3.Metadata{APIVersion: "v2", Name: "db", Version: "1.0.0"},
			Templates: []*chart3.File{{Name: "templates/claim.yaml", Data: []byte(template)}},
		}, nil)
		if err != nil {
			return "", "", err
		}
		for _, h := range release.Hooks {
			hooks += h.Manifest
		}
		return release.Manifest, hooks, nil
	}
}

func with4(strategy helm4.PostRenderStrategy) way {
	return func(template string) (manifest, hooks string, err error) {
		install := helm4.NewInstall(&helm4.Configuration{})
		install.ReleaseName, install.Namespace = "db", "shop"
		install.DryRunStrategy = helm4.DryRunClient
		install.PostRenderStrategy = strategy
		install.PostRenderer = helmrender.ForCluster()
		answer, err := install.Run(&chart4.Chart{
			Metadata:  &chart4.Metadata{APIVersion: "v2", Name: "db", Version: "1.0.0"},
			Templates: []*common4.File{{Name: "templates/claim.yaml", Data: []byte(template)}},
		}, nil)
		if err != nil {
			return "", "", err
		}
		release := answer.(*release4.Release)
		for _, h := range release.Hooks {
			hooks += h.Manifest
		}
		return release.Manifest, hooks, nil
	}
}

func TestHooks(t *testing.T) {
	for name, test := range map[string]struct {
		render  way
		refused bool
	}{
		"Helm 3 keeps hooks to itself":                {render: with3("")},
		"Helm 4 hands them over":                      {render: with4(helm4.PostRenderStrategyCombined), refused: true},
		"Helm 4 hands them over separately, if asked": {render: with4(helm4.PostRenderStrategySeparate), refused: true},
		"Helm 4 keeps them to itself, if asked":       {render: with4(helm4.PostRenderStrategyNoHooks)},
	} {
		t.Run(name, func(t *testing.T) {
			_, hooks, err := test.render(hook)
			if test.refused {
				refuses(t, err, "helm.sh/hook")
				return
			}
			if err != nil || !strings.Contains(hooks, unrendered) {
				t.Errorf("error %v, and hooks that are not as the chart has them:\n%s", err, hooks)
			}
		})
	}
}

func TestBothHelmsReturnTheMistakes(t *testing.T) {
	for name, render := range map[string]way{
		"Helm 3": with3(""),
		"Helm 4": with4(helm4.PostRenderStrategyCombined),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := render(strings.Replace(claim, `"true"`, `"perhaps"`, 1))
			refuses(t, err, "cephferry.io/migratable")
		})
	}
}

// refuses expects mistakes of the claim, one of them about that.
func refuses(t *testing.T, err error, about string) {
	t.Helper()
	var mistakes postrender.Mistakes
	if !errors.As(err, &mistakes) || mistakes[0].Object != "PersistentVolumeClaim db-data" || !strings.Contains(mistakes.Error(), about) {
		t.Errorf("error %v is not the claim's mistake about %s", err, about)
	}
}

func TestHelm3WritesFilesThatWereNotRendered(t *testing.T) {
	folder := t.TempDir()
	manifest, _, err := with3(folder)(claim)
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(folder, "db", "templates", "claim.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if manifest != "" || !strings.Contains(string(written), unrendered) {
		t.Errorf("Helm 3 renders files by now; documents say that it does not:\n%s", written)
	}
}
