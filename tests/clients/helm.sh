#!/bin/bash
# Lints the chart with the real helm and renders it, with its defaults, into deploy/kubernetes/lorafleet.yaml.
# Needs Go, or HELM=path of a helm.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "${HELM:-}" ]; then
  GOBIN=$work go install helm.sh/helm/v3/cmd/helm@v3
  HELM=$work/helm
fi
chart=deploy/kubernetes/chart
"$HELM" lint --strict --quiet "$chart" --set apiKey=a-key-of-the-lint --set joinToken=0123456789abcdef
render() { "$HELM" template lorafleet "$chart" --kube-version 1.31.0 "$@"; }
# Every branch of the templates renders.
render --set existingSecret=x --set nats.url=tls://nats:4222 --set nats.publicUrl=tls://n:4222 --set nats.secret=creds \
  --set 'networkPolicy.apiFrom[0].team=ml' --set coordinator.env.A=b --set coordinator.storageClassName=fast \
  --set 'workers[0].name=cpu,workers[0].resource=,workers[0].cpu=2,workers[0].memory=1Gi,workers[0].image=i,workers[0].replicas=2,workers[0].cacheClaim=c,workers[0].runtimeClassName=r,workers[0].nodeSelector.a=b' \
  >"$work/branches.yaml"
! render >"$work/refused" 2>&1 || { echo "a chart without keys is rendered"; exit 1; }
grep -q 'apiKey (or existingSecret) is needed' "$work/refused"
digest=$(cat $(find "$chart" -type f | sort) | sha256sum | cut -d' ' -f1)
{
  echo "# Made by tests/clients/helm.sh from chart/ with its defaults; sha256 of its files: $digest"
  echo "# kubectl create secret generic lorafleet --from-literal=api-key=… --from-literal=join-token=…"
  echo "# kubectl apply -f deploy/kubernetes/lorafleet.yaml"
  render --set existingSecret=lorafleet
} >deploy/kubernetes/lorafleet.yaml
"$HELM" version --short
wc -l deploy/kubernetes/lorafleet.yaml
cp "$work/branches.yaml" deploy/kubernetes/testing/branches.yaml
