#!/bin/sh
# Makes this machine (Linux or macOS) a worker or coordinator that starts by itself, from a checkout of lorafleet:
#
#     sh deploy/service/install.sh worker --join http://coordinator.example:8787/join/…
#
# It needs Deno and asks before it installs it; everything else is shown and asked by `deno task service`.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
deno=$(command -v deno || true)
[ -n "$deno" ] || [ ! -x "$HOME/.deno/bin/deno" ] || deno=$HOME/.deno/bin/deno
if [ -z "$deno" ]; then
  echo "Deno is not installed. Its own installer puts one file into $HOME/.deno:"
  echo "    curl -fsSL https://deno.land/install.sh | sh -s -- -y v2.9.6"
  printf 'Do that? [y/N] '
  read -r answer
  case $answer in
    y | Y | yes) curl -fsSL https://deno.land/install.sh | sh -s -- -y v2.9.6 ;;
    *)
      echo "nothing is done"
      exit 1
      ;;
  esac
  deno=$HOME/.deno/bin/deno
fi
cd "$root"
exec "$deno" run -A deploy/service/main.ts install "$@"
