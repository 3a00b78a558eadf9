{{- define "hookgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* The release's name for its objects. Cut at 52, so that a suffix still fits into 63. */}}
{{- define "hookgate.fullname" -}}
{{- $name := include "hookgate.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selects the pods. Immutable in a Deployment: nothing may ever be added. */}}
{{- define "hookgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "hookgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hookgate.labels" -}}
{{ include "hookgate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "hookgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "hookgate.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "hookgate.image" -}}
{{- $repository := required "image.repository is required: where your registry keeps the gateway's image" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The configuration as given, refused where the pod around it could not serve what it says. */}}
{{- define "hookgate.config" -}}
{{- $config := required "config is required: the text of hookgate.toml" .Values.config }}
{{- if not (regexMatch "(?m)^[ \\t]*listen[ \\t]*=[ \\t]*\"(0\\.0\\.0\\.0|\\[::\\]):8080\"" $config) }}
{{- fail "config must say listen = \"0.0.0.0:8080\" under [server]" }}
{{- end }}
{{- if not (regexMatch "(?m)^[ \\t]*admin_listen[ \\t]*=[ \\t]*\"(0\\.0\\.0\\.0|\\[::\\]):9090\"" $config) }}
{{- fail "config must say admin_listen = \"0.0.0.0:9090\" under [server]: probes come from outside the container" }}
{{- end }}
{{- if not (regexMatch "(?m)^[ \\t]*(\\[ledger\\]|ledger\\.url)" $config) }}
{{- fail "config must name a ledger: without [ledger] it would be a file in a read-only container" }}
{{- end }}
{{- if and (regexMatch "(?m)^[^#\\n]*\"sqlite:" $config) (not .Values.persistence.enabled) }}
{{- fail "an sqlite ledger needs persistence.enabled and a path under /var/lib/hookgate" }}
{{- end }}
{{- $config }}
{{- end }}

{{/* The least number of replicas there will be. */}}
{{- define "hookgate.leastReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}{{ else }}{{ .Values.replicaCount }}{{ end }}
{{- end }}
