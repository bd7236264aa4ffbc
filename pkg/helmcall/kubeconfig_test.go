package helmcall_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/helmcall"
)

const kubeconfig = `
apiVersion: v1
kind: Config
current-context: east
contexts:
- {name: east, context: {cluster: east, user: admin, namespace: east-apps}}
- {name: west, context: {cluster: west, user: admin}}
clusters:
- {name: east, cluster: {server: "https://east.example:6443"}}
- {name: west, cluster: {server: "https://west.example:6443", tls-server-name: west.internal}}
users:
- {name: admin, user: {token: from-file}}
`

// reached is what a client configuration comes to.
type reached struct {
	Namespace, Server, TLSServerName, CAFile, Token, User string
	Groups                                                []string
	Insecure                                              bool
}

func TestClientConfig(t *testing.T) {
	tests := map[string]struct {
		connection helmcall.Connection
		env        map[string]string
		want       reached
	}{
		"the kubeconfig's current context": {
			want: reached{Namespace: "east-apps", Server: "https://east.example:6443", Token: "from-file"},
		},
		"a context without a namespace": {
			connection: helmcall.Connection{Context: "west"},
			want:       reached{Namespace: "default", Server: "https://west.example:6443", TLSServerName: "west.internal", Token: "from-file"},
		},
		"the environment goes before the kubeconfig": {
			env: map[string]string{
				"HELM_NAMESPACE": "env", "HELM_KUBECONTEXT": "west", "HELM_KUBEAPISERVER": "https://env.example", "HELM_KUBETLS_SERVER_NAME": "env.internal",
				"HELM_KUBECAFILE": "env-ca", "HELM_KUBETOKEN": "env-token", "HELM_KUBEASUSER": "env-user", "HELM_KUBEASGROUPS": "a,b, ",
			},
			want: reached{
				Namespace: "env", Server: "https://env.example", TLSServerName: "env.internal", CAFile: "env-ca",
				Token: "env-token", User: "env-user", Groups: []string{"a", "b"},
			},
		},
		"flags go before the environment": {
			connection: helmcall.Connection{
				Namespace: "flag", Context: "east", Server: "https://flag.example", TLSServerName: "flag.internal",
				CAFile: "flag-ca", Token: "flag-token", ImpersonateUser: "flag-user", ImpersonateGroups: []string{"c"},
			},
			env: map[string]string{
				"HELM_NAMESPACE": "env", "HELM_KUBECONTEXT": "west", "HELM_KUBEAPISERVER": "https://env.example", "HELM_KUBETLS_SERVER_NAME": "env.internal",
				"HELM_KUBECAFILE": "env-ca", "HELM_KUBETOKEN": "env-token", "HELM_KUBEASUSER": "env-user", "HELM_KUBEASGROUPS": "a,b",
			},
			want: reached{
				Namespace: "flag", Server: "https://flag.example", TLSServerName: "flag.internal", CAFile: "flag-ca",
				Token: "flag-token", User: "flag-user", Groups: []string{"c"},
			},
		},
		"an unverified server, by flag": {
			connection: helmcall.Connection{InsecureSkipTLSVerify: true},
			want:       reached{Namespace: "east-apps", Server: "https://east.example:6443", Token: "from-file", Insecure: true},
		},
		"an unverified server, by the environment": {
			env:  map[string]string{"HELM_KUBEINSECURE_SKIP_TLS_VERIFY": "true"},
			want: reached{Namespace: "east-apps", Server: "https://east.example:6443", Token: "from-file", Insecure: true},
		},
		"an unverified server, in a word that helm takes for no": {
			env:  map[string]string{"HELM_KUBEINSECURE_SKIP_TLS_VERIFY": "yes"},
			want: reached{Namespace: "east-apps", Server: "https://east.example:6443", Token: "from-file"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.connection.Kubeconfig = writeKubeconfig(t)
			t.Chdir(filepath.Dir(test.connection.Kubeconfig))
			for _, ca := range []string{"flag-ca", "env-ca"} {
				if err := os.WriteFile(ca, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			config := test.connection.ClientConfig(func(name string) string { return test.env[name] })
			rest, err := config.ClientConfig()
			if err != nil {
				t.Fatal(err)
			}
			namespace, _, err := config.Namespace()
			if err != nil {
				t.Fatal(err)
			}
			got := reached{
				Namespace: namespace, Server: rest.Host, TLSServerName: rest.ServerName, CAFile: rest.CAFile, Token: rest.BearerToken,
				User: rest.Impersonate.UserName, Groups: rest.Impersonate.Groups, Insecure: rest.Insecure,
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func writeKubeconfig(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(name, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestClientConfigFromTheEnvironment: without the flag, helm reads the file that
// KUBECONFIG names.
func TestClientConfigFromTheEnvironment(t *testing.T) {
	t.Setenv("KUBECONFIG", writeKubeconfig(t))
	namespace, _, err := helmcall.Connection{}.ClientConfig(func(string) string { return "" }).Namespace()
	if err != nil {
		t.Fatal(err)
	}
	if want := "east-apps"; namespace != want {
		t.Errorf("got %q, want %q", namespace, want)
	}
}

func TestClientConfigErrors(t *testing.T) {
	tests := map[string]struct {
		connection helmcall.Connection
		want       string
	}{
		"a context that does not exist": {
			connection: helmcall.Connection{Context: "north"},
			want:       "invalid configuration: [context was not found for specified context: north, cluster has no server defined]",
		},
		"a kubeconfig that does not exist": {
			connection: helmcall.Connection{Kubeconfig: "/nonexistent/config"},
			want:       "stat /nonexistent/config: no such file or directory",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.connection.Kubeconfig == "" {
				test.connection.Kubeconfig = writeKubeconfig(t)
			}
			_, _, err := test.connection.ClientConfig(func(string) string { return "" }).Namespace()
			if diff := cmp.Diff(test.want, text(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
