{{- /* Values that would render, and then not run: said here, before anything is installed. */ -}}

{{- define "relay.check" -}}
{{- include "relay.checkVolume" . -}}
{{- include "relay.checkGrace" . -}}
{{- include "relay.checkPort" . -}}
{{- if and .Values.eventerArgs .Values.namespaces -}}
{{- fail "eventerArgs and namespaces exclude each other: kube-eventer's command line reads all namespaces. Leave namespaces out, or write config instead of eventerArgs." -}}
{{- end -}}
{{- end -}}

{{- define "relay.checkVolume" -}}
{{- $maxBytes := include "relay.maxBytes" . -}}
{{- $size := .Values.persistence.size -}}
{{- $bytes := include "relay.bytes" (dict "name" "persistence.size" "size" $size) | float64 -}}
{{- if lt $bytes (include "relay.bytes" (dict "name" "config.log.maxBytes" "size" $maxBytes) | float64) -}}
{{- fail (printf "persistence.size (%v) is smaller than the log may become (%v): enlarge it, or lower config.log.maxBytes." $size $maxBytes) -}}
{{- end -}}
{{- end -}}

{{- /* How large the log may become; the relay's own default where nothing is said. */ -}}
{{- define "relay.maxBytes" -}}
{{- $maxBytes := "2GiB" -}}
{{- if .Values.eventerArgs -}}
{{- range .Values.eventerArgs -}}
{{- if hasPrefix "--max-bytes=" . }}{{ $maxBytes = trimPrefix "--max-bytes=" . }}{{ end -}}
{{- end -}}
{{- else -}}
{{- $maxBytes = dig "log" "maxBytes" $maxBytes .Values.config -}}
{{- end -}}
{{- $maxBytes -}}
{{- end -}}

{{- /* Bytes of a size as the relay or Kubernetes writes it: 2GiB, 4Gi, 500M, 4096. YAML hands numbers over as 4.096e+03. */ -}}
{{- define "relay.bytes" -}}
{{- $text := toString .size -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?(e[+]?[0-9]+)? ?([kKMGTPE]?|[KMGTPE]i)B?$" $text) -}}
{{- fail (printf "%s: %q is not a size. Write a number with a unit, such as 4Gi." .name $text) -}}
{{- end -}}
{{- $scales := dict "" 1 "k" 1e3 "K" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 0x1p10 "Mi" 0x1p20 "Gi" 0x1p30 "Ti" 0x1p40 "Pi" 0x1p50 "Ei" 0x1p60 -}}
{{- $unit := regexFind "[kKMGTPE]?i?B?$" $text -}}
{{- mulf (trimSuffix $unit $text | trim | float64) (get $scales (trimSuffix "B" $unit)) -}}
{{- end -}}

{{- define "relay.checkGrace" -}}
{{- $deadline := ternary "20s" (dig "drainDeadline" "20s" .Values.config) (not (empty .Values.eventerArgs)) -}}
{{- $grace := .Values.terminationGracePeriodSeconds -}}
{{- if le (float64 $grace) (include "relay.seconds" $deadline | float64) -}}
{{- fail (printf "terminationGracePeriodSeconds (%v) has to be more than config.drainDeadline (%v): the relay would be killed while it ends its deliveries." $grace $deadline) -}}
{{- end -}}
{{- end -}}

{{- /* Seconds of a duration such as 1m30s. What is shorter than a second counts for nothing. */ -}}
{{- define "relay.seconds" -}}
{{- $scales := dict "h" 3600 "m" 60 "s" 1 -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9.]+[^0-9.]+" (toString .) -1 -}}
{{- $unit := regexFind "[^0-9.]+$" . -}}
{{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $scales $unit | default 0)) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{- /* Probes, Service and NetworkPolicy are for one port, on the pod's own address. */ -}}
{{- define "relay.checkPort" -}}
{{- $listen := dig "admin" "listen" "0.0.0.0:8084" .Values.config -}}
{{- if and (not .Values.eventerArgs) (not (has $listen (list "0.0.0.0:8084" "[::]:8084"))) -}}
{{- fail (printf "config.admin.listen is %v, and the chart's probes and Service ask port 8084 of the pod: write 0.0.0.0:8084 or [::]:8084, or leave it out." $listen) -}}
{{- end -}}
{{- $usual := list "--healthz-port=8084" "--healthz-ip=" "--healthz-ip=0.0.0.0" "--healthz-ip=::" -}}
{{- range .Values.eventerArgs -}}
{{- if and (regexMatch "^--healthz-(ip|port)" .) (not (has . $usual)) -}}
{{- fail (printf "eventerArgs has %s, and the chart's probes and Service ask port 8084 of the pod: leave it out." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
