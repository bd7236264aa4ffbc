//go:build lab

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/dynamic"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// What all tests share. It is set before the first of them.
var (
	storage    *scene.Storage
	east, west *cluster
	programs   struct {
		helm3, helm4, kustomize, postrender string
		// plugins is the folder that HELM_PLUGINS names for Helm 4, with the plugin
		// as `make helm4-plugin` lays it out.
		plugins string
		// withCeph is another, whose plugin has the build with a Ceph library.
		withCeph string
		// home keeps what Helm caches of the API servers, which is the same for
		// all tests.
		home string
	}
)

// cluster is one of the lab's clusters, with a client to look at it.
type cluster struct {
	*lab.Cluster
	client dynamic.Interface
}

func TestMain(m *testing.M) {
	scene.Main(m, scene.Setup{
		Name: "e2e", Programs: []string{"helm", "helm4", "kustomize", "postrender"},
	}, func(s *scene.Scene) error {
		storage = s.Storage
		programs.helm3, programs.helm4 = s.Programs["helm"], s.Programs["helm4"]
		programs.kustomize, programs.postrender = s.Programs["kustomize"], s.Programs["postrender"]
		programs.home = s.Home
		programs.plugins = filepath.Join(filepath.Dir(programs.postrender), "helm4")
		if _, err := os.Stat(filepath.Join(programs.plugins, "cephferry", "plugin.yaml")); err != nil {
			return fmt.Errorf("find the Helm 4 plugin: %w; `make helm4-plugin` lays it out", err)
		}
		programs.withCeph = filepath.Join(s.Dir, "plugins")
		if err := layOutPlugin(programs.withCeph, programs.postrender); err != nil {
			return fmt.Errorf("lay out the Helm 4 plugin with Ceph: %w", err)
		}
		east, west = &cluster{s.Lab.East, s.East.Dynamic}, &cluster{s.Lab.West, s.West.Dynamic}
		return nil
	})
}

// layOutPlugin makes a plugin folder like programs.plugins with another renderer.
func layOutPlugin(plugins, postrender string) error {
	plugin := filepath.Join(plugins, "cephferry")
	if err := os.MkdirAll(filepath.Join(plugin, "bin"), 0o700); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(programs.plugins, "cephferry", "plugin.yaml"), filepath.Join(plugin, "plugin.yaml")); err != nil {
		return err
	}
	return os.Symlink(postrender, filepath.Join(plugin, "bin", "postrender"))
}
