{{- define "lorafleet.secret" -}}
{{ .Values.existingSecret | default (printf "%s-lorafleet" .Release.Name) }}
{{- end }}

{{- define "lorafleet.labels" -}}
app.kubernetes.io/name: lorafleet
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lorafleet.security" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
{{- end }}
