package render

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestLabelPolicy: it is about the label that the webhooks go by and the namespaces that
// they guard, closed on error, and knows the webhook's own account.
func TestLabelPolicy(t *testing.T) {
	for _, release := range []string{"cephferry", "guard"} {
		r, err := renderAs(release, values(t, nested("guard.excludedNamespaces", "[backup]")))
		if err != nil {
			t.Fatal(err)
		}
		name := the[*corev1.Service](r).Name + "-label"
		policy, binding := named[*admissionv1.ValidatingAdmissionPolicy](t, r, name), named[*admissionv1.ValidatingAdmissionPolicyBinding](t, r, name)
		equal(t, "binding", policy.Name, binding.Spec.PolicyName)
		equal(t, "actions", []admissionv1.ValidationAction{admissionv1.Deny}, binding.Spec.ValidationActions)
		equal(t, "what is not bound", (*admissionv1.MatchResources)(nil), binding.Spec.MatchResources)
		equal(t, "failure policy", admissionv1.Fail, *policy.Spec.FailurePolicy)
		equal(t, "requests", []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Update},
			Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"},
				Resources: []string{"namespaces", "namespaces/status", "namespaces/finalize"}},
		}}}, policy.Spec.MatchConstraints.ResourceRules)
		equal(t, "reason", metav1.StatusReasonForbidden, *policy.Spec.Validations[0].Reason)

		conditions := map[string]string{}
		for _, c := range policy.Spec.MatchConditions {
			conditions[c.Name] = c.Expression
		}
		for key, value := range r.webhook("pod.guard.cephferry.io").NamespaceSelector.MatchLabels {
			equal(t, "the label", `oldObject.metadata.?labels[?'`+key+`'].orValue('') == '`+value+`' && `+
				`object.metadata.?labels[?'`+key+`'].orValue('') != '`+value+`'`, conditions["label-goes"])
		}
		equal(t, "namespaces", `!(object.metadata.name in ['`+strings.Join(r.unguarded("pod.guard.cephferry.io"), "','")+`'])`, conditions["has-a-guard"])
		equal(t, "account", `request.userInfo.username != 'system:serviceaccount:`+namespace+`:`+r.pod().ServiceAccountName+`'`, conditions["not-the-webhook"])
	}
}
