{{/*
The keys of docs/annotations.md, as a list of CEL. A test compares it with the code.
*/}}
{{- define "cephferry.annotations" -}}
['cephferry.io/migratable', 'cephferry.io/image', 'cephferry.io/replicas', 'cephferry.io/adopt', 'cephferry.io/class', 'cephferry.io/size', 'cephferry.io/exclusive', 'cephferry.io/keyed']
{{- end }}

{{/*
Matches the keys whose author meant one of these, spelled right or not, as RE2.
It is the constant Meant of pkg/annotations; a test compares the two.
*/}}
{{- define "cephferry.meant" -}}
r'(?i)^\W*ceph[-_]?ferry(\W*|\W+io\b.*|/.*|.*migratable\W*)$'
{{- end }}

{{/*
The names of the classes with our provisioner, as a list of CEL. Their claims need no
annotation, and may have some.
*/}}
{{- define "cephferry.classes" -}}
[{{ range $i, $class := .Values.classes }}{{ if $i }}, {{ end }}'{{ $class.name }}'{{ end }}]
{{- end }}

{{/*
The claim's class as CEL sees it. The annotation goes before the field, as for the API
server. Without either, a default class is still to come: no class is not the class ''.
*/}}
{{- define "cephferry.classOf" -}}
c.?metadata.?annotations[?'volume.beta.kubernetes.io/storage-class'].orValue(c.?spec.?storageClassName.orValue('(default)'))
{{- end }}

{{/*
What is wrong with the variable claims, a list of claims or claim templates: first
their keys, then a class of somebody else. The argument is the message about the
class, as an expression that may use variables.unrendered, the claims that have one.

Nothing here may fail: an error refuses the request. Labels, annotations, their
values and the class may all be missing.
*/}}
{{- define "cephferry.unrendered" -}}
variables:
  - name: claims
    expression: {{ .claims | quote }}
  - name: keys
    expression: >-
      {{ include "cephferry.annotations" . }}
  # One list for each claim, because lists cannot be joined in CEL.
  - name: strangers
    expression: >-
      variables.claims.map(c, c.?metadata.?annotations.orValue({}).filter(k,
      k.matches({{ include "cephferry.meant" . }}) &&
      !(k in variables.keys)))
  - name: labels
    expression: >-
      variables.claims.map(c, c.?metadata.?labels.orValue({}).filter(k,
      k.matches({{ include "cephferry.meant" . }})))
  - name: ownClasses
    expression: {{ include "cephferry.classes" . | quote }}
  # cephferry makes the volumes of claims with the class '' and with its own classes.
  - name: unrendered
    expression: >-
      variables.claims.filter(c,
      c.?metadata.?annotations[?'cephferry.io/migratable'].orValue('') == 'true' &&
      !({{ include "cephferry.classOf" . }} in [''] + variables.ownClasses))
  - name: class
    expression: >-
      variables.unrendered[0].?metadata.?annotations[?'volume.beta.kubernetes.io/storage-class'].orValue(
      variables.unrendered[0].?spec.?storageClassName.orValue(''))
validations:
  - expression: variables.strangers.all(keys, size(keys) == 0)
    reason: Forbidden
    messageExpression: >-
      'no annotation of cephferry is called ' + variables.strangers.filter(keys, size(keys) > 0)[0].join(', ') +
      '. Write cephferry.io/migratable: "true"; with --set of helm, escape the dot: cephferry\\.io/migratable. ' +
      'The others are ' + variables.keys.filter(k, k != 'cephferry.io/migratable').join(', ') + '.'
  - expression: variables.labels.all(keys, size(keys) == 0)
    reason: Forbidden
    messageExpression: >-
      variables.labels.filter(keys, size(keys) > 0)[0].join(', ') +
      ' has no effect as a label. Write it as an annotation.'
  - expression: >-
      variables.claims.all(c, !c.?metadata.?annotations.orValue({}).exists(k, k in variables.keys) ||
      {{ include "cephferry.classOf" . }} in variables.ownClasses ||
      c.?metadata.?annotations[?'cephferry.io/migratable'].orValue('') in ['true', 'false'])
    reason: Forbidden
    message: >-
      the annotation cephferry.io/migratable must be there with the value "true", or "false",
      where other annotations of cephferry are: they have no effect without it.
  - expression: size(variables.unrendered) == 0
    reason: Forbidden
    messageExpression: >-
      {{- .message | nindent 6 }}
{{- end }}

{{/* A way out for everybody who did not want a volume of this cluster alone. */}}
{{- define "cephferry.waysOut" -}}
'If this is from a chart, helm was called without the post-renderer: pass --post-renderer postrender ' +
'(Helm 4: --post-renderer cephferry) at every install and upgrade. Without the post-renderer, write storageClassName: ""' +
(variables.class == '' ? '' : ' and the annotation cephferry.io/class: ' + variables.class) +
'. If a volume of this cluster alone is wanted, remove the annotation cephferry.io/migratable.'
{{- end }}

{{/*
Claims are written again and again: by the binder, the scheduler and operators. Only
a new claim, another class, and keys of ours that are new or changed are looked at,
so that what was there before goes on.
*/}}
{{- define "cephferry.claimNews" -}}
- name: is-news
  expression: >-
    request.operation == 'CREATE' ||
    object.spec.?storageClassName != oldObject.spec.?storageClassName ||
    object.metadata.?annotations.orValue({}).exists(k, k.matches({{ include "cephferry.meant" . }}) &&
    oldObject.metadata.?annotations[?k] != object.metadata.?annotations[?k]) ||
    object.metadata.?labels.orValue({}).exists(k, k.matches({{ include "cephferry.meant" . }}) &&
    oldObject.metadata.?labels[?k] != object.metadata.?labels[?k])
{{- end }}

{{- define "cephferry.unrenderedActions" -}}
{{ eq .Values.unrendered.action "Warn" | ternary "[Warn, Audit]" "[Deny]" }}
{{- end }}
