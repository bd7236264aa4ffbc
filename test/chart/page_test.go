//go:build lab

package chart

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// pageUsers are an app team's, one who may read every volume, and one without any right.
const pageUsers = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: team}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: platform}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: guest}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: page-test-volumes}
rules: [{apiGroups: [cephferry.io], resources: [migratablevolumes], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: page-test-all}
rules: [{apiGroups: [cephferry.io], resources: [migratablevolumes, ferryclusters, takeovers], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: page-test}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: page-test-volumes}
subjects: [{kind: ServiceAccount, name: team, namespace: shop}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: page-test}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: page-test-all}
subjects: [{kind: ServiceAccount, name: platform, namespace: shop}]
`

// page proves on a real API server who sees which volumes on the page at this address, and
// on the one that the kubectl plugin serves.
func (w *world) page(t *testing.T, address string) {
	t.Helper()
	ca, err := base64.StdEncoding.DecodeString(strings.Fields(w.kubectl(t, "get", "validatingwebhookconfiguration/cephferry",
		"--output=jsonpath={.webhooks[*].clientConfig.caBundle}"))[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "cephferry." + own + ".svc"}}}

	w.apply(t, "shop", pageUsers)
	tokens := map[string]string{"": ""}
	for _, account := range []string{"team", "platform", "guest"} {
		tokens[account] = w.kubectl(t, "create", "token", account, "--namespace", "shop")
	}
	get := func(account, path string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token := tokens[account]; token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		return read(t, browser, request)
	}

	scene.Eventually(t, "the page", func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/", nil)
		if err != nil {
			return err
		}
		response, err := browser.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
	w.objects(t)

	for _, c := range []struct {
		account, path string
		code          int
		has, hasNot   string
	}{
		{"", "/", http.StatusUnauthorized, "send a bearer token", "<html"},
		{"guest", "/", http.StatusOK, "<title>cephferry</title>", ""},
		{"guest", "/api/volumes", http.StatusForbidden, "the ClusterRole view", "data-db-0"},
		{"guest", "/api/overview", http.StatusForbidden, "the ClusterRole view", "data-db-0"},
		{"team", "/api/volumes", http.StatusOK, `"claim":"data-db-0"`, "queue"},
		{"team", "/api/overview", http.StatusOK, `"hidden":["ferryclusters","takeovers"]`, "queue"},
		{"team", "/api/volumes/shop/data-db-0", http.StatusOK, `"state":"Held"`, ""},
		{"team", "/api/volumes/mail/queue", http.StatusForbidden, `in namespace`, "Held"},
		{"platform", "/api/volumes", http.StatusOK, `"claim":"queue"`, "hidden"},
		{"platform", "/api/overview", http.StatusOK, `"allNamespaces":true`, "stale"},
	} {
		code, body := get(c.account, c.path)
		if code != c.code || !strings.Contains(body, c.has) || c.hasNot != "" && strings.Contains(body, c.hasNot) {
			t.Errorf("%q gets %s: %d %s; want %d with %q and without %q", c.account, c.path, code, body, c.code, c.has, c.hasNot)
		}
	}
	tokens["nobody"] = tokens["team"][:len(tokens["team"])-4] + "AAAA"
	if code, body := get("nobody", "/api/overview"); code != http.StatusUnauthorized {
		t.Errorf("a token that is nobody's: %d %s", code, body)
	}

	// It is live.
	w.asWebhook(t, "patch", "mvol/data-db-0", "--namespace", "shop", "--subresource=status", "--type=merge", "--patch", `{"status": {"waiting": "somebody waits"}}`)
	scene.Eventually(t, "the change on the page", func() error {
		if _, body := get("team", "/api/overview"); !strings.Contains(body, "somebody waits") {
			return errors.New(body)
		}
		return nil
	})

	// The plugin, with a certificate and with tokens.
	w.dashboard(t, w.Kubeconfig, nil, http.StatusOK, `"allNamespaces":true`)
	team := w.asToken(t, tokens["team"])
	w.dashboard(t, team, []string{"shop"}, http.StatusOK, `"hidden":["ferryclusters","takeovers"]`)
	if says := w.dashboardFails(t, team, "mail"); !strings.Contains(says, "you may not list migratablevolumes.cephferry.io in mail") {
		t.Errorf("the plugin says %s", says)
	}
	if says := w.dashboardFails(t, w.asToken(t, tokens["guest"]), "--through-webhook"); !strings.Contains(says, "you may not get /api/v1/namespaces/cephferry-system/services/https:cephferry:page/proxy") {
		t.Errorf("the plugin says %s", says)
	}
}

// objects makes the CRDs, unless the chart has, and two volumes.
func (w *world) objects(t *testing.T) {
	t.Helper()
	schemas, err := filepath.Glob(chartDir + "/crd-schemas/*.yaml")
	if err != nil || len(schemas) == 0 {
		t.Fatalf("the schemas of the CRDs: %v", err)
	}
	for _, schema := range schemas {
		w.kubectl(t, "apply", "--server-side", "--force-conflicts", "--filename", schema)
	}
	w.kubectl(t, "wait", "--for=condition=Established", "crd/migratablevolumes.cephferry.io", "crd/ferryclusters.cephferry.io", "crd/takeovers.cephferry.io")
	w.namespace(t, "mail", false)
	for namespace, name := range map[string]string{"shop": "data-db-0", "mail": "queue"} {
		manifest := fmt.Sprintf("{apiVersion: cephferry.io/v1alpha1, kind: MigratableVolume, metadata: {name: %s, namespace: %s}}", name, namespace)
		w.asWebhook(t, "create", "--filename", w.write(t, manifest))
		w.asWebhook(t, "patch", "mvol/"+name, "--namespace", namespace, "--subresource=status", "--type=merge",
			"--patch", `{"status": {"state": "Held", "owner": {"name": "west", "uid": "7a3f1c2e", "thisCluster": true, "nodes": ["w1"]}}}`)
	}
}

// asWebhook runs kubectl as the webhook's account, whose objects these are, with all rights.
func (w *world) asWebhook(t *testing.T, args ...string) {
	t.Helper()
	w.kubectl(t, append(args, "--as=system:serviceaccount:"+own+":cephferry", "--as-group=system:masters")...)
}

// asToken is a kubeconfig with a token.
func (w *world) asToken(t *testing.T, token string) string {
	t.Helper()
	data, err := os.ReadFile(w.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	file := w.write(t, string(data))
	w.kubectl(t, "config", "--kubeconfig", file, "set-credentials", "somebody", "--token", token)
	w.kubectl(t, "config", "--kubeconfig", file, "set-context", "--current", "--user", "somebody")
	return file
}

func (w *world) plugin(t *testing.T, kubeconfig string, args []string) *exec.Cmd {
	t.Helper()
	program, err := lab.Tools(os.Getenv(lab.ToolsVariable)).Find("kubectl-cephferry")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, append([]string{"dashboard", "--kubeconfig", kubeconfig}, args...)...)
	command.Env = []string{"HOME=" + w.home}
	return command
}

// dashboard has the plugin serve the page, and asks it for the overview.
func (w *world) dashboard(t *testing.T, kubeconfig string, args []string, code int, has string) {
	t.Helper()
	command := w.plugin(t, kubeconfig, args)
	address := scene.Address(t, command)
	ask := func(url, host string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		return read(t, http.DefaultClient, request)
	}
	address = strings.TrimSpace(address)
	got, body := ask(address+"api/overview", "")
	var overview map[string]any
	if err := json.Unmarshal([]byte(body), &overview); err != nil || got != code || !strings.Contains(body, has) {
		t.Errorf("the plugin's page answers %d %s; want %d with %q", got, body, code, has)
	}
	// Others on this machine, and web pages elsewhere, do not get it.
	if got, _ := ask(address[:strings.LastIndex(strings.TrimSuffix(address, "/"), "/")]+"/api/overview", ""); got != http.StatusNotFound {
		t.Errorf("without the secret path it answers %d", got)
	}
	if got, _ := ask(address+"api/overview", "page.example.com"); got != http.StatusNotFound {
		t.Errorf("under another name it answers %d", got)
	}
}

func (w *world) dashboardFails(t *testing.T, kubeconfig string, args ...string) string {
	t.Helper()
	out, err := w.plugin(t, kubeconfig, args).CombinedOutput()
	if err == nil {
		t.Fatalf("the plugin does not fail: %s", out)
	}
	return string(out)
}

func read(t *testing.T, client *http.Client, request *http.Request) (int, string) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
