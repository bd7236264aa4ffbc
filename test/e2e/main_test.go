//go:build lab

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cephferry/cephferry/test/lab"
)

// What all tests share. It is set before the first of them.
var (
	storage    *lab.Ceph
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
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	if err := findPrograms(tools); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs.home = filepath.Join(dir, "home")
	programs.withCeph = filepath.Join(dir, "plugins")
	if err := layOutPlugin(programs.withCeph, programs.postrender); err != nil {
		return 0, fmt.Errorf("lay out the Helm 4 plugin with Ceph: %w", err)
	}

	servers, err := lab.Start(context.Background(), lab.Options{Dir: dir, Tools: tools})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	storage = servers.Ceph
	if east, err = connect(servers.East); err != nil {
		return 0, err
	}
	if west, err = connect(servers.West); err != nil {
		return 0, err
	}

	return m.Run(), nil
}

func findPrograms(tools lab.Tools) error {
	for _, wanted := range []struct {
		path *string
		name string
	}{
		{&programs.helm3, "helm"},
		{&programs.helm4, "helm4"},
		{&programs.kustomize, "kustomize"},
		{&programs.postrender, "postrender"},
	} {
		path, err := tools.Find(wanted.name)
		if err != nil {
			return err
		}
		*wanted.path = path
	}
	programs.plugins = filepath.Join(filepath.Dir(programs.postrender), "helm4")
	if _, err := os.Stat(filepath.Join(programs.plugins, "cephferry", "plugin.yaml")); err != nil {
		return fmt.Errorf("find the Helm 4 plugin: %w; `make helm4-plugin` lays it out", err)
	}
	return nil
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

func connect(started *lab.Cluster) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", started.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no limit: the default makes tests wait
	client, err := dynamic.NewForConfig(config)
	return &cluster{started, client}, err
}
