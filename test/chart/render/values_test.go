package render

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

const (
	secret = "cephferry-certificate"
	// provisioners follow the other secrets that may be read.
	provisioners = ",rook-csi-rbd-provisioner,rook-csi-cephfs-provisioner"
)

// valueCases say what each value changes: look shows it by default, and after the
// value was set.
var valueCases = []struct {
	value, to           string
	look                func(*rendered) any
	byDefault, afterSet any
}{
	{
		"ceph.secrets", "[{clusterID: far, namespace: vault, name: far}, {clusterID: third, namespace: rook-ceph, name: third}]",
		func(r *rendered) any { return append(r.flags("--cluster-ceph-secret"), cephRules(r).([]string)...) },
		[]string{
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
		},
		[]string{
			"far=vault/far", "third=rook-ceph/third",
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners + ",third",
			"vault: get secrets far",
		},
	},
	{
		"cluster.name", "west",
		func(r *rendered) any { return r.flags("--cluster-name") },
		[]string{"east"}, []string{"west"},
	},
	{
		"ceph.configNamespaces", "[ceph-csi, rook-ceph]",
		func(r *rendered) any { return r.flags("--ceph-config-namespace") },
		[]string{"rook-ceph"}, []string{"ceph-csi", "rook-ceph"},
	},
	{
		"ceph.configNamespaces", "[ceph-csi]",
		cephRules,
		[]string{
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
		},
		[]string{
			"ceph-csi: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"ceph-csi: get secrets rook-csi-rbd-node" + provisioners,
		},
	},
	{
		"ceph.findSecrets", "true",
		func(r *rendered) any { return containing(r.rules(), "rook-ceph: ") },
		[]string{
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
		},
		[]string{
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get,list secrets",
		},
	},
	{
		"ceph.secret.namespace", "vault",
		func(r *rendered) any { return append(r.flags("--ceph-secret"), cephRules(r).([]string)...) },
		[]string{
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
		},
		[]string{
			"vault/rook-csi-rbd-node",
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
			"vault: get secrets rook-csi-rbd-node",
		},
	},
	{
		"ceph.secret.name", "observer",
		func(r *rendered) any { return append(r.flags("--ceph-secret"), cephRules(r).([]string)...) },
		[]string{
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
		},
		[]string{
			"rook-ceph/observer",
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners + ",observer",
		},
	},
	{
		"provisioner.enabled", "false",
		func(r *rendered) any {
			all := r.flags("--provisioner")
			for _, part := range []string{"create,patch,delete persistentvolumes", "watch storageclasses", "list statefulsets", "provisioner"} {
				all = append(all, containing(r.rules(), part)...)
			}
			return append(all, containing(r.webhooks(), "growth")...)
		},
		[]string{
			"true",
			"cluster: create,patch,delete persistentvolumes",
			"cluster: watch storageclasses.storage.k8s.io",
			"cluster: list statefulsets.apps",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
			"growth.cephferry.io",
		},
		[]string{"false"},
	},
	{
		"provisioner.keyed", "false",
		func(r *rendered) any { return r.flags("--keyed") },
		[]string{"true"},
		[]string{"false"},
	},
	{
		"provisioner.secrets", "[{namespace: vault, name: maker}]",
		cephRules,
		[]string{
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node" + provisioners,
		},
		[]string{
			"rook-ceph: get configmaps ceph-csi-config,rook-ceph-csi-config",
			"rook-ceph: get secrets rook-csi-rbd-node",
			"vault: get secrets maker",
		},
	},
	{
		"classes", "[{name: migratable, from: ceph-block, default: true, mountOptions: [discard], volumeBindingMode: WaitForFirstConsumer, annotations: {a: b}}, {name: elsewhere, create: false}, {name: files, from: ceph-fs}, {name: fixed, from: ceph-block, allowVolumeExpansion: false}]",
		classes,
		[]string{"cephferry-claims: []", "cephferry-claim-templates: []", "cephferry-bound-claims: []"},
		[]string{
			"migratable by cephferry.io/provisioner from ceph-block, Retain, WaitForFirstConsumer, expansion true, map[a:b storageclass.kubernetes.io/is-default-class:true] [discard]",
			"files by cephferry.io/provisioner from ceph-fs, Retain, Immediate, expansion true, map[] []",
			"fixed by cephferry.io/provisioner from ceph-block, Retain, Immediate, expansion false, map[] []",
			"cephferry-claims: ['migratable', 'elsewhere', 'files', 'fixed']", "cephferry-claim-templates: ['migratable', 'elsewhere', 'files', 'fixed']", "cephferry-bound-claims: ['migratable', 'elsewhere', 'files', 'fixed']",
		},
	},
	{
		"unrendered.enabled", "false",
		func(r *rendered) any {
			return slices.Concat(containing(containing(kinds(r), "ValidatingAdmissionPolicy"), "claim"), containing(kinds(r), "Mutating"))
		},
		slices.Concat(containing(containing(defaultKinds, "ValidatingAdmissionPolicy"), "claim"), containing(defaultKinds, "Mutating")), []string(nil),
	},
	{
		"unrendered.action", "Warn",
		func(r *rendered) any { return r.actions() },
		map[string][]admissionv1.ValidationAction{
			"cephferry-bound-claims":    {admissionv1.Warn, admissionv1.Audit},
			"cephferry-claim-templates": {admissionv1.Deny},
			"cephferry-claims":          {admissionv1.Deny},
			"cephferry-label":           {admissionv1.Deny},
			"cephferry-objects":         {admissionv1.Deny},
			"cephferry-takeovers":       {admissionv1.Deny},
			"cephferry-volumes":         {admissionv1.Warn, admissionv1.Audit},
		},
		map[string][]admissionv1.ValidationAction{
			"cephferry-bound-claims":    {admissionv1.Warn, admissionv1.Audit},
			"cephferry-claim-templates": {admissionv1.Warn, admissionv1.Audit},
			"cephferry-claims":          {admissionv1.Warn, admissionv1.Audit},
			"cephferry-label":           {admissionv1.Deny},
			"cephferry-objects":         {admissionv1.Deny},
			"cephferry-takeovers":       {admissionv1.Deny},
			"cephferry-volumes":         {admissionv1.Warn, admissionv1.Audit},
		},
	},
	{
		// Who may read and write them does not depend on who installs them.
		"crds.enabled", "false",
		func(r *rendered) any {
			return append(containing(kinds(r), "CustomResourceDefinition"), containing(kinds(r), "cephferry-objects")...)
		},
		append(containing(defaultKinds, "CustomResourceDefinition"), containing(defaultKinds, "cephferry-objects")...),
		containing(defaultKinds, "cephferry-objects"),
	},
	{
		"guard.enabled", "false",
		func(r *rendered) any { return r.webhooks() },
		[]string{"scale.guard.cephferry.io", "pod.guard.cephferry.io", "binding.guard.cephferry.io", "volume.guard.cephferry.io", "growth.cephferry.io"}, []string(nil),
	},
	{
		// The webhook watches for it to come back.
		"guard.enabled", "false",
		func(r *rendered) any {
			return append(r.flags("--webhook-configuration"), containing(r.rules(), "validatingwebhookconfigurations")...)
		},
		ownConfiguration, ownConfiguration,
	},
	{
		"guard.enabled", "false",
		func(r *rendered) any { return strings.Contains(r.notes, "refuses nothing") },
		false, true,
	},
	{
		"guard.enabled", "false",
		func(r *rendered) any { return containing(kinds(r), "cephferry-label") },
		labelPolicy, []string(nil),
	},
	{
		"guard.enabled", "false",
		func(r *rendered) any { return containing(kinds(r), "cephferry-volumes") },
		[]string{"ValidatingAdmissionPolicy cephferry-volumes", "ValidatingAdmissionPolicyBinding cephferry-volumes"}, []string(nil),
	},
	{
		"guard.keepLabel", "false",
		func(r *rendered) any { return containing(kinds(r), "cephferry-label") },
		labelPolicy, []string(nil),
	},
	{
		"guard.scope", "all",
		func(r *rendered) any { return r.flags("--scope") },
		[]string{"migratable"}, []string{"all"},
	},
	{
		"guard.scope", "all",
		func(r *rendered) any { return strings.Count(r.expressions(), "staticVolume") },
		2, 0,
	},
	{
		"guard.scope", "all",
		func(r *rendered) any { return strings.Contains(r.notes, "every RBD volume of cluster \"east\"") },
		false, true,
	},
	{
		"guard.scale.enabled", "false",
		func(r *rendered) any { return r.webhooks() },
		[]string{"scale.guard.cephferry.io", "pod.guard.cephferry.io", "binding.guard.cephferry.io", "volume.guard.cephferry.io", "growth.cephferry.io"},
		[]string{"pod.guard.cephferry.io", "binding.guard.cephferry.io", "volume.guard.cephferry.io", "growth.cephferry.io"},
	},
	{
		"guard.excludedNamespaces", "[storage, kube-system]",
		func(r *rendered) any { return r.unguarded("scale.guard.cephferry.io") },
		[]string{"kube-system", "kube-public", "kube-node-lease", namespace, "rook-ceph"},
		[]string{"kube-system", "kube-public", "kube-node-lease", namespace, "storage"},
	},
	{
		"guard.excludedNamespaces", "[]",
		func(r *rendered) any { return r.unguarded("pod.guard.cephferry.io") },
		[]string{"kube-system", "kube-public", "kube-node-lease", namespace, "rook-ceph"},
		[]string{"kube-system", "kube-public", "kube-node-lease", namespace},
	},
	{
		"guard.excludedNamespaces", "[storage]",
		func(r *rendered) any {
			return strings.Contains(r.expressions(), "['kube-system','kube-public','kube-node-lease','"+namespace+"','storage']")
		},
		false, true,
	},
	{
		"guard.localCIDRs", "[192.0.2.0/24, '2001:db8::/32']",
		func(r *rendered) any { return r.flags("--local-cidr") },
		[]string(nil), []string{"192.0.2.0/24", "2001:db8::/32"},
	},
	{
		"guard.exemptCIDRs", "[192.0.2.7/32]",
		func(r *rendered) any { return r.flags("--exempt-cidr") },
		[]string(nil), []string{"192.0.2.7/32"},
	},
	{
		"guard.customResources", "[{apiGroups: [db.example.com], resources: [clusters, replicas]}]",
		func(r *rendered) any { return containing(r.rules(), "example.com") },
		[]string(nil), []string{"cluster: get clusters.db.example.com", "cluster: get replicas.db.example.com"},
	},
	{
		"certificate.certManager.enabled", "true",
		func(r *rendered) any {
			return append(r.flags("--cert-secret"), append(r.flags("--service-name"), r.flags("--webhook-configuration")...)...)
		},
		[]string{secret, "cephferry", "cephferry"}, []string(nil),
	},
	{
		// Its pods wait for it.
		"certificate.certManager.enabled", "true",
		func(r *rendered) any {
			mounted := r.pod().Volumes[0].Secret
			return []any{mounted.SecretName, mounted.Optional != nil && *mounted.Optional}
		},
		[]any{secret, true}, []any{"cephferry-tls", false},
	},
	{
		"certificate.certManager.enabled", "true",
		func(r *rendered) any { return len(all[*corev1.Secret](r)) },
		1, 0,
	},
	{
		"certificate.certManager.enabled", "true",
		func(r *rendered) any {
			return the[*admissionv1.ValidatingWebhookConfiguration](r).Annotations
		},
		map[string]string(nil), map[string]string{"cert-manager.io/inject-ca-from": namespace + "/cephferry"},
	},
	{
		"certificate.certManager.enabled", "true",
		func(r *rendered) any { return containing(r.rules(), "update") },
		[]string{
			namespace + ": get,update leases.coordination.k8s.io cephferry-webhook",
			namespace + ": get,update secrets " + secret,
			"cluster: get,update validatingwebhookconfigurations.admissionregistration.k8s.io cephferry",
		},
		[]string{namespace + ": get,update leases.coordination.k8s.io cephferry-webhook"},
	},
	{
		"certificate.certManager.enabled", "true",
		func(r *rendered) any { return certificates(r) },
		[]certmanagerv1.CertificateSpec(nil),
		[]certmanagerv1.CertificateSpec{{
			IsCA: true, CommonName: "cephferry-ca", SecretName: "cephferry-ca", Duration: &metav1.Duration{Duration: 10 * 365 * 24 * time.Hour},
			PrivateKey: &certmanagerv1.CertificatePrivateKey{Algorithm: certmanagerv1.ECDSAKeyAlgorithm, Size: 256},
			IssuerRef:  cmmeta.IssuerReference{Name: "cephferry-ca", Kind: "Issuer"},
		}, {
			SecretName: "cephferry-tls", DNSNames: []string{"cephferry." + namespace + ".svc"},
			IssuerRef: cmmeta.IssuerReference{Name: "cephferry", Kind: "Issuer"},
		}},
	},
	{
		"certificate.certManager", "{enabled: true, issuerRef: {name: company, kind: ClusterIssuer}}",
		func(r *rendered) any { return certificates(r) },
		[]certmanagerv1.CertificateSpec(nil),
		[]certmanagerv1.CertificateSpec{{
			SecretName: "cephferry-tls", DNSNames: []string{"cephferry." + namespace + ".svc"},
			IssuerRef: cmmeta.IssuerReference{Name: "company", Kind: "ClusterIssuer"},
		}},
	},
	{
		"certificate.certManager", "{enabled: true, issuerRef: {name: company, kind: ClusterIssuer}}",
		func(r *rendered) any { return len(all[*certmanagerv1.Issuer](r)) },
		0, 0,
	},
	{
		// It says nothing while cert-manager is not asked.
		"certificate.certManager.issuerRef", "{name: company}",
		func(r *rendered) any { return kinds(r) },
		defaultKinds, defaultKinds,
	},
	{
		"replicas", "3",
		func(r *rendered) any { return *r.deployment().Replicas },
		int32(2), int32(3),
	},
	{
		"replicas", "0",
		func(r *rendered) any { return *r.deployment().Replicas },
		int32(2), int32(0),
	},
	{
		"image.repository", "registry.example/cephferry",
		func(r *rendered) any { return r.container().Image },
		"ghcr.io/cephferry/webhook:0.1.0", "registry.example/cephferry:0.1.0",
	},
	{
		"image.tag", "'1'",
		func(r *rendered) any { return r.container().Image },
		"ghcr.io/cephferry/webhook:0.1.0", "ghcr.io/cephferry/webhook:1",
	},
	{
		"image", "{digest: '" + digest + "', tag: '1'}",
		func(r *rendered) any { return r.container().Image },
		"ghcr.io/cephferry/webhook:0.1.0", "ghcr.io/cephferry/webhook@" + digest,
	},
	{
		"image.digest", digest,
		func(r *rendered) any { return r.container().Image },
		"ghcr.io/cephferry/webhook:0.1.0", "ghcr.io/cephferry/webhook@" + digest,
	},
	{
		"image.pullPolicy", "Always",
		func(r *rendered) any { return r.container().ImagePullPolicy },
		corev1.PullIfNotPresent, corev1.PullAlways,
	},
	{
		"image.pullSecrets", "[{name: a}]",
		func(r *rendered) any { return r.pod().ImagePullSecrets },
		[]corev1.LocalObjectReference(nil), []corev1.LocalObjectReference{{Name: "a"}},
	},
	{
		"log.level", "debug",
		func(r *rendered) any { return r.flags("--log-level") },
		[]string{"info"}, []string{"debug"},
	},
	{
		"log.format", "text",
		func(r *rendered) any { return r.flags("--log-format") },
		[]string{"json"}, []string{"text"},
	},
	{
		"monitoring.serviceMonitor.enabled", "true",
		func(r *rendered) any { return containing(kinds(r), "ServiceMonitor") },
		[]string(nil), []string{"ServiceMonitor cephferry-system/cephferry"},
	},
	{
		"monitoring.serviceMonitor", "{enabled: true, interval: 5s, labels: {a: b}}",
		func(r *rendered) any {
			return []any{monitored(r, "ServiceMonitor", "spec", "endpoints"), monitored(r, "ServiceMonitor", "metadata", "labels", "a")}
		},
		[]any{nil, nil}, []any{[]any{map[string]any{"port": "metrics", "interval": "5s"}}, "b"},
	},
	{
		"monitoring.rules.enabled", "true",
		func(r *rendered) any { return containing(kinds(r), "PrometheusRule") },
		[]string(nil), []string{"PrometheusRule cephferry-system/cephferry"},
	},
	{
		"monitoring.rules", "{enabled: true, labels: {a: b}}",
		func(r *rendered) any { return monitored(r, "PrometheusRule", "metadata", "labels", "a") },
		nil, "b",
	},
	{
		"monitoring.dashboard.enabled", "true",
		func(r *rendered) any { return containing(kinds(r), "dashboard") },
		[]string(nil), []string{"ConfigMap cephferry-system/cephferry-dashboard"},
	},
	{
		"monitoring.dashboard", "{enabled: true, labels: {a: b}, annotations: {c: d}}",
		func(r *rendered) any {
			for _, m := range all[*corev1.ConfigMap](r) {
				return []string{m.Labels["grafana_dashboard"], m.Labels["a"], m.Annotations["c"]}
			}
			return []string(nil)
		},
		[]string(nil), []string{"1", "b", "d"},
	},
	{
		"troubleshootingURL", "https://docs.example.com/help",
		func(r *rendered) any { return r.flags("--troubleshooting-url") },
		[]string{"https://github.com/cephferry/cephferry/blob/main/docs/troubleshooting.md"}, []string{"https://docs.example.com/help"},
	},
	{
		"extraArgs", "[--admission-grace=2m]",
		func(r *rendered) any { return r.flags("--admission-grace") },
		[]string(nil), []string{"2m"},
	},
	{
		"extraEnv", "[{name: GOGC, value: '40'}, {name: KUBERNETES_SERVICE_HOST, valueFrom: {configMapKeyRef: {name: api, key: host}}}]",
		func(r *rendered) any {
			var names []string
			for _, container := range []corev1.Container{r.container(), the[*corev1.Pod](&rendered{objects: r.hooks}).Spec.Containers[0]} {
				for _, env := range container.Env {
					names = append(names, env.Name+"="+env.Value)
				}
			}
			return names
		},
		[]string{"POD_NAMESPACE="},
		[]string{"POD_NAMESPACE=", "GOGC=40", "KUBERNETES_SERVICE_HOST=", "GOGC=40", "KUBERNETES_SERVICE_HOST="},
	},
	{
		"extraVolumes", "[{name: ca, configMap: {name: company}}]",
		func(r *rendered) any {
			var names []string
			for _, volume := range r.pod().Volumes {
				names = append(names, volume.Name)
			}
			return names
		},
		[]string{"certificate"}, []string{"certificate", "ca"},
	},
	{
		"extraVolumeMounts", "[{name: ca, mountPath: /etc/ssl/company}]",
		func(r *rendered) any {
			var paths []string
			for _, mount := range r.container().VolumeMounts {
				paths = append(paths, mount.MountPath)
			}
			return paths
		},
		[]string{"/certs"}, []string{"/certs", "/etc/ssl/company"},
	},
	{
		"extraObjects", `[{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ include "cephferry.name" . }}-notes', labels: {a: b}}}, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.cluster.name }}}"]`,
		func(r *rendered) any { return containing(kinds(r), "ConfigMap") },
		[]string(nil), []string{"ConfigMap cephferry-notes", "ConfigMap east"},
	},
	{
		"global.imageRegistry", "mirror.example:5000/docker",
		func(r *rendered) any { return r.container().Image },
		"ghcr.io/cephferry/webhook:0.1.0", "mirror.example:5000/docker/cephferry/webhook:0.1.0",
	},
	{
		"global.imagePullSecrets", "[mirror, {name: mirror}, {name: other}]",
		func(r *rendered) any { return r.pod().ImagePullSecrets },
		[]corev1.LocalObjectReference(nil), []corev1.LocalObjectReference{{Name: "mirror"}, {Name: "other"}},
	},
	{
		"nameOverride", "boat",
		func(r *rendered) any { return the[*corev1.Service](r).Name },
		"cephferry", "cephferry-boat",
	},
	{
		"fullnameOverride", "ferry",
		func(r *rendered) any { return the[*corev1.Service](r).Name },
		"cephferry", "ferry",
	},
	{
		"namespaceOverride", "ferry",
		func(r *rendered) any { return the[*corev1.Service](r).Namespace },
		namespace, "ferry",
	},
	{
		"commonLabels", "{team: storage}",
		func(r *rendered) any { return the[*corev1.Service](r).Labels["team"] },
		"", "storage",
	},
	{
		"serviceAccount", "{create: false, name: pilot}",
		func(r *rendered) any { return len(all[*corev1.ServiceAccount](r)) },
		1, 0,
	},
	{
		"serviceAccount.name", "guard",
		func(r *rendered) any {
			return []string{the[*corev1.ServiceAccount](r).Name, r.pod().ServiceAccountName}
		},
		[]string{"cephferry", "cephferry"}, []string{"guard", "guard"},
	},
	{
		"serviceAccount.annotations", "{a: b}",
		func(r *rendered) any { return the[*corev1.ServiceAccount](r).Annotations },
		map[string]string(nil), map[string]string{"a": "b"},
	},
	{
		"serviceAccount.automount", "false",
		func(r *rendered) any {
			return []bool{*the[*corev1.ServiceAccount](r).AutomountServiceAccountToken, *r.pod().AutomountServiceAccountToken}
		},
		[]bool{true, true}, []bool{false, true},
	},
	{
		"revisionHistoryLimit", "0",
		func(r *rendered) any { return *r.deployment().RevisionHistoryLimit },
		int32(10), int32(0),
	},
	{
		"updateStrategy", "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}",
		func(r *rendered) any {
			update := r.deployment().Strategy.RollingUpdate
			return []any{update.MaxSurge, update.MaxUnavailable}
		},
		[]any{&intstr.IntOrString{IntVal: 1}, &intstr.IntOrString{IntVal: 0}}, []any{(*intstr.IntOrString)(nil), &intstr.IntOrString{IntVal: 1}},
	},
	{
		"terminationGracePeriodSeconds", "60",
		func(r *rendered) any { return *r.pod().TerminationGracePeriodSeconds },
		int64(30), int64(60),
	},
	{
		// What is not set stays strict.
		"podSecurityContext", "{fsGroup: 2000, runAsNonRoot: null}",
		func(r *rendered) any {
			of := r.pod().SecurityContext
			return []any{of.FSGroup != nil, of.RunAsNonRoot != nil, of.SeccompProfile.Type}
		},
		[]any{false, true, corev1.SeccompProfileTypeRuntimeDefault}, []any{true, false, corev1.SeccompProfileTypeRuntimeDefault},
	},
	{
		"securityContext", "{runAsUser: 1000}",
		func(r *rendered) any {
			of := r.container().SecurityContext
			return []any{of.RunAsUser != nil, *of.AllowPrivilegeEscalation, *of.ReadOnlyRootFilesystem, of.Capabilities.Drop}
		},
		[]any{false, false, true, []corev1.Capability{"ALL"}}, []any{true, false, true, []corev1.Capability{"ALL"}},
	},
	{
		"deploymentAnnotations", "{a: b}",
		func(r *rendered) any { return the[*appsv1.Deployment](r).Annotations },
		map[string]string(nil), map[string]string{"a": "b"},
	},
	{
		"service.annotations", "{a: b}",
		func(r *rendered) any { return the[*corev1.Service](r).Annotations },
		map[string]string(nil), map[string]string{"a": "b"},
	},
	{
		"ports.webhook", "1",
		func(r *rendered) any { return []any{r.port("webhook"), r.flags("--webhook-port")} },
		[]any{int32(9443), []string{"9443"}}, []any{int32(1), []string{"1"}},
	},
	{
		"ports.metrics", "2",
		func(r *rendered) any { return []any{r.port("metrics"), r.flags("--metrics-bind-address")} },
		[]any{int32(8080), []string{":8080"}}, []any{int32(2), []string{":2"}},
	},
	{
		"ports.probes", "3",
		func(r *rendered) any { return []any{r.port("probes"), r.flags("--health-probe-bind-address")} },
		[]any{int32(8081), []string{":8081"}}, []any{int32(3), []string{":3"}},
	},
	{
		"hostNetwork", "true",
		func(r *rendered) any {
			update := r.deployment().Strategy.RollingUpdate
			return []any{r.pod().HostNetwork, r.pod().DNSPolicy, "surge " + update.MaxSurge.String(), "unavailable " + update.MaxUnavailable.String()}
		},
		[]any{false, corev1.DNSPolicy(""), "surge 1", "unavailable 0"},
		[]any{true, corev1.DNSClusterFirstWithHostNet, "surge 0", "unavailable 1"},
	},
	{
		"resources.requests", "{memory: 1Gi}",
		func(r *rendered) any { return quantity(r.container().Resources.Requests, corev1.ResourceMemory) },
		"128Mi", "1Gi",
	},
	{
		"resources.limits", "{memory: 2Gi}",
		func(r *rendered) any { return quantity(r.container().Resources.Limits, corev1.ResourceMemory) },
		"512Mi", "2Gi",
	},
	{
		"resources.limits", "null",
		func(r *rendered) any { return len(r.container().Resources.Limits) },
		1, 0,
	},
	{
		"priorityClassName", "system-cluster-critical",
		func(r *rendered) any { return r.pod().PriorityClassName },
		"", "system-cluster-critical",
	},
	{
		"nodeSelector", "{a: b}",
		func(r *rendered) any { return r.pod().NodeSelector },
		map[string]string(nil), map[string]string{"a": "b"},
	},
	{
		"tolerations", "[{operator: Exists}]",
		func(r *rendered) any { return r.pod().Tolerations },
		[]corev1.Toleration(nil), []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
	},
	{
		"affinity", "{nodeAffinity: {}}",
		func(r *rendered) any { return r.pod().Affinity },
		(*corev1.Affinity)(nil), &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}},
	},
	{
		"topologySpreadConstraints", "[{topologyKey: rack, maxSkew: 2, whenUnsatisfiable: DoNotSchedule}]",
		func(r *rendered) any {
			var keys []string
			for _, c := range r.pod().TopologySpreadConstraints {
				keys = append(keys, c.TopologyKey+" "+string(c.WhenUnsatisfiable))
			}
			return keys
		},
		[]string{"kubernetes.io/hostname ScheduleAnyway", "topology.kubernetes.io/zone ScheduleAnyway"}, []string{"rack DoNotSchedule"},
	},
	{
		"podAnnotations", "{a: b}",
		func(r *rendered) any { return r.deployment().Template.Annotations },
		map[string]string(nil), map[string]string{"a": "b"},
	},
	{
		"podLabels", "{a: b}",
		func(r *rendered) any { return r.deployment().Template.Labels },
		map[string]string{"app.kubernetes.io/name": "cephferry", "app.kubernetes.io/instance": "cephferry"},
		map[string]string{"app.kubernetes.io/name": "cephferry", "app.kubernetes.io/instance": "cephferry", "a": "b"},
	},
	{
		"page.enabled", "false",
		func(r *rendered) any {
			var ports []string
			for _, p := range the[*corev1.Service](r).Spec.Ports {
				ports = append(ports, p.Name)
			}
			for _, p := range r.networkPolicy().Ingress[0].Ports {
				ports = append(ports, "from everywhere: "+p.Port.StrVal)
			}
			return slices.Concat(r.flags("--page-bind-address"), ports, containing(kinds(r), "-page"), containing(r.rules(), "reviews"))
		},
		[]string{
			":9444", "webhook", "metrics", "page", "from everywhere: webhook", "from everywhere: probes", "from everywhere: page",
			"ClusterRole cephferry-page", "ClusterRoleBinding cephferry-page", "Role cephferry-system/cephferry-page",
			"cephferry-page: create subjectaccessreviews.authorization.k8s.io", "cephferry-page: create tokenreviews.authentication.k8s.io",
		},
		[]string{"webhook", "metrics", "from everywhere: webhook", "from everywhere: probes"},
	},
	{
		"page.viewers", "[{kind: Group, name: operators}]",
		func(r *rendered) any {
			var viewers []rbacv1.Subject
			for _, b := range all[*rbacv1.RoleBinding](r) {
				if b.Name == "cephferry-page" {
					viewers = append(viewers, b.Subjects...)
				}
			}
			return viewers
		},
		[]rbacv1.Subject(nil), []rbacv1.Subject{{Kind: "Group", Name: "operators"}},
	},
	{
		"ports.page", "4",
		func(r *rendered) any {
			return []any{r.port("page"), r.flags("--page-bind-address"), the[*corev1.Service](r).Spec.Ports[2].Port}
		},
		[]any{int32(9444), []string{":9444"}, int32(9444)}, []any{int32(4), []string{":4"}, int32(4)},
	},
	{
		// Evictions may do what a roll-out does, on the node's network too, and no more.
		"hostNetwork", "true",
		func(r *rendered) any { return the[*policyv1.PodDisruptionBudget](r).Spec.MaxUnavailable.String() },
		"1", "1",
	},
	{
		"podDisruptionBudget.enabled", "false",
		func(r *rendered) any { return len(all[*policyv1.PodDisruptionBudget](r)) },
		1, 0,
	},
	{
		"networkPolicy.enabled", "false",
		func(r *rendered) any { return strings.Contains(strings.Join(kinds(r), " "), "NetworkPolicy") },
		true, false,
	},
	{
		"networkPolicy.metricsFrom", "[{namespaceSelector: {matchLabels: {a: b}}}]",
		func(r *rendered) any {
			var peers []int
			for _, rule := range r.networkPolicy().Ingress {
				peers = append(peers, len(rule.From))
			}
			return peers
		},
		[]int{0, 0}, []int{0, 1},
	},
	{
		"networkPolicy.egress", "[{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]",
		func(r *rendered) any {
			return []int{len(r.networkPolicy().PolicyTypes), len(r.networkPolicy().Egress)}
		},
		[]int{1, 0}, []int{2, 1},
	},
}

