package helmcall

import (
	"cmp"
	"strconv"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
)

// ClientConfig returns the client configuration that helm uses with these flags:
// flag, then Helm's environment variable, then the kubeconfig itself. getenv is
// os.Getenv; the post-renderer runs with Helm's own environment.
func (c Connection) ClientConfig(getenv func(string) string) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{}
	overrides.CurrentContext = cmp.Or(c.Context, getenv("HELM_KUBECONTEXT"))
	overrides.Context.Namespace = cmp.Or(c.Namespace, getenv("HELM_NAMESPACE"))
	overrides.ClusterInfo.Server = cmp.Or(c.Server, getenv("HELM_KUBEAPISERVER"))
	overrides.ClusterInfo.CertificateAuthority = cmp.Or(c.CAFile, getenv("HELM_KUBECAFILE"))
	overrides.ClusterInfo.TLSServerName = cmp.Or(c.TLSServerName, getenv("HELM_KUBETLS_SERVER_NAME"))
	insecure, _ := strconv.ParseBool(getenv("HELM_KUBEINSECURE_SKIP_TLS_VERIFY")) // like Helm, which takes anything else for false
	overrides.ClusterInfo.InsecureSkipTLSVerify = c.InsecureSkipTLSVerify || insecure
	overrides.AuthInfo.Token = cmp.Or(c.Token, getenv("HELM_KUBETOKEN"))
	overrides.AuthInfo.Impersonate = cmp.Or(c.ImpersonateUser, getenv("HELM_KUBEASUSER"))
	overrides.AuthInfo.ImpersonateGroups = c.ImpersonateGroups
	if groups := strings.Trim(getenv("HELM_KUBEASGROUPS"), ", "); groups != "" && len(c.ImpersonateGroups) == 0 {
		overrides.AuthInfo.ImpersonateGroups = strings.Split(groups, ",")
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
}
