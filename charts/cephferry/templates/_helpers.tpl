{{/* The name of everything: the release's, if it already says cephferry. */}}
{{- define "cephferry.name" -}}
{{- $name := .Release.Name }}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end }}
{{- $name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "cephferry.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "cephferry.labels" -}}
{{ include "cephferry.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "cephferry.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
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
{{- concat (list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace) .Values.guard.excludedNamespaces | uniq | toJson }}
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