var labelPolicy = []string{"ValidatingAdmissionPolicy cephferry-label", "ValidatingAdmissionPolicyBinding cephferry-label"}

var ownConfiguration = []string{
	"cephferry",
	"cluster: get,update validatingwebhookconfigurations.admissionregistration.k8s.io cephferry",
	"cluster: list,watch validatingwebhookconfigurations.admissionregistration.k8s.io",
}

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestValues(t *testing.T) {
	byDefault := mustRender(t, "")
	for _, c := range valueCases {
		t.Run(c.value+"="+c.to, func(t *testing.T) {
			equal(t, "by default", c.byDefault, c.look(byDefault))
			equal(t, "set", c.afterSet, c.look(mustRender(t, nested(c.value, c.to))))
		})
	}
}

// classes are the StorageClasses, and what the policies take for ours.
func classes(r *rendered) any {
	var found []string
	for _, c := range all[*storagev1.StorageClass](r) {
		found = append(found, fmt.Sprintf("%s by %s from %s, %s, %s, expansion %t, %v %v",
			c.Name, c.Provisioner, c.Parameters["cephferry.io/class"], *c.ReclaimPolicy, *c.VolumeBindingMode, *c.AllowVolumeExpansion, c.Annotations, c.MountOptions))
	}
	for _, policy := range all[*admissionv1.ValidatingAdmissionPolicy](r) {
		for _, variable := range policy.Spec.Variables {
			if variable.Name == "ownClasses" {
				found = append(found, policy.Name+": "+variable.Expression)
			}
		}
	}
	return found
}

