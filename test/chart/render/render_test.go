// Package render tests the chart's templates with Helm's own engine. Package test/chart tests
// on a real API server that what they render works.
package render

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/charts"
)

const (
	// chartDir is a folder of package charts.
	chartDir  = "cephferry"
	namespace = "cephferry-system"
	// mutatingPolicies are a kind that not every API server has.
	mutatingPolicies = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
)

// rendered is what the chart makes of some values.
type rendered struct {
	objects []metav1.Object
	// hooks are what Helm makes at certain times only.
	hooks []metav1.Object
	notes string
}

// render renders the chart as `helm install cephferry -n cephferry-system` would.
func render(values map[string]any) (*rendered, error) {
	return renderAs("cephferry", values)
}

func renderAs(release string, values map[string]any) (*rendered, error) {
	return renderIn(release, values, mutatingPolicies)
}

// renderIn renders it in a cluster whose API server has these kinds besides those of Kubernetes 1.30.
func renderIn(release string, values map[string]any, kinds ...string) (*rendered, error) {
	chart, err := load()
	if err != nil {
		return nil, err
	}
	return install(chart, release, values, kinds...)
}

// renderOnly renders it with these values and none of the chart's own.
func renderOnly(values map[string]any) (*rendered, error) {
	chart, err := load()
	if err != nil {
		return nil, err
	}
	chart.Values = map[string]any{}
	return install(chart, "cephferry", values, mutatingPolicies)
}

// load reads the chart anew: an installation changes what it is given.
func load() (*chart.Chart, error) {
	var files []*loader.BufferedFile
	err := fs.WalkDir(charts.Files, chartDir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := charts.Files.ReadFile(name)
		files = append(files, &loader.BufferedFile{Name: strings.TrimPrefix(name, chartDir+"/"), Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(files)
}

// read is a file of the chart.
func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := charts.Files.ReadFile(path.Join(chartDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func install(chart *chart.Chart, release string, values map[string]any, kinds ...string) (*rendered, error) {
	install := action.NewInstall(&action.Configuration{})
	install.DryRun, install.ClientOnly, install.Replace = true, true, true
	install.ReleaseName, install.Namespace = release, namespace
	install.APIVersions = kinds
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}
	done, err := install.Run(chart, values)
	if err != nil {
		return nil, err
	}
	r := &rendered{notes: done.Info.Notes}
	for _, document := range strings.Split(done.Manifest, "\n---\n") {
		object, err := decode(document)
		if err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, document)
		}
		r.objects = append(r.objects, object)
	}
	for _, hook := range done.Hooks {
		object, err := decode(hook.Manifest)
		if err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, hook.Manifest)
		}
		r.hooks = append(r.hooks, object)
	}
	return r, nil
}

// decode reads a document into its type. Unknown and duplicate fields are errors.
func decode(document string) (metav1.Object, error) {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
		return nil, err
	}
	object, err := newObject(kind.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	return object.(metav1.Object), yaml.UnmarshalStrict([]byte(document), object)
}

func newObject(kind schema.GroupVersionKind) (any, error) {
	if kind.Group == "monitoring.coreos.com" { // of the Prometheus operator, see monitored
		return &unstructured.Unstructured{}, nil
	}
	types := runtime.NewScheme()
	if err := scheme.AddToScheme(types); err != nil {
		return nil, err
	}
	if err := apiextensionsv1.AddToScheme(types); err != nil {
		return nil, err
	}
	if err := certmanagerv1.AddToScheme(types); err != nil {
		return nil, err
	}
	return types.New(kind)
}

