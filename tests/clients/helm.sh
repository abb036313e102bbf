#!/bin/bash
# Lints the chart with the real helm and renders it, with its defaults, into deploy/kubernetes/lorafleet.yaml.
# Renders NATS' own chart with our values for it, too. Needs Go, or HELM=path of a helm; and the chart from GitHub, or
# NATS_CHART=path of helm/charts/nats of nats-io/k8s.
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

# Helm ignores values that a chart does not know: what we ask for must be in what comes out.
if [ -z "${NATS_CHART:-}" ]; then
  git clone -q --depth 1 https://github.com/nats-io/k8s "$work/k8s"
  NATS_CHART=$work/k8s/helm/charts/nats
fi
"$HELM" template nats "$NATS_CHART" -f deploy/kubernetes/nats-values.yaml >"$work/nats.yaml"
for part in '"max_payload": 8388608' 'image: nats:2.15.3-alpine' 'replicas: 3' 'storage: 20Gi' \
  'topologyKey: kubernetes.io/hostname' 'whenUnsatisfiable: DoNotSchedule'; do
  grep -qF "$part" "$work/nats.yaml" || { echo "NATS' chart does not give: $part"; exit 1; }
done
version=$(sed -n 's/^version: //p' "$NATS_CHART/Chart.yaml")
echo "nats-values.yaml: all of it comes out of NATS' chart $version"
