{{/* Name of everything: the release's, so that services are <release>-distributor and <release>-query-frontend. */}}
{{- define "tracestore.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Values of the chart grafana/tempo, which are below "tempo" there, laid below ours. */}}
{{- define "tracestore.single" -}}
{{- toYaml (default dict .Values.tempo) -}}
{{- end -}}

{{/* Backend and its keys: storage.trace, with tempo.storage.trace laid over it. */}}
{{- define "tracestore.trace" -}}
{{- $single := dig "storage" "trace" dict (default dict .Values.tempo) -}}
{{- $trace := mergeOverwrite (deepCopy .Values.storage.trace) (deepCopy $single) -}}
{{- toYaml $trace -}}
{{- end -}}

{{- define "tracestore.mode" -}}
{{- if ne .Values.mode "auto" -}}
{{- .Values.mode -}}
{{- else -}}
{{- $roles := list .Values.distributor .Values.ingester .Values.querier .Values.queryFrontend .Values.compactor (default dict .Values.liveStore) (default dict .Values.backendWorker) -}}
{{- $named := false -}}
{{- range $roles -}}{{- if not (kindIs "invalid" .replicas) -}}{{- $named = true -}}{{- end -}}{{- end -}}
{{- ternary "microservices" "all" $named -}}
{{- end -}}
{{- end -}}

{{/* Whether pods share a bucket. */}}
{{- define "tracestore.shared" -}}
{{- $trace := include "tracestore.trace" . | fromYaml -}}
{{- if ne $trace.backend "local" -}}true{{- end -}}
{{- end -}}

{{- define "tracestore.replicas" -}}
{{- if not (kindIs "invalid" .Values.replicas) -}}{{ .Values.replicas }}
{{- else -}}{{ ternary 3 1 (eq (include "tracestore.shared" .) "true") }}{{- end -}}
{{- end -}}

{{/* Name of a role's objects: (dict "root" $ "role" "distributor"). */}}
{{- define "tracestore.roleName" -}}
{{- if eq .role "all" -}}{{ include "tracestore.fullname" .root }}{{- else -}}{{ include "tracestore.fullname" .root }}-{{ .role }}{{- end -}}
{{- end -}}

{{/* What selects every pod of the release. */}}
{{- define "tracestore.releaseSelector" -}}
app.kubernetes.io/name: tracestore
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What selects the pods of a role. */}}
{{- define "tracestore.selector" -}}
{{ include "tracestore.releaseSelector" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{/* The role that answers for another one in this mode. */}}
{{- define "tracestore.component" -}}
{{- if eq (include "tracestore.mode" .root) "all" -}}all{{- else -}}{{ .role }}{{- end -}}
{{- end -}}

{{- define "tracestore.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: tracestore
{{ include "tracestore.selector" . }}
{{- end -}}

{{- define "tracestore.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}{{ default (include "tracestore.fullname" .) .Values.serviceAccount.name }}
{{- else -}}{{ default "default" .Values.serviceAccount.name }}{{- end -}}
{{- end -}}

{{- define "tracestore.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "tracestore.walStore" -}}
{{- if .Values.wal.store -}}{{ .Values.wal.store }}
{{- else if include "tracestore.shared" . -}}bucket
{{- else -}}disk{{- end -}}
{{- end -}}

{{/* Retention, by the first of the places where users of Tempo's charts write it. */}}
{{- define "tracestore.retention" -}}
{{- $own := .Values.retention -}}
{{- $single := dig "retention" "" (default dict .Values.tempo) -}}
{{- $compactor := dig "compaction" "block_retention" "" (default dict .Values.compactor.config) -}}
{{- $worker := dig "config" "compaction" "block_retention" "" (default dict .Values.backendWorker) -}}
{{- $scheduler := dig "config" "provider" "compaction" "compaction" "block_retention" "" (default dict .Values.backendScheduler) -}}
{{- coalesce $own $single $compactor $worker $scheduler "336h" -}}
{{- end -}}

{{/* Names of the Secret with the keys of S3, empty: none. */}}
{{- define "tracestore.s3Secret" -}}
{{- $s3 := dig "s3" dict (include "tracestore.trace" . | fromYaml) -}}
{{- if .Values.s3Credentials.existingSecret -}}{{ .Values.s3Credentials.existingSecret }}
{{- else if include "tracestore.s3Inline" . -}}{{ include "tracestore.fullname" . }}-s3{{- end -}}
{{- end -}}

{{/* Whether keys stand in the values as such; "${VAR}" is filled in by the process itself. */}}
{{- define "tracestore.s3Inline" -}}
{{- $s3 := dig "s3" dict (include "tracestore.trace" . | fromYaml) -}}
{{- if and $s3.access_key $s3.secret_key (not (hasPrefix "$" $s3.access_key)) (not (hasPrefix "$" $s3.secret_key)) -}}true{{- end -}}
{{- end -}}

{{/* Values of the role metrics-generator, with those of the chart grafana/tempo laid below them. */}}
{{- define "tracestore.generator" -}}
{{- $single := deepCopy (dig "metricsGenerator" dict (default dict .Values.tempo)) -}}
{{- $own := deepCopy .Values.metricsGenerator -}}
{{- $config := mergeOverwrite (pick $single "processor" "registry" "storage" "traces_storage" "metrics_ingestion_time_range_slack") (default dict $own.config) -}}
{{- $_ := set $own "config" $config -}}
{{- $_ := set $own "enabled" (or $own.enabled (dig "enabled" false $single)) -}}
{{- $_ := set $own "remoteWriteUrl" (coalesce $own.remoteWriteUrl (dig "remoteWriteUrl" "" $single) "") -}}
{{- toYaml $own -}}
{{- end -}}

{{/* What is wrong with the values, if anything: stops the rendering. */}}
{{- define "tracestore.check" -}}
{{- $mode := include "tracestore.mode" . -}}
{{- $trace := include "tracestore.trace" . | fromYaml -}}
{{- if not (has $mode (list "all" "microservices")) -}}{{- fail (printf "mode is %q, not all, microservices or auto" $mode) -}}{{- end -}}
{{- if not (has $trace.backend (list "local" "s3")) -}}{{- fail (printf "storage.trace.backend is %q: use s3 (any S3 API, also those of GCS and MinIO) or local" $trace.backend) -}}{{- end -}}
{{- if and (eq $trace.backend "s3") (not (dig "s3" "bucket" "" $trace)) -}}{{- fail "storage.trace.backend is s3 and storage.trace.s3.bucket is empty: name the bucket" -}}{{- end -}}
{{- if and (eq $trace.backend "local") (eq $mode "microservices") -}}{{- fail "mode microservices needs a bucket: set storage.trace.backend to s3" -}}{{- end -}}
{{- if and (eq $trace.backend "local") (or (gt (int (include "tracestore.replicas" .)) 1) .Values.autoscaling.enabled) -}}{{- fail "several replicas need a bucket: set storage.trace.backend to s3, or replicas to 1" -}}{{- end -}}
{{- $generator := .Values.metricsGenerator -}}
{{- if not (has $generator.kind (list "Deployment" "StatefulSet")) -}}{{- fail (printf "metricsGenerator.kind is %q, not Deployment or StatefulSet" $generator.kind) -}}{{- end -}}
{{- $many := or .Values.multitenancyEnabled (dig "multitenancyEnabled" false (default dict .Values.tempo)) -}}
{{- if and $generator.scrape $many -}}{{- fail "metricsGenerator.scrape shows one tenant, and multitenancyEnabled is on: write to a receiver, with metricsGenerator.remoteWriteUrl" -}}{{- end -}}
{{- if and $generator.persistence.enabled (ne $generator.kind "StatefulSet") (eq $mode "microservices") -}}{{- fail "metricsGenerator.persistence needs metricsGenerator.kind StatefulSet: a volume for each pod" -}}{{- end -}}
{{- if and (eq $trace.backend "local") (eq (include "tracestore.walStore" .) "bucket") -}}{{- fail "wal.store is bucket and storage.trace.backend is local: there is no bucket" -}}{{- end -}}
{{- end -}}