// all returns the objects of a type.
func all[T metav1.Object](r *rendered) []T {
	var found []T
	for _, object := range r.objects {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// the returns the only object of a type.
func the[T metav1.Object](r *rendered) T {
	found := all[T](r)
	if len(found) != 1 {
		panic(fmt.Sprintf("%d objects of type %T", len(found), found))
	}
	return found[0]
}

// named returns the object of a type that has the name.
func named[T metav1.Object](t *testing.T, r *rendered, name string) T {
	t.Helper()
	found := all[T](r)
	i := slices.IndexFunc(found, func(object T) bool { return object.GetName() == name })
	if i < 0 {
		t.Fatalf("there is no %T %s", found, name)
	}
	return found[i]
}

func (r *rendered) deployment() appsv1.DeploymentSpec { return the[*appsv1.Deployment](r).Spec }
func (r *rendered) pod() corev1.PodSpec               { return r.deployment().Template.Spec }
func (r *rendered) container() corev1.Container       { return r.pod().Containers[0] }
func (r *rendered) networkPolicy() networkingv1.NetworkPolicySpec {
	return the[*networkingv1.NetworkPolicy](r).Spec
}

// flags are the values of a flag of the webhook.
func (r *rendered) flags(name string) []string {
	var found []string
	for _, arg := range r.container().Args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			found = append(found, value)
		}
	}
	return found
}

func (r *rendered) port(name string) int32 {
	i := slices.IndexFunc(r.container().Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
	return r.container().Ports[i].ContainerPort
}

// webhooks are the names of the webhooks.
func (r *rendered) webhooks() []string {
	var names []string
	for _, configuration := range all[*admissionv1.ValidatingWebhookConfiguration](r) {
		for _, webhook := range configuration.Webhooks {
			names = append(names, webhook.Name)
		}
	}
	return names
}

func (r *rendered) webhook(name string) admissionv1.ValidatingWebhook {
	webhooks := the[*admissionv1.ValidatingWebhookConfiguration](r).Webhooks
	return webhooks[slices.Index(r.webhooks(), name)]
}

// actions are what the bindings do when a policy finds something, by the policy's name.
func (r *rendered) actions() map[string][]admissionv1.ValidationAction {
	actions := map[string][]admissionv1.ValidationAction{}
	for _, binding := range all[*admissionv1.ValidatingAdmissionPolicyBinding](r) {
		actions[binding.Spec.PolicyName] = binding.Spec.ValidationActions
	}
	return actions
}

// expressions are the conditions of all webhooks.
func (r *rendered) expressions() string {
	var text strings.Builder
	for _, webhook := range the[*admissionv1.ValidatingWebhookConfiguration](r).Webhooks {
		for _, condition := range webhook.MatchConditions {
			fmt.Fprintln(&text, condition.Expression)
		}
	}
	return text.String()
}

// unguarded are the namespaces that a webhook leaves out.
func (r *rendered) unguarded(webhook string) []string {
	for _, e := range r.webhook(webhook).NamespaceSelector.MatchExpressions {
		if e.Key == corev1.LabelMetadataName && e.Operator == metav1.LabelSelectorOpNotIn {
			return e.Values
		}
	}
	return nil
}

// rules are the permissions in all Roles and ClusterRoles, one line each, with
// the Role's namespace, or the name of a ClusterRole that is not the webhook's.
func (r *rendered) rules() []string {
	var lines []string
	add := func(where string, rules []rbacv1.PolicyRule) {
		for _, rule := range rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					if group != "" {
						resource += "." + group
					}
					if len(rule.ResourceNames) > 0 {
						resource += " " + strings.Join(rule.ResourceNames, ",")
					}
					lines = append(lines, fmt.Sprintf("%s: %s %s", where, strings.Join(rule.Verbs, ","), resource))
				}
			}
		}
	}
	for _, role := range all[*rbacv1.ClusterRole](r) {
		where := "cluster"
		if role.Name != the[*appsv1.Deployment](r).Name {
			where = role.Name
		}
		add(where, role.Rules)
	}
	for _, role := range all[*rbacv1.Role](r) {
		add(role.Namespace, role.Rules)
	}
	slices.Sort(lines)
	return lines
}

// values are values of the chart from YAML, with the name of the cluster unless
// they have one.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	if _, ok := parsed["cluster"]; !ok {
		parsed["cluster"] = map[string]any{"name": "east"}
	}
	return parsed
}

func mustRender(t *testing.T, text string) *rendered {
	t.Helper()
	r, err := render(values(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func kinds(r *rendered) []string {
	var names []string
	for _, object := range r.objects {
		names = append(names, object.(runtime.Object).GetObjectKind().GroupVersionKind().Kind+" "+strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/"))
	}
	slices.Sort(names)
	return names
}

func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
