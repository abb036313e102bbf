#!/bin/bash
# A real Prometheus (Debian's) with deploy/observe: rules checked and tested by promtool, one coordinator scraped.
# Writes docs/benchmarks/prometheus.txt. Needs apt-get and dpkg-deb, but not root: the package is only unpacked.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
cleanup() {
  for pid in ${coordinator:-} ${prometheus:-}; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"
apt-get download -qq prometheus >/dev/null 2>&1
dpkg-deb -x prometheus_*.deb unpacked
bin=$work/unpacked/usr/bin
cp "$root"/deploy/observe/*.yml .
printf 'a-key-for-prometheus' >lorafleet_api_key
{
  "$bin/promtool" --version | head -1
  "$bin/promtool" check config prometheus.yml
  "$bin/promtool" test rules alerts_test.yml
} >report 2>&1
(cd "$root" && LORAFLEET_API_KEY=a-key-for-prometheus exec deno task -q coordinator \
  --data-folder "$work/data" >"$work/coordinator.log" 2>&1) &
coordinator=$!
until grep -qs -- --join coordinator.log; do sleep 0.5; done
"$bin/promtool" check metrics >>report 2>&1 < <(
  curl -fsS -H 'authorization: Bearer a-key-for-prometheus' http://127.0.0.1:8787/metrics
) && echo "promtool check metrics: no complaint" >>report
sed -i 's/scrape_interval: 15s/scrape_interval: 1s/' prometheus.yml
"$bin/prometheus" --config.file=prometheus.yml --storage.tsdb.path="$work/tsdb" \
  --web.listen-address=127.0.0.1:19090 >prometheus.log 2>&1 &
prometheus=$!
sleep 6
ask() {
  curl -fsS --get http://127.0.0.1:19090/api/v1/query --data-urlencode "query=$1" |
    python3 -c 'import json, sys
for r in json.load(sys.stdin)["data"]["result"]: print(r["metric"], r["value"][1])'
}
for query in 'up' 'lorafleet_build_info' 'lorafleet_ready' 'lorafleet_http_requests_total' 'ALERTS'; do
  echo "== $query" >>report
  ask "$query" >>report
done
sed "s#$work/##g" report | tee "$root/docs/benchmarks/prometheus.txt"
