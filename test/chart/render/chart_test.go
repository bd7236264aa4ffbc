package render

import (
	"maps"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var defaultKinds = []string{
	"ClusterRole cephferry",
	"ClusterRole cephferry-operator",
	"ClusterRole cephferry-page",
	"ClusterRole cephferry-view",
	"ClusterRoleBinding cephferry",
	"ClusterRoleBinding cephferry-page",
	"CustomResourceDefinition ferryclusters.cephferry.io",
	"CustomResourceDefinition migratablevolumes.cephferry.io",
	"CustomResourceDefinition takeovers.cephferry.io",
	"Deployment cephferry-system/cephferry",
	"MutatingAdmissionPolicy cephferry-upgrades",
	"MutatingAdmissionPolicyBinding cephferry-upgrades",
	"NetworkPolicy cephferry-system/cephferry",
	"PodDisruptionBudget cephferry-system/cephferry",
	"Role cephferry-system/cephferry",
	"Role cephferry-system/cephferry-page",
	"Role rook-ceph/cephferry-ceph",
	"RoleBinding cephferry-system/cephferry",
	"RoleBinding rook-ceph/cephferry-ceph",
	"Secret cephferry-system/cephferry-certificate",
	"Service cephferry-system/cephferry",
	"ServiceAccount cephferry-system/cephferry",
	"ValidatingAdmissionPolicy cephferry-bound-claims",
	"ValidatingAdmissionPolicy cephferry-claim-templates",
	"ValidatingAdmissionPolicy cephferry-claims",
	"ValidatingAdmissionPolicy cephferry-label",
	"ValidatingAdmissionPolicy cephferry-objects",
	"ValidatingAdmissionPolicy cephferry-takeovers",
	"ValidatingAdmissionPolicy cephferry-volumes",
	"ValidatingAdmissionPolicyBinding cephferry-bound-claims",
	"ValidatingAdmissionPolicyBinding cephferry-claim-templates",
	"ValidatingAdmissionPolicyBinding cephferry-claims",
	"ValidatingAdmissionPolicyBinding cephferry-label",
	"ValidatingAdmissionPolicyBinding cephferry-objects",
	"ValidatingAdmissionPolicyBinding cephferry-takeovers",
	"ValidatingAdmissionPolicyBinding cephferry-volumes",
	"ValidatingWebhookConfiguration cephferry",
}

// TestObjects: this and nothing else is installed.
func TestObjects(t *testing.T) {
	equal(t, "objects", defaultKinds, kinds(mustRender(t, "")))
	equal(t, "objects with cert-manager",
		slices.Sorted(slices.Values(append([]string{
			"Certificate cephferry-system/cephferry", "Certificate cephferry-system/cephferry-ca",
			"Issuer cephferry-system/cephferry", "Issuer cephferry-system/cephferry-ca",
		}, slices.DeleteFunc(slices.Clone(defaultKinds), func(k string) bool { return strings.HasPrefix(k, "Secret ") })...))),
		kinds(mustRender(t, nested("certificate.certManager.enabled", "true"))))
}

// TestOlderKubernetes: what its API server does not have is left out.
func TestOlderKubernetes(t *testing.T) {
	r, err := renderIn("cephferry", values(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "objects", slices.DeleteFunc(slices.Clone(defaultKinds), func(k string) bool { return strings.HasPrefix(k, "MutatingAdmissionPolicy") }), kinds(r))
}

// TestReleaseNames: another name of the release shows, without saying it twice.
func TestReleaseNames(t *testing.T) {
	for release, want := range map[string]string{
		"cephferry":             "cephferry",
		"guard":                 "guard-cephferry",
		"cephferry-west":        "cephferry-west",
		strings.Repeat("a", 53): strings.Repeat("a", 50),
	} {
		r, err := renderAs(release, values(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, release, want, the[*corev1.Service](r).Name)
		equal(t, release+": the policies' bindings", map[string][]admissionv1.ValidationAction{
			want + "-bound-claims":    {admissionv1.Warn, admissionv1.Audit},
			want + "-claim-templates": {admissionv1.Deny},
			want + "-claims":          {admissionv1.Deny},
			want + "-label":           {admissionv1.Deny},
			want + "-objects":         {admissionv1.Deny},
			want + "-takeovers":       {admissionv1.Deny},
			want + "-volumes":         {admissionv1.Warn, admissionv1.Audit},
		}, r.actions())
		equal(t, release+": the binding of what explains upgrades", want+"-upgrades", the[*admissionv1.MutatingAdmissionPolicyBinding](r).Spec.PolicyName)
		equal(t, release+": its policy", want+"-upgrades", the[*admissionv1.MutatingAdmissionPolicy](r).Name)
		equal(t, release+": the webhooks' Service", want, r.webhook("pod.guard.cephferry.io").ClientConfig.Service.Name)
		equal(t, release+": the certificate", []string{want + "-certificate"}, r.flags("--cert-secret"))
		equal(t, release+": the mounted certificate", want+"-certificate", r.pod().Volumes[0].Secret.SecretName)
	}
}

// TestWebhooks: failure policies, and what holds for all three.
func TestWebhooks(t *testing.T) {
	r := mustRender(t, "")
	policies := map[string]admissionv1.FailurePolicyType{}
	for _, w := range the[*admissionv1.ValidatingWebhookConfiguration](r).Webhooks {
		policies[w.Name] = *w.FailurePolicy
		endpoint, _, _ := strings.Cut(w.Name, ".")
		equal(t, w.Name+": path", "/validate/"+endpoint, *w.ClientConfig.Service.Path)
		equal(t, w.Name+": port", int32(443), *w.ClientConfig.Service.Port)
		equal(t, w.Name+": side effects", admissionv1.SideEffectClassNoneOnDryRun, *w.SideEffects)
		equal(t, w.Name+": timeout", int32(5), *w.TimeoutSeconds)
		equal(t, w.Name+": match policy", admissionv1.Equivalent, *w.MatchPolicy)
		equal(t, w.Name+": versions", []string{"v1"}, w.AdmissionReviewVersions)
		// The webhook writes it; a rendered one would be put back by an upgrade.
		equal(t, w.Name+": CA", []byte(nil), w.ClientConfig.CABundle)
	}
	equal(t, "failure policies", map[string]admissionv1.FailurePolicyType{
		"scale.guard.cephferry.io":   admissionv1.Ignore,
		"binding.guard.cephferry.io": admissionv1.Ignore,
		"pod.guard.cephferry.io":     admissionv1.Fail,
		"volume.guard.cephferry.io":  admissionv1.Fail,
		"growth.cephferry.io":        admissionv1.Fail,
	}, policies)

	equal(t, "port of the Service", "webhook", the[*corev1.Service](r).Spec.Ports[0].TargetPort.StrVal)
	equal(t, "pods are gated in labelled namespaces only", map[string]string{"cephferry.io/guarded": "true"},
		r.webhook("pod.guard.cephferry.io").NamespaceSelector.MatchLabels)
}

// TestPolicies: what the policies have in common. That they do
// their work is tested in test/chart.
func TestPolicies(t *testing.T) {
	policies := map[string]admissionv1.FailurePolicyType{}
	for _, p := range all[*admissionv1.ValidatingAdmissionPolicy](mustRender(t, "")) {
		policies[p.Name] = *p.Spec.FailurePolicy
		for _, v := range p.Spec.Validations {
			equal(t, p.Name+": reason of "+v.Expression, metav1.StatusReasonForbidden, *v.Reason)
		}
	}
	equal(t, "failure policies", map[string]admissionv1.FailurePolicyType{
		"cephferry-bound-claims":    admissionv1.Ignore,
		"cephferry-claim-templates": admissionv1.Fail,
		"cephferry-claims":          admissionv1.Fail,
		"cephferry-label":           admissionv1.Fail,
		"cephferry-objects":         admissionv1.Fail,
		"cephferry-takeovers":       admissionv1.Fail,
		"cephferry-volumes":         admissionv1.Ignore,
	}, policies)
}

// TestPodSecurity: what the standard "restricted" asks for, and more.
func TestPodSecurity(t *testing.T) {
	r := mustRender(t, "")
	yes, no := true, false
	equal(t, "pod", &corev1.PodSecurityContext{
		RunAsNonRoot:   &yes,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}, r.pod().SecurityContext)
	equal(t, "container", &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}, r.container().SecurityContext)
	equal(t, "the CA's key stays out", []corev1.KeyToPath{{Key: "tls.crt", Path: "tls.crt"}, {Key: "tls.key", Path: "tls.key"}},
		r.pod().Volumes[0].Secret.Items)
}

// TestSelectors: what selects the pods selects these pods.
func TestSelectors(t *testing.T) {
	r := mustRender(t, "podLabels: {app.kubernetes.io/tier: guard}")
	labels := r.deployment().Template.Labels
	for what, selector := range map[string]map[string]string{
		"Deployment":          r.deployment().Selector.MatchLabels,
		"Service":             the[*corev1.Service](r).Spec.Selector,
		"NetworkPolicy":       r.networkPolicy().PodSelector.MatchLabels,
		"PodDisruptionBudget": the[*policyv1.PodDisruptionBudget](r).Spec.Selector.MatchLabels,
		"spread over nodes":   r.pod().TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		if len(selector) == 0 {
			t.Errorf("%s: selects everything", what)
		}
		for key, value := range selector {
			if labels[key] != value {
				t.Errorf("%s: selects %s=%s, the pods have %v", what, key, value, labels)
			}
		}
	}
}

// TestRules: these permissions and no others, for this account only.
func TestRules(t *testing.T) {
	r := mustRender(t, "")
	equal(t, "permissions", []string{
		"cephferry-operator: get,list,watch ferryclusters.cephferry.io",
		"cephferry-operator: get,list,watch migratablevolumes.cephferry.io",
		"cephferry-operator: get,list,watch,create,patch,delete takeovers.cephferry.io",
		"cephferry-page: create subjectaccessreviews.authorization.k8s.io",
		"cephferry-page: create tokenreviews.authentication.k8s.io",
		"cephferry-page: get,list,watch ferryclusters.cephferry.io",
		"cephferry-page: get,list,watch migratablevolumes.cephferry.io",
		"cephferry-page: get,list,watch takeovers.cephferry.io",
		"cephferry-system: create leases.coordination.k8s.io",
		"cephferry-system: get services/proxy https:cephferry:page",
		"cephferry-system: get,update leases.coordination.k8s.io cephferry-webhook",
		"cephferry-system: get,update secrets cephferry-certificate",
		"cephferry-system: list deployments.apps",
		"cephferry-system: list,watch secrets",
		"cephferry-view: get,list,watch migratablevolumes.cephferry.io",
		"cluster: create,patch events",
		"cluster: create,patch events.events.k8s.io",
		"cluster: create,patch,delete persistentvolumes",
		"cluster: get deployments.apps",
		"cluster: get replicasets.apps",
		"cluster: get replicationcontrollers",
		"cluster: get statefulsets.apps",
		"cluster: get,list,create,patch,delete ferryclusters.cephferry.io",
		"cluster: get,list,create,patch,delete migratablevolumes.cephferry.io",
		"cluster: get,list,watch csidrivers.storage.k8s.io",
		"cluster: get,list,watch namespaces",
		"cluster: get,list,watch nodes",
		"cluster: get,list,watch persistentvolumeclaims",
		"cluster: get,list,watch persistentvolumes",
		"cluster: get,list,watch takeovers.cephferry.io",
		"cluster: get,list,watch volumeattachments.storage.k8s.io",
		"cluster: get,list,watch,delete pods",
		"cluster: get,update validatingwebhookconfigurations.admissionregistration.k8s.io cephferry",
		"cluster: list statefulsets.apps",
		"cluster: list storageclasses.storage.k8s.io",
		"cluster: list,watch validatingwebhookconfigurations.admissionregistration.k8s.io",
		"cluster: patch daemonsets/status.apps",
		"cluster: patch ferryclusters/status.cephferry.io",
		"cluster: patch jobs/status.batch",
		"cluster: patch migratablevolumes/status.cephferry.io",
		"cluster: patch namespaces",
		"cluster: patch persistentvolumeclaims/status",
		"cluster: patch pods/status",
		"cluster: patch replicasets/status.apps",
		"cluster: patch replicationcontrollers/status",
		"cluster: patch statefulsets/status.apps",
		"cluster: patch takeovers/status.cephferry.io",
		"cluster: watch storageclasses.storage.k8s.io",
		"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
		"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
	}, r.rules())

	account := []rbacv1.Subject{{Kind: "ServiceAccount", Name: r.pod().ServiceAccountName, Namespace: namespace}}
	for _, b := range all[*rbacv1.RoleBinding](r) {
		equal(t, b.Namespace+": subjects", account, b.Subjects)
	}
	for _, b := range all[*rbacv1.ClusterRoleBinding](r) {
		equal(t, b.Name+": subjects", account, b.Subjects)
	}
}

// TestNodesSecret: with a Ceph user of its own, the webhook may read the nodes' secret only for
// the provisioner, and not where people name the secrets that this may read.
func TestNodesSecret(t *testing.T) {
	const own = "ceph: {secret: {namespace: vault, name: observer}}\n"
	for name, test := range map[string]struct {
		values string
		want   []string
	}{
		"for the provisioner":   {own, []string{"rook-ceph: get secrets rook-csi-rbd-node" + provisioners, "vault: get secrets observer"}},
		"without a provisioner": {own + "provisioner: {enabled: false}", []string{"vault: get secrets observer"}},
		"where people name all": {own + "provisioner: {secrets: [{namespace: vault, name: maker}]}", []string{"vault: get secrets observer,maker"}},
	} {
		equal(t, name, append([]string{"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config"}, test.want...), cephRules(mustRender(t, test.values)).([]string))
	}
}

// TestLabels: everything can be found by the release's labels.
func TestLabels(t *testing.T) {
	for _, object := range mustRender(t, nested("certificate.certManager.enabled", "true")).objects {
		want := metav1.LabelSelector{MatchLabels: map[string]string{
			"app.kubernetes.io/name": "cephferry", "app.kubernetes.io/instance": "cephferry",
			"app.kubernetes.io/version": "0.1.0", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "cephferry-0.1.0",
		}}
		got := maps.Clone(object.GetLabels())
		maps.DeleteFunc(got, func(key, _ string) bool { return strings.HasPrefix(key, "rbac.authorization.k8s.io/aggregate-to-") })
		equal(t, object.GetName(), want.MatchLabels, got)
	}
}

// TestNotes: the next steps name what was installed.
func TestNotes(t *testing.T) {
	r := mustRender(t, "")
	for _, want := range []string{
		`guards the static RBD volumes of cluster "east"`,
		"kubectl -n cephferry-system rollout status deployment/cephferry",
		"helm upgrade cephferry <chart> -n cephferry-system --reuse-values --set guard.enabled=false",
	} {
		if !strings.Contains(r.notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, r.notes)
		}
	}
}
