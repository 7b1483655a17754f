{{/* The workloads of this mode as YAML list of {role, target, kind, values, replicas, persistence, ports}. */}}
{{- define "tracestore.roles" -}}
{{- $v := .Values -}}
{{- $roles := list -}}
{{- if eq (include "tracestore.mode" .) "all" -}}
{{- $own := pick $v "resources" "autoscaling" "podDisruptionBudget" "terminationGracePeriodSeconds" -}}
{{- $resources := coalesce $v.resources (dig "resources" dict (default dict $v.tempo)) -}}
{{- $_ := set $own "resources" $resources -}}
{{- $roles = append $roles (dict "role" "all" "kind" "StatefulSet" "values" $own "replicas" (int (include "tracestore.replicas" .)) "persistence" $v.persistence "receives" true "data" true) -}}
{{- else -}}
{{- $ingester := mergeOverwrite (deepCopy $v.ingester) (deepCopy (default dict $v.liveStore)) -}}
{{- $compactor := mergeOverwrite (deepCopy (default dict $v.backendWorker)) (deepCopy $v.compactor) -}}
{{- if kindIs "invalid" $compactor.replicas -}}{{- $_ := set $compactor "replicas" (default dict $v.backendWorker).replicas -}}{{- end -}}
{{- $roles = append $roles (dict "role" "distributor" "kind" "Deployment" "values" $v.distributor "replicas" (include "tracestore.or" (list $v.distributor.replicas 2) | int) "receives" true) -}}
{{- $roles = append $roles (dict "role" "ingester" "kind" "StatefulSet" "values" $ingester "replicas" (include "tracestore.or" (list $ingester.replicas 3) | int) "persistence" $ingester.persistence "data" true) -}}
{{- $roles = append $roles (dict "role" "querier" "kind" "Deployment" "values" $v.querier "replicas" (include "tracestore.or" (list $v.querier.replicas 2) | int)) -}}
{{- $roles = append $roles (dict "role" "query-frontend" "kind" "Deployment" "values" $v.queryFrontend "replicas" (include "tracestore.or" (list $v.queryFrontend.replicas 2) | int)) -}}
{{- $roles = append $roles (dict "role" "compactor" "kind" "Deployment" "values" $compactor "replicas" (include "tracestore.or" (list $compactor.replicas 1) | int)) -}}
{{- $generator := include "tracestore.generator" . | fromYaml -}}
{{- if $generator.enabled -}}
{{- $roles = append $roles (dict "role" "metrics-generator" "kind" $generator.kind "values" $generator "replicas" (include "tracestore.or" (list $generator.replicas 1) | int) "persistence" $generator.persistence "data" (eq $generator.kind "StatefulSet")) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "roles" $roles) -}}
{{- end -}}

{{/* A value unless it is null. */}}
{{- define "tracestore.or" -}}
{{- if kindIs "invalid" (index . 0) -}}{{ index . 1 }}{{- else -}}{{ index . 0 }}{{- end -}}
{{- end -}}

{{/* A value of the role, else of all pods: (list $role $root "nodeSelector"). */}}
{{- define "tracestore.of" -}}
{{- $found := coalesce (index (index . 0).values (index . 2)) (index (index . 1).Values (index . 2)) -}}
{{- if $found -}}{{ toYaml $found }}{{- end -}}
{{- end -}}

{{/* Ports of the receivers: YAML list of {name, port, protocol}. */}}
{{- define "tracestore.receiverPorts" -}}
{{- $ports := list -}}
{{- $receivers := include "tracestore.receivers" . | fromYaml -}}
{{- $otlp := dig "otlp" "protocols" dict $receivers -}}
{{- $jaeger := dig "jaeger" "protocols" dict $receivers -}}
{{- range list
  (list $otlp "grpc" "grpc-otlp" 4317 "TCP") (list $otlp "http" "otlp-http" 4318 "TCP") (list $receivers "zipkin" "zipkin" 9411 "TCP")
  (list $jaeger "grpc" "grpc-jaeger" 14250 "TCP") (list $jaeger "thrift_http" "jaeger-http" 14268 "TCP")
  (list $jaeger "thrift_compact" "jaeger-compact" 6831 "UDP") (list $jaeger "thrift_binary" "jaeger-binary" 6832 "UDP") -}}
{{- $holder := index . 0 -}}
{{- if hasKey $holder (index . 1) -}}
{{- $endpoint := dig (index . 1) "endpoint" "" $holder | default "" | toString -}}
{{- $port := ternary (regexFind "[0-9]+$" $endpoint | int) (index . 3) (regexMatch ":[0-9]+$" $endpoint) -}}
{{- $ports = append $ports (dict "name" (index . 2) "port" (int (index . 3)) "targetPort" (int $port) "protocol" (index . 4)) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "ports" $ports) -}}
{{- end -}}

