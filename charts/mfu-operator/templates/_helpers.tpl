{{- define "mfu.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mfu.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "mfu.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "mfu.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mfu.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "mfu.labels" -}}
{{ include "mfu.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "mfu.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mfu.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "mfu.agentServiceAccountName" -}}
{{- default (printf "%s-agent" (include "mfu.fullname" .)) .Values.agent.serviceAccount.name -}}
{{- end -}}

{{- define "mfu.admissionServiceAccountName" -}}
{{- default (printf "%s-admission" (include "mfu.fullname" .)) .Values.admission.serviceAccount.name -}}
{{- end -}}

{{/* Not empty where the operator writes to pods behind our gate. */}}
{{- define "mfu.actsOnPods" -}}
{{- if or (has "PreferredAffinity" .Values.config.actions) (has "RequiredAffinity" .Values.config.actions) -}}true{{- end -}}
{{- end -}}

{{- define "mfu.suspends" -}}
{{- if has "Suspend" .Values.config.actions -}}true{{- end -}}
{{- end -}}

{{- define "mfu.reshapes" -}}
{{- if has "MIGLayout" .Values.config.actions -}}true{{- end -}}
{{- end -}}

{{- define "mfu.slows" -}}
{{- if has "PreferNoSchedule" .Values.config.actions -}}true{{- end -}}
{{- end -}}

{{/* Not empty where the operator writes to Nodes. */}}
{{- define "mfu.writesNodes" -}}
{{- include "mfu.reshapes" . -}}{{- include "mfu.slows" . -}}
{{- end -}}

{{/* CEL: taints after and before without ours are the same, in their order. */}}
{{- define "mfu.sameOtherTaints" -}}
(has(object.spec.taints) ? object.spec.taints : []).filter(each, !(each.key == 'mfu.gpuaas.io/slow' && each.effect == 'PreferNoSchedule')) ==
(has(oldObject.spec.taints) ? oldObject.spec.taints : []).filter(each, !(each.key == 'mfu.gpuaas.io/slow' && each.effect == 'PreferNoSchedule'))
{{- end -}}

{{/* CEL: the node carries our soft taint, before and after. */}}
{{- define "mfu.slowVariables" -}}
- name: slowBefore
  expression: "has(oldObject.spec.taints) && oldObject.spec.taints.exists(each, each.key == 'mfu.gpuaas.io/slow' && each.effect == 'PreferNoSchedule')"
- name: slow
  expression: "has(object.spec.taints) && object.spec.taints.exists(each, each.key == 'mfu.gpuaas.io/slow' && each.effect == 'PreferNoSchedule')"
{{- end -}}

{{- define "mfu.scales" -}}
{{- if has "Scale" .Values.config.actions -}}true{{- end -}}
{{- end -}}

{{- define "mfu.marksPods" -}}
{{- if has "PodDeletionCost" .Values.config.actions -}}true{{- end -}}
{{- end -}}

{{/* Not empty where the operator writes to pod templates of owners of which nothing runs. */}}
{{- define "mfu.hintsTemplates" -}}
{{- range list "NodeSelector" "TopologyAnnotation" "MIGResource" -}}
{{- if has . $.Values.config.actions -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* CEL: nothing of the owner runs, as it was before the request. */}}
{{- define "mfu.heldBefore" -}}
(request.kind.kind == 'LeaderWorkerSet' ?
(has(oldObject.spec.replicas) && oldObject.spec.replicas == 0) :
(request.kind.kind in ['Job', 'JobSet', 'TrainJob'] && has(oldObject.spec.suspend) && oldObject.spec.suspend))
{{- end -}}

{{/* CEL variables: names on Kueue's gate before and after; needs variables.before and variables.now. */}}
{{- define "mfu.queueGateVariables" -}}
- name: gatesBefore
  expression: >-
    'kueue.x-k8s.io/admission-gated-by' in variables.before && variables.before['kueue.x-k8s.io/admission-gated-by'] != '' ?
    variables.before['kueue.x-k8s.io/admission-gated-by'].split(',').map(each, each.trim()) : []
- name: gatesNow
  expression: >-
    'kueue.x-k8s.io/admission-gated-by' in variables.now && variables.now['kueue.x-k8s.io/admission-gated-by'] != '' ?
    variables.now['kueue.x-k8s.io/admission-gated-by'].split(',').map(each, each.trim()) : []
{{- end -}}

{{/* CEL: of the names on Kueue's gate at most ours is taken off. */}}
{{- define "mfu.onlyOurGate" -}}
variables.gatesNow.all(each, each in variables.gatesBefore) && variables.gatesBefore.all(each, each == 'mfu.gpuaas.io/placement' || each in variables.gatesNow)
{{- end -}}

{{/* CEL: labels, finalizers and owners stay. */}}
{{- define "mfu.sameMetadata" -}}
(has(object.metadata.labels) ? object.metadata.labels : {}) ==
(has(oldObject.metadata.labels) ? oldObject.metadata.labels : {}) &&
{{ include "mfu.sameOwners" . }}
{{- end -}}

{{/* CEL: finalizers and owners stay. */}}
{{- define "mfu.sameOwners" -}}
(has(object.metadata.finalizers) ? object.metadata.finalizers : []) ==
(has(oldObject.metadata.finalizers) ? oldObject.metadata.finalizers : []) &&
(has(object.metadata.ownerReferences) ? object.metadata.ownerReferences : []) ==
(has(oldObject.metadata.ownerReferences) ? oldObject.metadata.ownerReferences : [])
{{- end -}}

{{/* CEL: a Workload of Kueue's is ended by the request. */}}
{{- define "mfu.endsWorkload" -}}
(has(object.spec.active) && !object.spec.active && (!has(oldObject.spec.active) || oldObject.spec.active))
{{- end -}}

{{/* CEL: containers `known` and `each` are the same in all but what they ask for. */}}
{{- define "mfu.sameButResources" -}}
{{- range $index, $field := list "image" "imagePullPolicy" "command" "args" "workingDir" "env" "envFrom" "ports" "lifecycle" "livenessProbe" "readinessProbe" "startupProbe" "securityContext" "volumeMounts" "volumeDevices" "restartPolicy" "resizePolicy" "stdin" "stdinOnce" "tty" "terminationMessagePath" "terminationMessagePolicy" }}
{{- if $index }} && {{ end }}has(known.{{ $field }}) == has(each.{{ $field }}) && (!has(known.{{ $field }}) || known.{{ $field }} == each.{{ $field }})
{{- end }}
{{- end -}}

{{/* CEL: of what `known` and `each` ask for, a GPU became as many slices, and nothing else changed. */}}
{{- define "mfu.onlySliced" -}}
has(known.resources) && has(each.resources) && [known.resources].all(was, [each.resources].all(now,
has(was.claims) == has(now.claims) && (!has(was.claims) || was.claims == now.claims)
{{- range $part := list "limits" "requests" }} &&
[has(was.{{ $part }}) ? was.{{ $part }} : {}].all(had, [has(now.{{ $part }}) ? now.{{ $part }} : {}].all(asks,
had.all(name, name.startsWith('nvidia.com/') || (name in asks && asks[name] == had[name])) &&
asks.all(name, (name in had && asks[name] == had[name]) ||
(name.startsWith('nvidia.com/mig-') && had.exists(other, other.startsWith('nvidia.com/') && had[other] == asks[name]))) &&
had.filter(name, name.startsWith('nvidia.com/')).size() == asks.filter(name, name.startsWith('nvidia.com/')).size()))
{{- end }}))
{{- end -}}

{{/* CEL: node labels that name a product. */}}
{{- define "mfu.productLabels" -}}
['nvidia.com/gpu.product', 'cloud.google.com/gke-accelerator', 'karpenter.k8s.aws/instance-gpu-name', 'node.kubernetes.io/instance-type']
{{- end -}}

{{- define "mfu.answersKueue" -}}
{{- if has "KueueCheck" .Values.config.actions -}}true{{- end -}}
{{- end -}}

{{- define "mfu.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "mfu.leaseNamespace" -}}
{{- default .Release.Namespace .Values.config.leaderElection.namespace -}}
{{- end -}}

{{/* As the operator names it: with the shard's name at its end. */}}
{{- define "mfu.leaseName" -}}
{{- .Values.config.leaderElection.name -}}{{- with .Values.config.shard.name -}}-{{ . }}{{- end -}}
{{- end -}}
