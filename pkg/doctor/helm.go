package doctor

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Machine is what the checks of Helm ask of the machine.
type Machine interface {
	// LookPath returns the path of a program in PATH.
	LookPath(name string) (string, error)
	// Run runs a program, and returns what it wrote.
	Run(ctx context.Context, program string, args ...string) (stdout, stderr string, err error)
}

// Self is the running renderer.
type Self struct {
	// Path is absolute.
	Path, Version string
}

// unversioned is what a program calls itself that was built by hand.
const unversioned = "(devel)"

func (s Self) differs(version string) bool { return s.Version != version && s.Version != unversioned }

// helm is one Helm on this machine.
type helm struct {
	path, version string
	// plugins is the folder that it loads plugins from.
	plugins string
	// broken is what a Helm 3 says when it loads no plugin.
	broken string
}

// Helm checks every Helm in PATH, under the names that people give it, and
// whether it finds the renderer.
func Helm(ctx context.Context, m Machine, self Self) []Finding {
	var findings []Finding
	var old, new []helm
	for _, name := range []string{"helm", "helm3", "helm4"} {
		path, err := m.LookPath(name)
		if err != nil {
			continue
		}
		h, err := look(ctx, m, path)
		switch {
		case err != nil:
			findings = append(findings, problem("helm", path+" version", "%s does not print its version: %v", path, err))
			continue
		case strings.HasPrefix(h.version, "v3."):
			old = append(old, h)
		case strings.HasPrefix(h.version, "v4."):
			new = append(new, h)
		default:
			findings = append(findings, problem("helm", "install Helm 3 or 4: https://helm.sh/docs/intro/install/", "%s is Helm %s, and only Helm 3 and 4 are supported", path, h.version))
			continue
		}
		findings = append(findings, ok("helm", "Helm %s, %s", h.version, path))
	}
	if len(findings) == 0 {
		return []Finding{problem("helm", "install Helm 3 or 4: https://helm.sh/docs/intro/install/", "there is no helm, helm3 or helm4 in PATH")}
	}
	if len(old) > 0 {
		findings = append(findings, renderer(ctx, m, self, old))
	}
	for _, h := range old {
		if h.broken != "" {
			findings = append(findings, problem("plugin", moveAway(h, len(new) > 0), "%s loads no plugin at all, because of a plugin for Helm 4 in %s: %s", h.path, h.plugins, h.broken))
		}
	}
	for _, h := range new {
		shared := slices.ContainsFunc(old, func(other helm) bool { return other.plugins == h.plugins })
		findings = append(findings, plugin(ctx, m, h, shared, self))
	}
	return findings
}

func look(ctx context.Context, m Machine, path string) (helm, error) {
	version, stderr, err := m.Run(ctx, path, "version", "--template", "{{.Version}}")
	if err != nil {
		return helm{}, err
	}
	plugins, _, err := m.Run(ctx, path, "env", "HELM_PLUGINS")
	if err != nil {
		return helm{}, err
	}
	h := helm{path: path, version: strings.TrimSpace(version), plugins: strings.TrimSpace(plugins)}
	for line := range strings.Lines(stderr) {
		if strings.Contains(line, "failed to load plugins") {
			h.broken = strings.TrimSpace(line)
		}
	}
	return h, nil
}

// moveAway is how the plugin gets out of Helm 3's sight. Both Helms load plugins
// from the same folder unless HELM_PLUGINS says otherwise.
func moveAway(h helm, withHelm4 bool) string {
	ours := filepath.Join(h.plugins, pluginName)
	if !withHelm4 {
		return "rm -r " + ours
	}
	apart := apart(h)
	return fmt.Sprintf("mkdir -p %s && mv %s %s/, and set HELM_PLUGINS=%s where Helm 4 runs", apart, ours, apart, apart)
}

// apart is a folder of plugins for Helm 4 alone.
func apart(h helm) string { return h.plugins + "-helm4" }

// renderer checks what Helm 3 runs as --post-renderer: postrender in PATH, or that of a plugin.
func renderer(ctx context.Context, m Machine, self Self, helms []helm) Finding {
	install := fmt.Sprintf("install -m 755 %s /usr/local/bin/postrender", self.Path)
	path, err := m.LookPath("postrender")
	if err != nil {
		for _, h := range helms {
			if fields, err := listed(ctx, m, h); err == nil && fields != nil && !self.differs(fields[1]) {
				return ok("renderer", `the plugin %s in %s, for helm --post-renderer "$(helm %s path)"`, pluginName, h.plugins, pluginName)
			}
		}
		return problem("renderer", install, "postrender is not in PATH, where Helm 3 looks for it")
	}
	version, _, err := m.Run(ctx, path, "--version")
	if err != nil {
		return problem("renderer", install, "%s does not run: %v", path, err)
	}
	if version = strings.TrimSpace(version); self.differs(version) {
		return problem("renderer", install, "%s is version %s, and this is %s", path, version, self.Version)
	}
	return ok("renderer", "%s, for helm --post-renderer postrender", path)
}

// pluginName is the name in plugin.yaml and helm4/plugin.yaml.
const pluginName = "cephferry"

// listed returns what a Helm lists of our plugin: its name, its version and, if it is Helm 4, its
// type.
func listed(ctx context.Context, m Machine, h helm) ([]string, error) {
	list, _, err := m.Run(ctx, h.path, "plugin", "list")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == pluginName {
			return fields, nil
		}
	}
	return nil, nil
}

// pluginInstall is how Helm 4 gets the plugin of this version: of what is not released, people
// have the source. Helm 4 verifies archives only.
func pluginInstall(h helm, self Self) string {
	if self.Version == unversioned || strings.Contains(self.Version, "-dev") {
		return fmt.Sprintf("make helm4-plugin && %s plugin install bin/helm4/%s", h.path, pluginName)
	}
	return fmt.Sprintf("%s plugin install https://github.com/cephferry/cephferry --version v%s --verify=false", h.path, self.Version)
}

// plugin checks what Helm 4 runs as --post-renderer cephferry. shared says that a
// Helm 3 loads plugins from the same folder.
func plugin(ctx context.Context, m Machine, h helm, shared bool, self Self) Finding {
	install := pluginInstall(h, self)
	if shared {
		install = fmt.Sprintf("set HELM_PLUGINS=%s where Helm 4 runs, and there: %s", apart(h), install)
	}
	fields, err := listed(ctx, m, h)
	switch {
	case err != nil:
		return problem("plugin", h.path+" plugin list", "%s does not list its plugins: %v", h.path, err)
	case fields == nil:
		return problem("plugin", install, "%s has no plugin %s in %s, and Helm 4 takes no other post-renderer", h.path, pluginName, h.plugins)
	case !slices.Contains(fields, "postrenderer/v1"):
		if !shared {
			install = fmt.Sprintf("%s plugin uninstall %s && %s", h.path, pluginName, install)
		}
		return problem("plugin", install, "the plugin %s in %s was installed by Helm 3, and is no post-renderer for %s", pluginName, h.plugins, h.path)
	case self.differs(fields[1]):
		return problem("plugin", fmt.Sprintf("%s plugin uninstall %s && %s", h.path, pluginName, install), "plugin %s of %s is version %s, and this is %s", pluginName, h.path, fields[1], self.Version)
	}
	return ok("plugin", "%s in %s, for helm --post-renderer %s", pluginName, h.plugins, pluginName)
}
