{{/* A receiver's part of the configuration: (list enabled config defaults). */}}
{{- define "tracestore.receiver" -}}
{{- if index . 0 -}}{{ toYaml (mergeOverwrite (deepCopy (index . 2)) (default dict (index . 1))) }}{{- end -}}
{{- end -}}

{{- define "tracestore.receivers" -}}
{{- $t := .Values.traces -}}
{{- $receivers := dict -}}
{{- $otlp := dict -}}
{{- if $t.otlp.grpc.enabled -}}{{- $_ := set $otlp "grpc" (mergeOverwrite (dict "endpoint" "0.0.0.0:4317") (default dict $t.otlp.grpc.receiverConfig)) -}}{{- end -}}
{{- if $t.otlp.http.enabled -}}{{- $_ := set $otlp "http" (mergeOverwrite (dict "endpoint" "0.0.0.0:4318") (default dict $t.otlp.http.receiverConfig)) -}}{{- end -}}
{{- if $otlp -}}{{- $_ := set $receivers "otlp" (dict "protocols" $otlp) -}}{{- end -}}
{{- if $t.zipkin.enabled -}}{{- $_ := set $receivers "zipkin" (mergeOverwrite (dict "endpoint" "0.0.0.0:9411") (default dict $t.zipkin.receiverConfig)) -}}{{- end -}}
{{- $jaeger := dict -}}
{{- if $t.jaeger.grpc.enabled -}}{{- $_ := set $jaeger "grpc" (mergeOverwrite (dict "endpoint" "0.0.0.0:14250") (default dict $t.jaeger.grpc.receiverConfig)) -}}{{- end -}}
{{- if $t.jaeger.thriftHttp.enabled -}}{{- $_ := set $jaeger "thrift_http" (mergeOverwrite (dict "endpoint" "0.0.0.0:14268") (default dict $t.jaeger.thriftHttp.receiverConfig)) -}}{{- end -}}
{{- if $t.jaeger.thriftCompact.enabled -}}{{- $_ := set $jaeger "thrift_compact" (mergeOverwrite (dict "endpoint" "0.0.0.0:6831") (default dict $t.jaeger.thriftCompact.receiverConfig)) -}}{{- end -}}
{{- if $t.jaeger.thriftBinary.enabled -}}{{- $_ := set $jaeger "thrift_binary" (mergeOverwrite (dict "endpoint" "0.0.0.0:6832") (default dict $t.jaeger.thriftBinary.receiverConfig)) -}}{{- end -}}
{{- if $jaeger -}}{{- $_ := set $receivers "jaeger" (dict "protocols" $jaeger) -}}{{- end -}}
{{- $single := dig "receivers" dict (default dict .Values.tempo) -}}
{{- toYaml (ternary $single $receivers (gt (len $single) 0)) -}}
{{- end -}}

{{/* The configuration file of every role. */}}
{{- define "tracestore.config" -}}
{{- $trace := include "tracestore.trace" . | fromYaml -}}
{{- $single := default dict .Values.tempo -}}
{{- $storage := dict "backend" $trace.backend "wal" (dict "path" "/var/tracestore/wal") -}}
{{- if eq $trace.backend "s3" -}}
{{- $_ := set $storage "s3" (ternary (omit $trace.s3 "access_key" "secret_key") $trace.s3 (eq (include "tracestore.s3Inline" .) "true")) -}}
{{- else -}}
{{- $_ := set $storage "local" (default (dict "path" "/var/tracestore/data") $trace.local) -}}
{{- end -}}
{{- $extra := omit $trace "backend" "s3" "local" "gcs" "azure" "wal" "admin" -}}
{{- $config := dict
  "server" (dict "http_listen_port" .Values.server.httpListenPort "grpc_listen_port" .Values.server.grpcListenPort "log_level" .Values.server.logLevel "log_format" .Values.server.logFormat)
  "multitenancy_enabled" (or .Values.multitenancyEnabled (dig "multitenancyEnabled" false $single))
  "stream_over_http_enabled" .Values.streamOverHTTPEnabled
  "distributor" (mergeOverwrite (dict "receivers" (include "tracestore.receivers" . | fromYaml)) (deepCopy (default dict .Values.distributor.config)))
  "storage" (dict "trace" (mergeOverwrite $storage (deepCopy $extra)))
  "wal" (dict "store" (include "tracestore.walStore" .))
  "compactor" (mergeOverwrite (deepCopy (default dict .Values.compactor.config)) (dict "compaction" (dict "block_retention" (include "tracestore.retention" .))))
  "overrides" (mergeOverwrite (dict "defaults" dict) (deepCopy (default dict .Values.overrides)))
-}}
{{- if include "tracestore.shared" . -}}
{{- $_ := set $config "members" (dict "dns" (printf "%s-members.%s.svc:%v" (include "tracestore.fullname" .) .Release.Namespace .Values.server.grpcListenPort)) -}}
{{- end -}}
{{- $overrides := mergeOverwrite (deepCopy (dig "per_tenant_overrides" dict $single)) (deepCopy (default dict .Values.per_tenant_overrides)) -}}
{{- if $overrides -}}{{- $_ := set $config.overrides "per_tenant_override_config" "/conf/overrides.yaml" -}}{{- end -}}
{{- range $key, $value := dict "ingester" .Values.ingester.config "querier" .Values.querier.config "query_frontend" .Values.queryFrontend.config -}}
{{- if $value -}}{{- $_ := set $config $key (deepCopy $value) -}}{{- end -}}
{{- end -}}
{{- range $key, $name := dict "ingester" "ingester" "querier" "querier" "queryFrontend" "query_frontend" "overrides" "overrides" "server" "server" -}}
{{- with index $single $key -}}{{- $_ := set $config $name (mergeOverwrite (default dict (index $config $name)) (deepCopy .)) -}}{{- end -}}
{{- end -}}
{{- $generator := include "tracestore.generator" . | fromYaml -}}
{{- if $generator.enabled -}}
{{- $base := dict "storage" dict -}}
{{- with $generator.remoteWriteUrl -}}{{- $_ := set $base.storage "remote_write" (list (dict "url" . "send_exemplars" true)) -}}{{- end -}}
{{- $base = mergeOverwrite $base (deepCopy (default dict $generator.config)) -}}
{{- /* the paths of Tempo's charts are not mounted here */ -}}
{{- if or (not $base.storage.path) (hasPrefix "/var/tempo" $base.storage.path) (hasPrefix "/tmp/tempo" $base.storage.path) -}}
{{- $_ := set $base.storage "path" "/var/tracestore/generator" -}}
{{- end -}}
{{- $_ := set $config "metrics_generator" $base -}}
{{- if not (contains "processors" (toYaml (list $config.overrides $overrides))) -}}
{{- $_ := set $config.overrides "defaults" (mergeOverwrite (default dict $config.overrides.defaults) (dict "metrics_generator" (dict "processors" (list "service-graphs" "span-metrics")))) -}}
{{- end -}}
{{- end -}}
{{- $config = mergeOverwrite $config (deepCopy (dig "structuredConfig" dict $single)) (deepCopy (default dict .Values.structuredConfig)) -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "tracestore.tenantOverrides" -}}
{{- $single := dig "per_tenant_overrides" dict (default dict .Values.tempo) -}}
{{- $overrides := mergeOverwrite (deepCopy $single) (deepCopy (default dict .Values.per_tenant_overrides)) -}}
{{- if $overrides -}}{{- toYaml (dict "overrides" $overrides) -}}{{- end -}}
{{- end -}}
