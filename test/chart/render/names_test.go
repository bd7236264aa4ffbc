package render

import (
	_ "embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/charts"
)

// everything is on, and cert-manager, Prometheus and a viewer find the webhook by its names, too.
const everything = `
commonLabels: {team: storage, tier: none}
podLabels: {tier: guard}
page: {viewers: [{kind: Group, name: operators}]}
monitoring: {serviceMonitor: {enabled: true, labels: {monitor: a}}, rules: {enabled: true}, dashboard: {enabled: true}}
classes: [{name: migratable, from: ceph-block}]
`

// TestNames: whatever the objects, their namespace and their account are called, and whatever labels they
// have, what names another one names one that is there, and what selects the pods selects them.
func TestNames(t *testing.T) {
	for _, override := range []struct{ values, release, name, namespace string }{
		{"", "cephferry", "cephferry", namespace},
		{"", "guard", "guard-cephferry", namespace},
		{"nameOverride: boat", "cephferry", "cephferry-boat", namespace},
		{"nameOverride: boat", "boat-east", "boat-east", namespace},
		{"fullnameOverride: ferry", "cephferry", "ferry", namespace},
		{"{fullnameOverride: ferry, nameOverride: boat, namespaceOverride: harbour}", "umbrella", "ferry", "harbour"},
		{"fullnameOverride: " + strings.Repeat("f", 50), "cephferry", strings.Repeat("f", 50), namespace},
	} {
		for _, account := range []string{"", "serviceAccount: {name: pilot}", "serviceAccount: {name: pilot, create: false}"} {
			for _, certificate := range []string{"", "certificate: {certManager: {enabled: true}}"} {
				t.Run(strings.Join([]string{override.release, override.values, account, certificate}, " "), func(t *testing.T) {
					t.Parallel()
					together := map[string]any{}
					for _, part := range []string{everything, override.values, account, certificate} {
						maps.Copy(together, values(t, part))
					}
					r, err := renderAs(override.release, together)
					if err != nil {
						t.Fatal(err)
					}
					r.agrees(t, override.name, override.namespace)
					r.hasLabels(t)
				})
			}
		}
	}
}

