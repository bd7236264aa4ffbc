//go:build lab

package scene

import (
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// WriteContexts writes a kubeconfig that has both clusters as contexts, by their names.
func (s *Scene) WriteContexts(path string) error {
	both := clientcmdapi.NewConfig()
	for _, cluster := range []*Cluster{s.East, s.West} {
		one, err := clientcmd.LoadFromFile(cluster.Kubeconfig)
		if err != nil {
			return err
		}
		at := one.Contexts[one.CurrentContext]
		both.Clusters[cluster.Name] = one.Clusters[at.Cluster]
		both.AuthInfos[cluster.Name] = one.AuthInfos[at.AuthInfo]
		both.Contexts[cluster.Name] = &clientcmdapi.Context{Cluster: cluster.Name, AuthInfo: cluster.Name}
	}
	return clientcmd.WriteToFile(*both, path)
}
