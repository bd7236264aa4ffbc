package doctor_test

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/doctor"
)

// self is the renderer that runs the checks in all tests.
var self = doctor.Self{Path: "/build/postrender", Version: "1.2.3"}

// machine has programs in /bin, with what they answer to their arguments. A key
// with "!" before it is what they write to stderr, with "?" why they fail.
type machine map[string]map[string]string

func (m machine) LookPath(name string) (string, error) {
	if _, ok := m[name]; !ok {
		return "", fs.ErrNotExist
	}
	return "/bin/" + name, nil
}

func (m machine) Run(_ context.Context, program string, args ...string) (stdout, stderr string, err error) {
	answers, asked := m[path.Base(program)], strings.Join(args, " ")
	if why, ok := answers["?"+asked]; ok {
		return "", "", errors.New(why)
	}
	return answers[asked], answers["!"+asked], nil
}

const askVersion, askPlugins = "version --template {{.Version}}", "env HELM_PLUGINS"

func TestHelm(t *testing.T) {
	helm3 := map[string]string{askVersion: "v3.22.0", askPlugins: "/plugins\n"}
	helm4 := map[string]string{askVersion: "v4.3.1", askPlugins: "/plugins4\n", "plugin list": "NAME VERSION\ncephferry\t1.2.3\tpostrenderer/v1\n"}
	with := func(base map[string]string, pairs ...string) map[string]string {
		changed := map[string]string{}
		for key, value := range base {
			changed[key] = value
		}
		for i := 0; i < len(pairs); i += 2 {
			changed[pairs[i]] = pairs[i+1]
		}
		return changed
	}
	renderer := map[string]string{"--version": "1.2.3\n"}
	tests := map[string]struct {
		machine machine
		want    []doctor.Finding
	}{
		"Helm 3": {
			machine: machine{"helm": helm3, "postrender": renderer},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm"},
				{State: doctor.OK, Check: "renderer", Says: "/bin/postrender, for helm --post-renderer postrender"},
			},
		},
		"Helm 4 needs no renderer in PATH": {
			machine: machine{"helm": helm4},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v4.3.1, /bin/helm"},
				{State: doctor.OK, Check: "plugin", Says: "cephferry in /plugins4, for helm --post-renderer cephferry"},
			},
		},
		"no Helm": {
			want: []doctor.Finding{{State: doctor.Problem, Check: "helm", Says: "there is no helm, helm3 or helm4 in PATH", Do: "install Helm 3 or 4: https://helm.sh/docs/intro/install/"}},
		},
		"Helm 2": {
			machine: machine{"helm": {askVersion: "v2.17.0"}},
			want:    []doctor.Finding{{State: doctor.Problem, Check: "helm", Says: "/bin/helm is Helm v2.17.0, and only Helm 3 and 4 are supported", Do: "install Helm 3 or 4: https://helm.sh/docs/intro/install/"}},
		},
		"a Helm that does not run": {
			machine: machine{"helm": {"?" + askVersion: "exec format error"}},
			want:    []doctor.Finding{{State: doctor.Problem, Check: "helm", Says: "/bin/helm does not print its version: exec format error", Do: "/bin/helm version"}},
		},
		"Helm 3 without the renderer": {
			machine: machine{"helm": helm3},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm"},
				{State: doctor.Problem, Check: "renderer", Says: "postrender is not in PATH, where Helm 3 looks for it", Do: "install -m 755 /build/postrender /usr/local/bin/postrender"},
			},
		},
		"Helm 3 with the plugin": {
			machine: machine{"helm": with(helm3, "plugin list", "NAME VERSION DESCRIPTION\ncephferry\t1.2.3\tMakes the claims\n")},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm"},
				{State: doctor.OK, Check: "renderer", Says: `the plugin cephferry in /plugins, for helm --post-renderer "$(helm cephferry path)"`},
			},
		},
		"Helm 3 with the plugin of another version": {
			machine: machine{"helm": with(helm3, "plugin list", "cephferry 1.0.0 Makes the claims")},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm"},
				{State: doctor.Problem, Check: "renderer", Says: "postrender is not in PATH, where Helm 3 looks for it", Do: "install -m 755 /build/postrender /usr/local/bin/postrender"},
			},
		},
		"Helm 4 that sees the plugin of Helm 3": {
			machine: machine{"helm3": helm3, "postrender": renderer, "helm4": with(helm4, askPlugins, "/plugins", "plugin list", "cephferry 1.2.3 cli/v1 legacy")},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm3"},
				{State: doctor.OK, Check: "helm", Says: "Helm v4.3.1, /bin/helm4"},
				{State: doctor.OK, Check: "renderer", Says: "/bin/postrender, for helm --post-renderer postrender"},
				{State: doctor.Problem, Check: "plugin", Says: "the plugin cephferry in /plugins was installed by Helm 3, and is no post-renderer for /bin/helm4", Do: "set HELM_PLUGINS=/plugins-helm4 where Helm 4 runs, and there: /bin/helm4 plugin install https://github.com/cephferry/cephferry --version v1.2.3 --verify=false"},
			},
		},
		"a renderer of another version": {
			machine: machine{"helm3": helm3, "postrender": {"--version": "1.0.0"}},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm3"},
				{State: doctor.Problem, Check: "renderer", Says: "/bin/postrender is version 1.0.0, and this is 1.2.3", Do: "install -m 755 /build/postrender /usr/local/bin/postrender"},
			},
		},
		"a renderer that does not run": {
			machine: machine{"helm": helm3, "postrender": {"?--version": "librbd.so.1: cannot open"}},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm"},
				{State: doctor.Problem, Check: "renderer", Says: "/bin/postrender does not run: librbd.so.1: cannot open", Do: "install -m 755 /build/postrender /usr/local/bin/postrender"},
			},
		},
		"Helm 3 that stumbles over the plugin": {
			machine: machine{"helm": with(helm3, "!"+askVersion, "Error: failed to load plugins: unknown field\n"), "postrender": renderer},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm"},
				{State: doctor.OK, Check: "renderer", Says: "/bin/postrender, for helm --post-renderer postrender"},
				{State: doctor.Problem, Check: "plugin", Says: "/bin/helm loads no plugin at all, because of a plugin for Helm 4 in /plugins: Error: failed to load plugins: unknown field", Do: "rm -r /plugins/cephferry"},
			},
		},
		"both Helms and one plugin folder": {
			machine: machine{
				"helm3": with(helm3, "!"+askVersion, "failed to load plugins: unknown field"), "postrender": renderer,
				"helm4": with(helm4, askPlugins, "/plugins"),
			},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm3"},
				{State: doctor.OK, Check: "helm", Says: "Helm v4.3.1, /bin/helm4"},
				{State: doctor.OK, Check: "renderer", Says: "/bin/postrender, for helm --post-renderer postrender"},
				{State: doctor.Problem, Check: "plugin", Says: "/bin/helm3 loads no plugin at all, because of a plugin for Helm 4 in /plugins: failed to load plugins: unknown field", Do: "mkdir -p /plugins-helm4 && mv /plugins/cephferry /plugins-helm4/, and set HELM_PLUGINS=/plugins-helm4 where Helm 4 runs"},
				{State: doctor.OK, Check: "plugin", Says: "cephferry in /plugins, for helm --post-renderer cephferry"},
			},
		},
		"Helm 4 without the plugin, beside Helm 3": {
			machine: machine{"helm3": helm3, "postrender": renderer, "helm4": {askVersion: "v4.3.1", askPlugins: "/plugins"}},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v3.22.0, /bin/helm3"},
				{State: doctor.OK, Check: "helm", Says: "Helm v4.3.1, /bin/helm4"},
				{State: doctor.OK, Check: "renderer", Says: "/bin/postrender, for helm --post-renderer postrender"},
				{State: doctor.Problem, Check: "plugin", Says: "/bin/helm4 has no plugin cephferry in /plugins, and Helm 4 takes no other post-renderer", Do: "set HELM_PLUGINS=/plugins-helm4 where Helm 4 runs, and there: /bin/helm4 plugin install https://github.com/cephferry/cephferry --version v1.2.3 --verify=false"},
			},
		},
		"a plugin of another version": {
			machine: machine{"helm": with(helm4, "plugin list", "cephferry 1.0.0 postrenderer/v1")},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v4.3.1, /bin/helm"},
				{State: doctor.Problem, Check: "plugin", Says: "plugin cephferry of /bin/helm is version 1.0.0, and this is 1.2.3", Do: "/bin/helm plugin uninstall cephferry && /bin/helm plugin install https://github.com/cephferry/cephferry --version v1.2.3 --verify=false"},
			},
		},
		"plugins that cannot be listed": {
			machine: machine{"helm": with(helm4, "?plugin list", "permission denied")},
			want: []doctor.Finding{
				{State: doctor.OK, Check: "helm", Says: "Helm v4.3.1, /bin/helm"},
				{State: doctor.Problem, Check: "plugin", Says: "/bin/helm does not list its plugins: permission denied", Do: "/bin/helm plugin list"},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, doctor.Helm(t.Context(), test.machine, self)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestHelmOfAnUnversionedBuild compares no versions: there is nothing to compare.
func TestHelmOfAnUnversionedBuild(t *testing.T) {
	m := machine{"helm": {askVersion: "v3.22.0"}, "postrender": {"--version": "1.0.0"}}
	if got := doctor.Helm(t.Context(), m, doctor.Self{Path: "/x", Version: "(devel)"}); !doctor.Healthy(got) {
		t.Errorf("%v", got)
	}
}

// TestHelm4PluginOfUnreleasedSource: what is not released is built where this was built.
func TestHelm4PluginOfUnreleasedSource(t *testing.T) {
	m := machine{"helm": {askVersion: "v4.3.1", askPlugins: "/plugins"}}
	got := doctor.Helm(t.Context(), m, doctor.Self{Path: "/x", Version: "0.1.0-dev+abc"})
	if want := "make helm4-plugin && /bin/helm plugin install bin/helm4/cephferry"; got[1].Do != want {
		t.Errorf("do %q, want %q", got[1].Do, want)
	}
}