// agrees checks that all names lead somewhere.
func (r *rendered) agrees(t *testing.T, name, namespace string) {
	t.Helper()
	deployment, service := the[*appsv1.Deployment](r), the[*corev1.Service](r)
	equal(t, "Deployment", namespace+"/"+name, deployment.Namespace+"/"+deployment.Name)
	equal(t, "what kubectl cephferry finds it by", "cephferry", deployment.Labels["app.kubernetes.io/name"])
	tests := the[*corev1.Namespace](&rendered{objects: r.hooks}).Name
	for _, object := range slices.Concat(r.objects, r.hooks) {
		if space := object.GetNamespace(); space != "" && space != namespace && space != "rook-ceph" && space != tests {
			t.Errorf("%T %s is in namespace %s", object, object.GetName(), space)
		}
	}
	for _, name := range []string{tests, service.Name} {
		if len(name) > 63 {
			t.Errorf("the name %s has %d characters", name, len(name))
		}
	}

	labels := r.deployment().Template.Labels
	for what, selector := range map[string]map[string]string{
		"Deployment":          r.deployment().Selector.MatchLabels,
		"Service":             service.Spec.Selector,
		"NetworkPolicy":       r.networkPolicy().PodSelector.MatchLabels,
		"PodDisruptionBudget": the[*policyv1.PodDisruptionBudget](r).Spec.Selector.MatchLabels,
		"spread over nodes":   r.pod().TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		// It cannot be changed later, so it has what never changes.
		equal(t, what+": keys", []string{"app.kubernetes.io/instance", "app.kubernetes.io/name"}, slices.Sorted(maps.Keys(selector)))
		equal(t, what+": what it selects", selector, intersection(selector, labels))
	}
	for _, object := range all[*unstructured.Unstructured](r) {
		if selector, found, _ := unstructured.NestedStringMap(object.Object, "spec", "selector", "matchLabels"); found {
			equal(t, object.GetKind()+": what it selects", selector, intersection(selector, service.Labels))
		}
	}
	for _, hook := range all[*corev1.Pod](&rendered{objects: r.hooks}) {
		if len(intersection(service.Spec.Selector, hook.Labels)) == len(service.Spec.Selector) {
			t.Errorf("the Service sends requests to pod %s", hook.Name)
		}
	}

	account := rbacv1.Subject{Kind: "ServiceAccount", Name: r.pod().ServiceAccountName, Namespace: namespace}
	for _, made := range all[*corev1.ServiceAccount](r) {
		equal(t, "ServiceAccount", namespace+"/"+account.Name, made.Namespace+"/"+made.Name)
	}
	roles := map[string]bool{}
	for _, role := range all[*rbacv1.Role](r) {
		roles[role.Namespace+"/"+role.Name] = true
	}
	for _, role := range all[*rbacv1.ClusterRole](r) {
		roles["/"+role.Name] = true
	}
	viewers := rbacv1.Subject{Kind: "Group", Name: "operators"}
	for _, binding := range all[*rbacv1.RoleBinding](r) {
		equal(t, binding.Name+": its Role", true, roles[binding.Namespace+"/"+binding.RoleRef.Name])
		if binding.Subjects[0] != viewers {
			equal(t, binding.Name+": subjects", []rbacv1.Subject{account}, binding.Subjects)
		}
	}
	for _, binding := range all[*rbacv1.ClusterRoleBinding](r) {
		equal(t, binding.Name+": its ClusterRole", true, roles["/"+binding.RoleRef.Name])
		equal(t, binding.Name+": subjects", []rbacv1.Subject{account}, binding.Subjects)
	}
	page := named[*rbacv1.Role](t, r, name+"-page")
	equal(t, "the Service that viewers reach", []string{"https:" + service.Name + ":page"}, page.Rules[0].ResourceNames)

	policies := map[string]bool{}
	for _, policy := range all[*admissionv1.ValidatingAdmissionPolicy](r) {
		policies[policy.Name] = true
	}
	for policy := range r.actions() {
		equal(t, "policy "+policy, true, policies[policy])
	}
	user := "'system:serviceaccount:" + namespace + ":" + account.Name + "'"
	for _, policy := range []string{"label", "objects"} {
		var conditions []string
		for _, condition := range named[*admissionv1.ValidatingAdmissionPolicy](t, r, name+"-"+policy).Spec.MatchConditions {
			conditions = append(conditions, condition.Expression)
		}
		equal(t, policy+": whom the policy lets", 1, len(containing(conditions, "request.userInfo.username != "+user)))
	}

	configuration := the[*admissionv1.ValidatingWebhookConfiguration](r)
	for _, webhook := range configuration.Webhooks {
		equal(t, webhook.Name+": Service", namespace+"/"+service.Name, webhook.ClientConfig.Service.Namespace+"/"+webhook.ClientConfig.Service.Name)
	}
	equal(t, "where the webhook itself is guarded", true, slices.Contains(r.unguarded("pod.guard.cephferry.io"), namespace))
	mounted := r.pod().Volumes[0].Secret.SecretName
	if issuers := all[*certmanagerv1.Issuer](r); len(issuers) > 0 {
		certificate, ca := named[*certmanagerv1.Certificate](t, r, name), named[*certmanagerv1.Certificate](t, r, name+"-ca")
		equal(t, "Certificate", certificate.Namespace+"/"+certificate.Name, configuration.Annotations["cert-manager.io/inject-ca-from"])
		equal(t, "its names", []string{service.Name + "." + service.Namespace + ".svc"}, certificate.Spec.DNSNames)
		equal(t, "its Secret", mounted, certificate.Spec.SecretName)
		equal(t, "its issuer's CA", ca.Spec.SecretName, named[*certmanagerv1.Issuer](t, r, certificate.Spec.IssuerRef.Name).Spec.CA.SecretName)
		equal(t, "the CA's issuer signs itself", true, named[*certmanagerv1.Issuer](t, r, ca.Spec.IssuerRef.Name).Spec.SelfSigned != nil)
	}
	for _, secret := range all[*corev1.Secret](r) {
		equal(t, "mounted certificate", secret.Name, mounted)
		equal(t, "--cert-secret", []string{secret.Name}, r.flags("--cert-secret"))
		equal(t, "--service-name", []string{service.Name}, r.flags("--service-name"))
		equal(t, "--webhook-configuration", []string{configuration.Name}, r.flags("--webhook-configuration"))
		for _, right := range []string{namespace + ": get,update secrets " + mounted, "cluster: get,update validatingwebhookconfigurations.admissionregistration.k8s.io " + configuration.Name} {
			equal(t, right, 1, len(containing(r.rules(), right)))
		}
	}
	equal(t, "the notes", true, strings.Contains(r.notes, "kubectl -n "+namespace+" rollout status deployment/"+name+"\n"))
}

