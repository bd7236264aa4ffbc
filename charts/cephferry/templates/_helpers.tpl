{{/* The name of everything: fullnameOverride, or the release's, if it already says cephferry. */}}
{{- define "cephferry.name" -}}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- if not (contains $name .Release.Name) }}{{ $name = printf "%s-%s" .Release.Name $name }}{{ else }}{{ $name = .Release.Name }}{{ end }}
{{- .Values.fullnameOverride | default $name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Where the pods are. Everything that says so uses this. */}}
{{- define "cephferry.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "cephferry.account" -}}
{{- (.Values.serviceAccount).name | default (include "cephferry.name" .) }}
{{- end }}

{{/* The webhook as policies see it. */}}
{{- define "cephferry.user" -}}
system:serviceaccount:{{ include "cephferry.namespace" . }}:{{ include "cephferry.account" . }}
{{- end }}

{{/*
They never change: the Deployment's selector cannot, and kubectl cephferry finds the
Deployment by the name that is here, whatever the objects are called.
*/}}
{{- define "cephferry.selectorLabels" -}}
app.kubernetes.io/name: cephferry
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "cephferry.labels" -}}
{{- merge (include "cephferry.ownLabels" . | fromYaml) (include "cephferry.commonLabels" . | fromYaml) | toYaml }}
{{- end }}

{{/*
The labels that the user gives all objects. Those that say what is the chart's, which
namespaces are guarded, or whose ClusterRoles get our rights, are not the user's.
*/}}
{{- define "cephferry.commonLabels" -}}
{{- range $key, $_ := .Values.commonLabels }}
{{- if regexMatch `^(app\.kubernetes\.io/(name|instance|version|managed-by)|helm\.sh/.*|cephferry\.io/.*|rbac\.authorization\.k8s\.io/.*|pod-template-hash)$` $key }}
{{- fail (printf "commonLabels: the label %q means something to Kubernetes, Helm or cephferry, and cannot be given to all objects" $key) }}
{{- end }}
{{- end }}
{{- .Values.commonLabels | default dict | toYaml }}
{{- end }}

{{/* The labels of the pods that nothing selects. */}}
{{- define "cephferry.podLabels" -}}
{{- range $key, $_ := .Values.podLabels }}
{{- if or (eq $key "pod-template-hash") (hasKey (include "cephferry.selectorLabels" $ | fromYaml) $key) }}
{{- fail (printf "podLabels: the pods are selected by the label %q, so it is the chart's" $key) }}
{{- end }}
{{- end }}
{{- merge dict (.Values.podLabels | default dict) (include "cephferry.commonLabels" . | fromYaml) | toYaml }}
{{- end }}

{{- define "cephferry.ownLabels" -}}
{{ include "cephferry.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/*
The image. A registry is what comes before the first slash and has a dot or a colon, or is
localhost; global.imageRegistry takes its place.
*/}}
{{- define "cephferry.image" -}}
{{- $repository := .Values.image.repository }}
{{- with (.Values.global).imageRegistry }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") }}
{{- end }}
{{- with .Values.image }}
{{- if .digest }}{{ $repository }}@{{ .digest }}{{ else }}{{ $repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Other charts take the names alone for global.imagePullSecrets, so both are good. */}}
{{- define "cephferry.pullSecrets" -}}
{{- $secrets := list }}
{{- range concat ((.Values.global).imagePullSecrets | default list) (.Values.image.pullSecrets | default list) }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with uniq $secrets }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Each of these is also what values of an older chart mean, which do not have it. */}}
{{- define "cephferry.podSecurityContext" -}}
{{- .Values.podSecurityContext | default (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) | toYaml }}
{{- end }}

{{- define "cephferry.securityContext" -}}
{{- .Values.securityContext | default (dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL"))) | toYaml }}
{{- end }}

{{- define "cephferry.troubleshootingURL" -}}
{{- hasKey .Values "troubleshootingURL" | ternary .Values.troubleshootingURL "https://github.com/cephferry/cephferry/blob/main/docs/troubleshooting.md" }}
{{- end }}

{{/*
The Secret with the serving certificate. Helm owns it only if the webhook makes the
certificate, so it has another name if cert-manager does: the value can change.
*/}}
{{- define "cephferry.certificate" -}}
{{ include "cephferry.name" . }}-{{ .Values.certificate.certManager.enabled | ternary "tls" "certificate" }}
{{- end }}

{{/*
Namespaces without a guard, as a JSON list, which is YAML and CEL too. A webhook
that guarded the namespace of its own pods, or of what they need to start, could
never come back once it is down.
*/}}
{{- define "cephferry.excludedNamespaces" -}}
{{- concat (list "kube-system" "kube-public" "kube-node-lease" (include "cephferry.namespace" .)) .Values.guard.excludedNamespaces | uniq | toJson }}
{{- end }}

{{- define "cephferry.clusterName" -}}
{{- required "cluster.name is required: the name of this cluster, as refusals will show it; for example --set cluster.name=east" .Values.cluster.name }}
{{- end }}

{{/*
What all webhooks have in common. A dry run is answered the same, and leaves no
trace. The answer takes 3 s at most, whatever Ceph does.
*/}}
{{- define "cephferry.webhook" -}}
admissionReviewVersions: [v1]
sideEffects: NoneOnDryRun
matchPolicy: Equivalent
timeoutSeconds: 5
{{- end }}

{{/* The Secret with the Ceph user that is named, as namespace/name; empty: it is found. */}}
{{- define "cephferry.cephSecret" -}}
{{- $secret := .Values.ceph.secret }}
{{- if or $secret.namespace $secret.name }}
{{- $secret.namespace | default (first .Values.ceph.configNamespaces) }}/{{ $secret.name | default "rook-csi-rbd-node" }}
{{- end }}
{{- end }}
