package render

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/charts"
)

// TestCRDs: they are those that were generated from the types, and stay when the release
// goes.
func TestCRDs(t *testing.T) {
	files, err := fs.Glob(charts.Files, chartDir+"/crd-schemas/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := mustRender(t, "")
	equal(t, "CRDs", len(files), len(all[*apiextensionsv1.CustomResourceDefinition](r)))
	for _, file := range files {
		data, err := charts.Files.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &want); err != nil {
			t.Fatal(err)
		}
		got := named[*apiextensionsv1.CustomResourceDefinition](t, r, want.Name)
		equal(t, want.Name+": stays", "keep", got.Annotations["helm.sh/resource-policy"])
		equal(t, want.Name, asText(t, want.Spec), asText(t, got.Spec))
	}
}

func asText(t *testing.T, spec apiextensionsv1.CustomResourceDefinitionSpec) string {
	t.Helper()
	data, err := json.MarshalIndent(spec, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestObjectRoles: readers of a namespace get what concerns it from the cluster's own
// roles; the other role is given to people by hand.
func TestObjectRoles(t *testing.T) {
	r := mustRender(t, "")
	for name, want := range map[string][]string{
		"cephferry":          nil,
		"cephferry-operator": nil,
		"cephferry-view":     {"admin", "edit", "view"},
	} {
		var got []string
		for _, role := range []string{"admin", "edit", "view"} {
			if named[*rbacv1.ClusterRole](t, r, name).Labels["rbac.authorization.k8s.io/aggregate-to-"+role] == "true" {
				got = append(got, role)
			}
		}
		equal(t, name, want, got)
	}
}

// TestObjectPolicies: they know the webhook's own account, and all that can be written.
// What they refuse is tested in test/chart.
func TestObjectPolicies(t *testing.T) {
	for _, release := range []string{"cephferry", "guard"} {
		r, err := renderAs(release, values(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		name := r.pod().ServiceAccountName
		policy := named[*admissionv1.ValidatingAdmissionPolicy](t, r, name+"-objects")
		equal(t, "account", `request.userInfo.username != 'system:serviceaccount:`+namespace+`:`+name+`'`, policy.Spec.MatchConditions[0].Expression)

		covered := map[string]bool{}
		for _, policy := range []string{name + "-objects", name + "-takeovers"} {
			p := named[*admissionv1.ValidatingAdmissionPolicy](t, r, policy)
			equal(t, policy+": what is not bound", (*admissionv1.MatchResources)(nil),
				named[*admissionv1.ValidatingAdmissionPolicyBinding](t, r, policy).Spec.MatchResources)
			rule := p.Spec.MatchConstraints.ResourceRules[0]
			equal(t, policy+": operations", []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}, rule.Operations)
			for _, resource := range rule.Resources {
				covered[resource] = true
			}
		}
		want := map[string]bool{}
		for _, crd := range all[*apiextensionsv1.CustomResourceDefinition](r) {
			want[crd.Spec.Names.Plural] = true
			for _, version := range crd.Spec.Versions {
				if version.Subresources != nil && version.Subresources.Status != nil {
					want[crd.Spec.Names.Plural+"/status"] = true
				}
				if got := strings.Join(named[*admissionv1.ValidatingAdmissionPolicy](t, r, name+"-objects").Spec.MatchConstraints.ResourceRules[0].APIVersions, ","); got != version.Name {
					t.Errorf("%s: version %s, the policy has %s", crd.Name, version.Name, got)
				}
			}
		}
		equal(t, "what can be written", want, covered)
	}
}
