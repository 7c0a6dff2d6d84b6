{{- /* By which the relay's pod is found. */ -}}
{{- define "relay.selector" -}}
app.kubernetes.io/name: kube-event-relay
{{- end -}}

{{- /* Of every object; the latter three are usual for charts, and not in deploy/kustomize. */ -}}
{{- define "relay.labels" -}}
{{ include "relay.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Every object has the same name: there is one relay in a namespace. */ -}}
{{- define "relay.metadata" -}}
name: kube-event-relay
namespace: {{ .Release.Namespace }}
labels:
  {{- include "relay.labels" . | nindent 2 }}
{{- end -}}

{{- /* The same, with the labels by which a Prometheus finds what it reads. */ -}}
{{- define "relay.monitoringMetadata" -}}
{{- $metadata := include "relay.metadata" . | fromYaml -}}
{{- $_ := mergeOverwrite $metadata.labels .Values.monitoring.labels -}}
{{- toYaml $metadata -}}
{{- end -}}

{{- /* The rules, with the place where the operators' guide is in front of each runbook. */ -}}
{{- define "relay.rules" -}}
{{- $spec := (.Files.Get "files/prometheus-rule.yaml" | fromYaml).spec -}}
{{- range $group := $spec.groups -}}
{{- range $group.rules -}}
{{- $_ := set .annotations "runbook_url" (print $.Values.monitoring.runbookBase .annotations.runbook_url) -}}
{{- end -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}

{{- /* Annotations of the pod: a new configuration restarts it. */ -}}
{{- define "relay.podAnnotations" -}}
{{- $annotations := deepCopy .Values.podAnnotations -}}
{{- if not .Values.eventerArgs -}}
{{- $_ := set $annotations "checksum/config" (include "relay.config" . | sha256sum) -}}
{{- end -}}
{{- if $annotations }}{{ toYaml $annotations }}{{ end -}}
{{- end -}}

{{- /* Roles of the whole cluster are told apart by the namespace when it is not the usual one. */ -}}
{{- define "relay.clusterName" -}}
{{- if eq .Release.Namespace "kube-event-relay" }}kube-event-relay{{ else }}kube-event-relay-{{ .Release.Namespace }}{{ end -}}
{{- end -}}

{{- define "relay.subjects" -}}
- kind: ServiceAccount
  name: kube-event-relay
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{- /* The configuration, with the namespaces that it may read. */ -}}
{{- define "relay.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- with .Values.namespaces -}}
{{- $config = mergeOverwrite $config (dict "source" (dict "kubernetes" (dict "namespaces" .))) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "relay.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- /* One rule in one namespace, for the relay. */ -}}
{{- define "relay.role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "relay.labels" .root | nindent 4 }}
rules:
  - {{- toYaml .rule | nindent 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "relay.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  {{- include "relay.subjects" .root | nindent 2 }}
{{- end }}