{{- define "tracestore.podSpec" -}}
{{- $root := .root -}}{{- $role := .role -}}{{- $v := $root.Values -}}
serviceAccountName: {{ include "tracestore.serviceAccountName" $root }}
automountServiceAccountToken: {{ $v.serviceAccount.automountServiceAccountToken }}
enableServiceLinks: false
{{- with $v.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml $v.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ coalesce $role.values.terminationGracePeriodSeconds $v.terminationGracePeriodSeconds }}
{{- with include "tracestore.of" (list $role $root "priorityClassName") }}
priorityClassName: {{ . }}
{{- end }}
{{- with include "tracestore.of" (list $role $root "nodeSelector") }}
nodeSelector: {{- . | nindent 2 }}
{{- end }}
{{- with include "tracestore.of" (list $role $root "tolerations") }}
tolerations: {{- . | nindent 2 }}
{{- end }}
{{- with include "tracestore.of" (list $role $root "topologySpreadConstraints") }}
topologySpreadConstraints: {{- . | nindent 2 }}
{{- end }}
{{- $affinity := include "tracestore.of" (list $role $root "affinity") }}
{{- if kindIs "string" $role.values.affinity }}{{- $affinity = tpl $role.values.affinity $root }}{{- end }}
{{- if $affinity }}
affinity: {{- $affinity | nindent 2 }}
{{- else if ne $v.antiAffinity "none" }}
affinity:
  podAntiAffinity:
    {{- if eq $v.antiAffinity "hard" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "tracestore.selector" (dict "root" $root "role" $role.role) | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "tracestore.selector" (dict "root" $root "role" $role.role) | nindent 14 }}
    {{- end }}
{{- end }}
containers:
  - name: {{ $role.role }}
    image: {{ include "tracestore.image" $root }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args:
      - -config.file=/conf/tracestore.yaml
      - -config.expand-env=true
      - -target={{ $role.role }}
      {{- range (concat (include "tracestore.args" $v.extraArgs | fromYamlArray) (include "tracestore.args" $role.values.extraArgs | fromYamlArray)) }}
      - {{ . | quote }}
      {{- end }}
    ports:
      - {name: http-metrics, containerPort: {{ $v.server.httpListenPort }}, protocol: TCP}
      - {name: grpc, containerPort: {{ $v.server.grpcListenPort }}, protocol: TCP}
      {{- if $role.receives }}
      {{- range (include "tracestore.receiverPorts" $root | fromYaml).ports }}
      - {name: {{ .name }}, containerPort: {{ .targetPort }}, protocol: {{ .protocol }}}
      {{- end }}
      {{- end }}
    env:
      - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
      - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      - {name: TRACESTORE_MEMBERS__ADVERTISE, value: "$(POD_IP):{{ $v.server.grpcListenPort }}"}
      - {name: TRACESTORE_MEMBERS__INSTANCE, value: "$(POD_NAME)"}
      {{- with include "tracestore.s3Secret" $root }}
      - {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $v.s3Credentials.accessKeyKey }}}}}
      - {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $v.s3Credentials.secretKeyKey }}}}}
      {{- end }}
      {{- with concat (default list $v.extraEnv) (default list $role.values.extraEnv) }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with concat (default list $v.extraEnvFrom) (default list $role.values.extraEnvFrom) }}
    envFrom: {{- toYaml . | nindent 6 }}
    {{- end }}
    # a start may replay a log: ten minutes before it counts as failed
    startupProbe: {httpGet: {path: /status/version, port: http-metrics}, periodSeconds: 5, failureThreshold: 120}
    livenessProbe: {httpGet: {path: /status/version, port: http-metrics}, periodSeconds: 15, timeoutSeconds: 5, failureThreshold: 4}
    readinessProbe: {httpGet: {path: /ready, port: http-metrics}, periodSeconds: 5, timeoutSeconds: 3}
    securityContext: {{- toYaml $v.securityContext | nindent 6 }}
    {{- with include "tracestore.of" (list $role $root "resources") }}
    resources: {{- . | nindent 6 }}
    {{- end }}
    volumeMounts:
      - {name: config, mountPath: /conf, readOnly: true}
      - {name: data, mountPath: /var/tracestore}
      - {name: tmp, mountPath: /tmp}
      {{- with concat (default list $v.extraVolumeMounts) (default list $role.values.extraVolumeMounts) }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - {name: config, configMap: {name: {{ include "tracestore.fullname" $root }}-config}}
  - {name: tmp, emptyDir: {sizeLimit: 4Gi}}
  {{- if not (and $role.data (dig "persistence" "enabled" false $role)) }}
  - {name: data, emptyDir: {sizeLimit: {{ $v.scratchSizeLimit }}}}
  {{- end }}
  {{- with concat (default list $v.extraVolumes) (default list $role.values.extraVolumes) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Flags as a list; the chart grafana/tempo has them as a map. */}}
{{- define "tracestore.args" -}}
{{- if kindIs "map" . -}}
{{- $args := list -}}
{{- range $key, $value := . -}}{{- $args = append $args (printf "-%s=%v" $key $value) -}}{{- end -}}
{{- toYaml $args -}}
{{- else -}}{{- toYaml (default list .) -}}{{- end -}}
{{- end -}}
