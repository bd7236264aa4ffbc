//go:build lab

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// Helm tells a post-renderer nothing, so every way of saying it to Helm has to be
// found on its command line, in its environment and in its kubeconfig.
func TestTheReleasesNamespaceIsFoundHoweverHelmGotIt(t *testing.T) {
	for name, ways := range map[string]func(team *team) []string{
		"-n x":          func(team *team) []string { return []string{"-n", team.namespace} },
		"-nx":           func(team *team) []string { return []string{"-n" + team.namespace} },
		"--namespace x": func(team *team) []string { return []string{"--namespace", team.namespace} },
		"--namespace=x": func(team *team) []string { return []string{"--namespace=" + team.namespace} },
		"HELM_NAMESPACE": func(team *team) []string {
			team.env["HELM_NAMESPACE"] = team.namespace
			return nil
		},
		"-n over HELM_NAMESPACE": func(team *team) []string {
			team.env["HELM_NAMESPACE"] = "default"
			return []string{"-n", team.namespace}
		},
		"the kubeconfig's context": func(team *team) []string {
			team.env["KUBECONFIG"] = team.kubeconfig("east", map[string]string{"east": team.namespace, "west": "default"})
			return nil
		},
		"HELM_NAMESPACE over the context": func(team *team) []string {
			team.env["KUBECONFIG"] = team.kubeconfig("east", map[string]string{"east": "default", "west": "default"})
			team.env["HELM_NAMESPACE"] = team.namespace
			return nil
		},
		"the context named by --kube-context": func(team *team) []string {
			team.env["KUBECONFIG"] = team.kubeconfig("west", map[string]string{"east": team.namespace, "west": "default"})
			return []string{"--kube-context=east"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachHelm(t, func(team *team) {
				team.env["KUBECONFIG"] = east.Kubeconfig
				args := append(ways(team), team.rendered("install", "web", web, migratable)...)
				if ran := team.run(args...); ran.Err != nil {
					team.Fatal(ran.Err, ran.Stderr)
				}
				team.bound(east, "web-files")
			})
		})
	}
}

// A class is named that only one cluster has; KUBECONFIG leads to the other.
func TestTheClassesComeFromTheClusterThatHelmTalksTo(t *testing.T) {
	for name, ways := range map[string]func(team *team) []string{
		"--kubeconfig": func(team *team) []string {
			team.env["KUBECONFIG"] = west.Kubeconfig
			return []string{"--kubeconfig", east.Kubeconfig}
		},
		"KUBECONFIG that does not exist": func(team *team) []string {
			team.env["KUBECONFIG"] = filepath.Join(team.TempDir(), "none")
			return []string{"--kubeconfig=" + east.Kubeconfig}
		},
		"--kube-context": func(team *team) []string {
			team.env["KUBECONFIG"] = west.Kubeconfig + ":" + east.Kubeconfig
			return []string{"--kube-context", "east"}
		},
		"HELM_KUBECONTEXT": func(team *team) []string {
			team.env["KUBECONFIG"] = west.Kubeconfig + ":" + east.Kubeconfig
			team.env["HELM_KUBECONTEXT"] = "east"
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachHelm(t, func(team *team) {
				only := rbdClass{name: team.namespace}
				team.apply(east, only.manifest())
				args := append(ways(team), "-n", team.namespace)
				args = append(args, team.rendered("install", "web", web, migratable, class(only.name))...)
				if ran := team.run(args...); ran.Err != nil {
					team.Fatal(ran.Err, ran.Stderr)
				}
				team.bound(east, "web-files")
			})
		})
	}
}

func TestAnExplicitNamespaceAndKubeconfigGoBeforeHelms(t *testing.T) {
	eachHelm(t, func(team *team) {
		only := rbdClass{name: team.namespace}
		team.apply(west, only.manifest())
		args := team.rendered("template", "web", web, migratable, class(only.name), "--show-only=templates/pvc.yaml")
		args = append(args, arguments("--namespace=elsewhere", "--kubeconfig", west.Kubeconfig)...)
		if out, want := team.must(east, args...), "elsewhere.web-files"; !strings.Contains(out, want) {
			team.Errorf("%q is not in:\n%s", want, out)
		}
	})
}

// kubeconfig makes a file with the contexts east and west, each with its
// namespace.
func (team *team) kubeconfig(current string, namespaces map[string]string) string {
	team.Helper()
	rules := clientcmd.ClientConfigLoadingRules{Precedence: []string{east.Kubeconfig, west.Kubeconfig}}
	merged, err := rules.Load()
	if err != nil {
		team.Fatal(err)
	}
	merged.CurrentContext = current
	for name, namespace := range namespaces {
		merged.Contexts[name].Namespace = namespace
	}
	path := filepath.Join(team.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*merged, path); err != nil {
		team.Fatal(err)
	}
	return path
}
