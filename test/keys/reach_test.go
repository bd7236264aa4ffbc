//go:build lab

package keys

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// pageService is the Service of the chart, and a pod that it leads to, as the API server's proxy wants it: with
// the address where the webhook runs in the lab, which is no pod's.
const pageService = `
apiVersion: v1
kind: Service
metadata: {name: cephferry, namespace: NAMESPACE}
spec: {ports: [{name: page, port: 9444}]}
---
apiVersion: v1
kind: Pod
metadata: {name: page, namespace: NAMESPACE}
spec: {schedulerName: nobody, containers: [{name: webhook, image: none}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: cephferry, namespace: NAMESPACE}
subsets: [{addresses: [{ip: ADDRESS, targetRef: {kind: Pod, name: page, namespace: NAMESPACE}}], ports: [{name: page, port: PORT}]}]
`

// A member of an app team opens the page that the webhook serves: the browser asks the plugin, which
// asks the API server, whose own proxy leads to the Service, and the webhook asks the API server back.
func TestThePageBehindTheAPIServersProxy(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data")
	page, err := url.Parse(east.Webhook.Page)
	if err != nil {
		t.Fatal(err)
	}
	s.Create(east, strings.NewReplacer("NAMESPACE", webhook.Namespace, "ADDRESS", stage.Network.Address, "PORT", page.Port()).Replace(pageService))
	s.Kubectl(east, "patch", "pod/page", "--namespace", webhook.Namespace, "--subresource=status",
		fmt.Sprintf(`--patch={"status":{"podIP":%q,"podIPs":[{"ip":%q}]}}`, stage.Network.Address, stage.Network.Address))
	s.Kubectl(east, "create", "serviceaccount", "dev")
	s.Kubectl(east, "create", "rolebinding", "dev", "--clusterrole=view", "--serviceaccount="+s.Namespace+":dev")
	data, err := os.ReadFile(east.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Kubectl(east, "config", "--kubeconfig", kubeconfig, "set-credentials", "dev", "--token", s.Kubectl(east, "create", "token", "dev"))
	s.Kubectl(east, "config", "--kubeconfig", kubeconfig, "set-context", "--current", "--user", "dev")

	dashboard := []string{"dashboard", "--through-webhook", "--kubeconfig"}
	if r := s.laptop("", append(dashboard, kubeconfig)...); r.Code != 2 || !strings.Contains(r.Stderr, "you may not get /api/v1/namespaces/cephferry-system/services/https:cephferry:page/proxy") {
		t.Errorf("without the right to use the proxy, exit code %d", r.Code)
	}
	s.Eventually("the API server's proxy leads to the webhook", func() error {
		r := s.Run(east, "", "get", "--raw", "/api/v1/namespaces/"+webhook.Namespace+"/services/https:cephferry:page/proxy/")
		if !strings.Contains(r.Stderr, "You must be logged in") { // as kubectl says that the page has answered 401
			return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
	if r := s.laptop("", append(dashboard, east.Kubeconfig)...); r.Code != 2 || !strings.Contains(r.Stderr, "the webhook does not know you: it needs a token") {
		t.Errorf("with a certificate, exit code %d", r.Code)
	}
	s.Kubectl(east, "create", "rolebinding", s.Namespace, "--namespace="+webhook.Namespace, "--role=cephferry-page", "--serviceaccount="+s.Namespace+":dev")

	command := s.laptopCommand("", append(dashboard, kubeconfig)...).Exec(t.Context())
	address := scene.Address(t, command)
	s.Eventually("the page shows the volume of the team, and no other", func() error {
		for path, want := range map[string]string{
			"":                                     "<title>cephferry</title>",
			"api/overview":                         `"hidden":["ferryclusters","takeovers"]`,
			"api/volumes":                          `"claim":"data"`,
			"api/volumes/" + s.Namespace + "/data": `"namespace":"` + s.Namespace + `"`,
		} {
			code, body, err := get(strings.TrimSpace(address) + path)
			if err != nil {
				return err
			}
			if code != http.StatusOK || !strings.Contains(body, want) || strings.Count(body, `"claim":`) > 1 {
				return fmt.Errorf("%s answers %d, %s; want %s", path, code, body, want)
			}
		}
		return nil
	})
}

func get(url string) (code int, body string, err error) {
	response, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, string(data), err
}

// testCheck has the program of the chart's test ask, with the account and in the namespace of that test.
func (s *shop) testCheck() {
	s.Helper()
	rendered := scene.Command{Program: stage.Programs["helm"], Env: map[string]string{"PATH": "/usr/bin:/bin", "HOME": stage.Home},
		Args: []string{"template", "cephferry", "../../charts/cephferry", "--namespace", webhook.Namespace, "--set", "cluster.name=west", "--show-only", "templates/tests/refusal.yaml"},
	}.Run(s.Context())
	before, _, found := strings.Cut(s.Must(rendered), "\n---\n# Source: cephferry/templates/tests/refusal.yaml\napiVersion: v1\nkind: Pod\n")
	if !found {
		s.Fatalf("the test's pod is not where it was:\n%s", rendered.Stdout)
	}
	s.Create(west, before)
	space := regexp.MustCompile(`kind: Namespace\nmetadata:\n  name: (\S+)`).FindStringSubmatch(before)[1]
	check := []string{"check", "--context", "west", "--as", "system:serviceaccount:" + webhook.Namespace + ":cephferry-test", "--timeout", "20s"}
	s.Eventually("the account of helm test may ask", func() error {
		if r := s.laptop("", append(check, "--namespace", space)...); r.Err != nil || !strings.Contains(r.Stdout, "the pod names its node, and has no volume yet for claim "+space+"/cephferry-check") {
			return fmt.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
		return nil
	})
	if r := s.laptop("", append(check, "--namespace", "default")...); r.Code != 3 || !strings.Contains(r.Stderr, `cannot create resource "pods"`) {
		s.Errorf("elsewhere the account of helm test may do something, exit code %d", r.Code)
	}
	if r := s.laptop("", "check", "--context", "west", "--namespace", "default"); r.Code != 1 || !strings.Contains(r.Stderr, "was admitted in namespace default: the API server does not ask the webhook about its pods") {
		s.Errorf("where no webhook is asked, exit code %d", r.Code)
	}
	if pods := s.Kubectl(west, "get", "pods", "--namespace", space, "-o=name") + s.Kubectl(west, "get", "pods", "--namespace", "default", "-o=name"); pods != "" {
		s.Errorf("a dry run has made %s", pods)
	}
	s.Kubectl(west, "delete", "namespace", space, "--wait=false")
}