// hasLabels checks that each object has the labels that all have, and the chart's own.
func (r *rendered) hasLabels(t *testing.T) {
	t.Helper()
	template := r.deployment().Template.ObjectMeta
	equal(t, "what is only the pods'", "guard", template.Labels["tier"])
	for _, object := range slices.Concat(r.objects, r.hooks, []metav1.Object{&template}) {
		what := fmt.Sprintf("%T %s", object, object.GetName())
		equal(t, what+": label of all", "storage", object.GetLabels()["team"])
		for _, own := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance"} {
			if object.GetLabels()[own] == "" {
				t.Errorf("%s lacks the label %s", what, own)
			}
		}
	}
}

func intersection(these, those map[string]string) map[string]string {
	both := maps.Clone(these)
	maps.DeleteFunc(both, func(key, value string) bool { return those[key] != value })
	return both
}

// TestNamespaceIsAskedFor: no template takes the namespace of the release for that of the pods.
func TestNamespaceIsAskedFor(t *testing.T) {
	files, err := fs.Glob(charts.Files, chartDir+"/templates/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there are no templates")
	}
	for _, file := range files {
		data, err := charts.Files.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, not := range []string{"Release.Namespace", "Chart.Name"} {
			if strings.Contains(string(data), not) {
				t.Errorf("%s says .%s; the helpers of _helpers.tpl know it", path.Base(file), not)
			}
		}
	}
}

// TestImage: which registry it comes from, and that a digest goes before a tag.
func TestImage(t *testing.T) {
	for want, text := range map[string]string{
		"registry.example/ferry/webhook:0.1.0":           "{image: {repository: registry.example/ferry/webhook}}",
		"mirror.example/ferry/webhook:0.1.0":             "{image: {repository: registry.example/ferry/webhook}, global: {imageRegistry: mirror.example}}",
		"mirror.example/webhook:2":                       "{image: {repository: 'localhost:5000/webhook', tag: '2'}, global: {imageRegistry: mirror.example/}}",
		"mirror.example/local/webhook:0.1.0":             "{image: {repository: localhost/local/webhook}, global: {imageRegistry: mirror.example}}",
		"mirror.example/cephferry/webhook@" + digest:     "{image: {digest: '" + digest + "', tag: '2'}, global: {imageRegistry: mirror.example}}",
		"mirror.example:5000/cephferry/web.hook:0.1.0":   "{image: {repository: cephferry/web.hook}, global: {imageRegistry: 'mirror.example:5000'}}",
		"registry.example:5000/cephferry/webhook:latest": "{image: {repository: 'registry.example:5000/cephferry/webhook', tag: latest}}",
	} {
		r := mustRender(t, text)
		equal(t, text, want, r.container().Image)
		equal(t, text+": helm test", want, the[*corev1.Pod](&rendered{objects: r.hooks}).Spec.Containers[0].Image)
	}
}

// TestOverriddenFlags: extraArgs takes no flag that the chart sets, because the last one holds.
func TestOverriddenFlags(t *testing.T) {
	all := nested("ceph", "{secret: {name: a}, secrets: [{clusterID: far, namespace: vault, name: far}]}") +
		nested("guard", "{localCIDRs: [192.0.2.0/24], exemptCIDRs: [192.0.2.7/32]}")
	r := mustRender(t, all)
	for _, arg := range r.container().Args {
		flag, _, _ := strings.Cut(arg, "=")
		for _, extra := range []string{flag, flag + "=x"} {
			if _, err := render(values(t, nested("extraArgs", "['"+extra+"']"))); err == nil || !strings.Contains(err.Error(), "at '/extraArgs/0'") {
				t.Errorf("extraArgs %s: %v", extra, err)
			}
		}
	}
	if got := len(r.container().Args); got < 20 {
		t.Errorf("the chart sets %d flags here, and not all of them", got)
	}
}

