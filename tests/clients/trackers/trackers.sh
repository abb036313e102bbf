#!/bin/sh
# Sends the example run to the trackers and lets their own software read it; what that software reports is committed, and
# trackers_test.ts compares it with what was sent. Needs a Python with tensorboard, mlflow and wandb:
#
#     PYTHON=python3 sh tests/clients/trackers/trackers.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
run=$(deno run -A -q "$here/write_files.ts" "$folder")
"$python" "$here/tensorboard_reader.py" "$run" > "$here/tensorboard.json"
"$python" "$here/mlflow_reader.py" > "$here/mlflow.json"
# About two minutes, most of them a wait for heartbeats.
HOME=$folder deno run -A -q "$here/wandb_recorder.ts" "$folder/wandb.json" -- "$python" "$here/wandb_client.py"
deno run -A -q "$here/wandb_fields.ts" "$folder/wandb.json" > "$here/wandb.json"
