//go:build lab

package e2e

import (
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// tenant is the kubeconfig of somebody who has the usual rights in the team's
// namespace and none outside of it. Flags of kubectl create rolebinding say what
// rights, instead of edit.
func (team *team) tenant(c *cluster, rights ...string) (kubeconfig string) {
	team.Helper()
	if rights == nil {
		rights = []string{"--clusterrole=edit"}
	}
	kubectl := func(args ...string) string {
		team.Helper()
		out, err := c.Run(team.Context(), append(args, "--namespace", team.namespace)...)
		if err != nil {
			team.Fatal(err)
		}
		return string(out)
	}
	kubectl("create", "serviceaccount", "tenant")
	kubectl(append([]string{"create", "rolebinding", "tenant", "--serviceaccount=" + team.namespace + ":tenant"}, rights...)...)
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		team.Fatal(err)
	}
	token := strings.TrimSpace(kubectl("create", "token", "tenant"))
	config.AuthInfos = map[string]*api.AuthInfo{"tenant": {Token: token}}
	config.Contexts[config.CurrentContext].AuthInfo = "tenant"
	config.Contexts[config.CurrentContext].Namespace = team.namespace
	path := filepath.Join(team.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		team.Fatal(err)
	}
	return path
}