// TestExtraObjects: what is not one object, and what would take the guard's place, is refused.
func TestExtraObjects(t *testing.T) {
	const policy = "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: %s}}"
	for what, c := range map[string]struct{ object, want string }{
		"nothing":                 {"'{{ if false }}a: b{{ end }}'", "extraObjects[0]: must be one object"},
		"no kind":                 {"{apiVersion: v1, metadata: {name: a}}", "extraObjects[0]: must be one object"},
		"a list":                  {"'- a'", "extraObjects[0]: must be one object"},
		"the guard's name":        {fmt.Sprintf(policy, "cephferry"), `extraObjects[0]: ValidatingWebhookConfiguration "cephferry" has a name that the guard's own objects have`},
		"a template of that name": {fmt.Sprintf(policy, `'{{ include "cephferry.name" . }}-label'`), `"cephferry-label" has a name that the guard's own objects have`},
		"another name":            {fmt.Sprintf(policy, "company"), ""},
	} {
		_, err := render(values(t, nested("extraObjects", "["+c.object+"]")))
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// TestReservedLabels: a label that selects, guards or gives rights is refused by its name.
func TestReservedLabels(t *testing.T) {
	for text, want := range map[string]string{
		"commonLabels: {app.kubernetes.io/instance: shop}":                      `commonLabels: the label "app.kubernetes.io/instance" means something`,
		"commonLabels: {helm.sh/chart: shop}":                                   `commonLabels: the label "helm.sh/chart" means something`,
		"commonLabels: {cephferry.io/guarded: 'true'}":                          `commonLabels: the label "cephferry.io/guarded" means something`,
		"commonLabels: {rbac.authorization.k8s.io/aggregate-to-edit: 'true'}":   `commonLabels: the label "rbac.authorization.k8s.io/aggregate-to-edit" means something`,
		"podLabels: {app.kubernetes.io/name: shop}":                             `podLabels: the pods are selected by the label "app.kubernetes.io/name"`,
		"podLabels: {pod-template-hash: shop}":                                  `podLabels: the pods are selected by the label "pod-template-hash"`,
		"{podLabels: {app.kubernetes.io/version: '2'}, commonLabels: {app: a}}": "",
	} {
		_, err := render(values(t, text))
		if want == "" && err == nil {
			continue
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

//go:embed testdata/older-values.yaml
var olderValues []byte

// TestOlderValues: with `helm upgrade --reuse-values` the chart gets the values of the one before and
// none of its own. What it did not know yet means what it means by default.
func TestOlderValues(t *testing.T) {
	older := map[string]any{}
	if err := yaml.UnmarshalStrict(olderValues, &older); err != nil {
		t.Fatal(err)
	}
	older["cluster"] = map[string]any{"name": "east"}
	for what, change := range map[string]func(map[string]any){
		"by default": func(map[string]any) {},
		"with cert-manager": func(v map[string]any) {
			v["certificate"] = map[string]any{"certManager": map[string]any{"enabled": true}}
		},
		"hostNetwork": func(v map[string]any) { v["hostNetwork"] = true },
	} {
		before, now := maps.Clone(older), values(t, "")
		change(before)
		change(now)
		reused, err := renderOnly(before)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := render(now)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, what+": objects", fresh.objects, reused.objects)
		equal(t, what+": hooks", fresh.hooks, reused.hooks)
		equal(t, what+": notes", fresh.notes, reused.notes)
	}
}

// TestFailurePolicies: nothing but guard.enabled opens the guard, however the chart is made one's own.
func TestFailurePolicies(t *testing.T) {
	for _, text := range []string{
		"hostNetwork: true", "updateStrategy: {type: Recreate}", "namespaceOverride: harbour", "fullnameOverride: ferry",
		"securityContext: {privileged: true}", "serviceAccount: {create: false, name: pilot}", "commonLabels: {a: b}", "replicas: 0",
	} {
		r := mustRender(t, text)
		for _, name := range []string{"pod.guard.cephferry.io", "volume.guard.cephferry.io"} {
			equal(t, text+": "+name, admissionv1.Fail, *r.webhook(name).FailurePolicy)
		}
	}
	data := read(t, "templates/validatingwebhookconfiguration.yaml")
	if templated := regexp.MustCompile(`failurePolicy:.*{{`).FindString(string(data)); templated != "" {
		t.Errorf("a value decides: %s", templated)
	}
}