// TestEveryValueIsTested: no value goes without a case above.
func TestEveryValueIsTested(t *testing.T) {
	rows, err := valueRows(read(t, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, c := range valueCases {
		tested[c.value] = true
	}
	for _, row := range rows {
		above, _, _ := strings.Cut(row.path, ".") // serviceAccount.create asks for another value, too
		if !tested[row.path] && !tested[above] {
			t.Errorf("%s has no case", row.path)
		}
	}
}

// TestSchema: what would render nonsense is refused, with the path of the value.
func TestSchema(t *testing.T) {
	for what, c := range map[string]struct{ value, to, want string }{
		"an unknown value":               {"guard.scop", "all", "additional properties 'scop' not allowed"},
		"an unknown value at the top":    {"replica", "1", "additional properties 'replica' not allowed"},
		"an unknown scope":               {"guard.scope", "some", "at '/guard/scope'"},
		"no scope":                       {"guard.scope", "null", "missing property 'scope'"},
		"a switch that is text":          {"guard.enabled", "'false'", "at '/guard/enabled': got string, want boolean"},
		"a switch that is gone":          {"guard.enabled", "null", "at '/guard': missing property 'enabled'"},
		"no word about the label":        {"guard.keepLabel", "null", "at '/guard': missing property 'keepLabel'"},
		"a number that is text":          {"replicas", "'2'", "at '/replicas': got string, want integer"},
		"half a replica":                 {"replicas", "1.5", "at '/replicas'"},
		"a name that is a number":        {"cluster.name", "1", "at '/cluster/name': got number, want string"},
		"a name with a space":            {"cluster.name", "the east", "at '/cluster/name'"},
		"a network that is an address":   {"guard.localCIDRs", "[192.0.2.1]", "at '/guard/localCIDRs/0'"},
		"one network instead of a list":  {"guard.exemptCIDRs", "192.0.2.0/24", "at '/guard/exemptCIDRs': got string, want array"},
		"no namespace for the config":    {"ceph.configNamespaces", "[]", "at '/ceph/configNamespaces'"},
		"no list of namespaces":          {"ceph.configNamespaces", "null", "missing property 'configNamespaces'"},
		"a namespace with a slash":       {"ceph.configNamespaces", "[a/b]", "at '/ceph/configNamespaces/0'"},
		"a namespace twice":              {"guard.excludedNamespaces", "[a, a]", "at '/guard/excludedNamespaces'"},
		"no name of the secret":          {"ceph.secret.namespace", "Rook", "at '/ceph/secret/namespace'"},
		"a secret without its clusterID": {"ceph.secrets", "[{namespace: vault, name: far}]", "at '/ceph/secrets/0'"},
		"core resources":                 {"guard.customResources", "[{apiGroups: [''], resources: [secrets]}]", "at '/guard/customResources/0/apiGroups/0'"},
		"all resources":                  {"guard.customResources", "[{apiGroups: [a.example], resources: ['*']}]", "at '/guard/customResources/0/resources/0'"},
		"all groups":                     {"guard.customResources", "[{apiGroups: ['*'], resources: [a]}]", "at '/guard/customResources/0/apiGroups/0'"},
		"a class without settings":       {"classes", "[{name: migratable}]", "at '/classes/0'"},
		"a class that is not one":        {"classes", "[{name: \"it's\", from: ceph-block}]", "at '/classes/0/name'"},
		"a class of a way that is not":   {"classes", "[{name: migratable, from: ceph-block, volumeBindingMode: Never}]", "at '/classes/0/volumeBindingMode'"},
		"an unknown action":              {"unrendered.action", "Audit", "at '/unrendered/action'"},
		"no action":                      {"unrendered.action", "null", "at '/unrendered': missing property 'action'"},
		"no word about the CRDs":         {"crds.enabled", "null", "at '/crds': missing property 'enabled'"},
		"an issuer without a name":       {"certificate.certManager.issuerRef", "{kind: ClusterIssuer}", "at '/certificate/certManager/issuerRef'"},
		"a tag that is a number":         {"image.tag", "1.2", "at '/image/tag': got number, want string"},
		"a short digest":                 {"image.digest", "'sha256:12'", "at '/image/digest'"},
		"an unknown pull policy":         {"image.pullPolicy", "Sometimes", "at '/image/pullPolicy'"},
		"a log that is loud":             {"log.level", "loud", "at '/log/level'"},
		"a log of XML":                   {"log.format", "xml", "at '/log/format'"},
		"a scrape without a unit":        {"monitoring.serviceMonitor.interval", "30", "at '/monitoring/serviceMonitor/interval'"},
		"a document in a folder":         {"troubleshootingURL", "docs/troubleshooting.md", "at '/troubleshootingURL'"},
		"an argument that is no flag":    {"extraArgs", "[debug]", "at '/extraArgs/0'"},
		"a port out of range":            {"ports.webhook", "65536", "at '/ports/webhook'"},
		"a viewer without a kind":        {"page.viewers", "[{name: operators}]", "at '/page/viewers/0'"},
		"a label that is a number":       {"podLabels", "{a: 1}", "at '/podLabels/a': got number, want string"},
		"a common label of a number":     {"commonLabels", "{a: 1}", "at '/commonLabels/a': got number, want string"},
		"a name with a dot":              {"fullnameOverride", "a.b", "at '/fullnameOverride'"},
		"a name that is cut":             {"fullnameOverride", strings.Repeat("a", 51), "at '/fullnameOverride'"},
		"a name that is a list":          {"nameOverride", "[a]", "at '/nameOverride': got array, want string"},
		"two namespaces":                 {"namespaceOverride", "a/b", "at '/namespaceOverride'"},
		"a registry with a scheme":       {"global.imageRegistry", "https://mirror.example", "at '/global/imageRegistry'"},
		"pull secrets that are one":      {"global.imagePullSecrets", "mirror", "at '/global/imagePullSecrets': got string, want array"},
		"an account of nobody":           {"serviceAccount.create", "false", "at '/serviceAccount/name'"},
		"everybody's account":            {"serviceAccount.name", "default", "at '/serviceAccount/name'"},
		"an unknown value of an account": {"serviceAccount.labels", "{}", "at '/serviceAccount': additional properties 'labels' not allowed"},
		"a flag that a value sets":       {"extraArgs", "[--scope=all]", "at '/extraArgs/0'"},
		"the namespace of another":       {"extraEnv", "[{name: POD_NAMESPACE, value: shop}]", "at '/extraEnv/0/name'"},
		"the cluster of another":         {"extraEnv", "[{name: KUBECONFIG, value: /config}]", "at '/extraEnv/0/name'"},
		"a number in the environment":    {"extraEnv", "[{name: A, value: 1}]", "at '/extraEnv/0/value': got number, want string"},
		"a second certificate":           {"extraVolumes", "[{name: certificate, emptyDir: {}}]", "at '/extraVolumes/0/name'"},
		"a mount over the certificate":   {"extraVolumeMounts", "[{name: a, mountPath: /certs/}]", "at '/extraVolumeMounts/0/mountPath'"},
		"a mount over all":               {"extraVolumeMounts", "[{name: a, mountPath: /}]", "at '/extraVolumeMounts/0/mountPath'"},
		"an object that is a number":     {"extraObjects", "[1]", "at '/extraObjects/0'"},
		"no history":                     {"revisionHistoryLimit", "-1", "at '/revisionHistoryLimit'"},
		"a way to update that is none":   {"updateStrategy", "{type: OnDelete}", "at '/updateStrategy/type'"},
		"an end before the last answer":  {"terminationGracePeriodSeconds", "5", "at '/terminationGracePeriodSeconds'"},
		"a context that is a switch":     {"podSecurityContext", "false", "at '/podSecurityContext': got boolean, want object"},
		"a user as text":                 {"securityContext", "root", "at '/securityContext': got string, want object"},
		"an annotation that is a switch": {"deploymentAnnotations", "{a: true}", "at '/deploymentAnnotations/a': got boolean, want string"},
		"a Service of another kind":      {"service.type", "LoadBalancer", "at '/service': additional properties 'type' not allowed"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := render(values(t, nested(c.value, c.to)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s: %v, want %s", c.value, c.to, err, c.want)
			}
		})
	}
}

func TestClusterNameIsRequired(t *testing.T) {
	const want = "cluster.name is required: the name of this cluster, as refusals will show it; for example --set cluster.name=east"
	for _, without := range []map[string]any{{}, {"cluster": map[string]any{"name": ""}}} {
		if _, err := render(without); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", without, err, want)
		}
	}
}

// nested is the YAML that sets a value by its path.
func nested(path, value string) string {
	var parsed any
	if err := yaml.Unmarshal([]byte(value), &parsed); err != nil {
		panic(err)
	}
	names := strings.Split(path, ".")
	for i := len(names) - 1; i >= 0; i-- {
		parsed = map[string]any{names[i]: parsed}
	}
	data, err := yaml.Marshal(parsed)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func containing(lines []string, part string) []string {
	var found []string
	for _, line := range lines {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

// cephRules are the permissions that lead to Ceph.
func cephRules(r *rendered) any {
	var found []string
	for _, line := range containing(r.rules(), ": get ") {
		if strings.Contains(line, "configmaps") || strings.Contains(line, "secrets") {
			found = append(found, line)
		}
	}
	return found
}

func certificates(r *rendered) []certmanagerv1.CertificateSpec {
	var specs []certmanagerv1.CertificateSpec
	for _, c := range all[*certmanagerv1.Certificate](r) {
		specs = append(specs, c.Spec)
	}
	return specs
}

func quantity(list corev1.ResourceList, name corev1.ResourceName) string {
	q := list[name]
	return q.String()
}
