#!/bin/sh
# Runs openai_python.py with the real Python client in a virtual environment of its own. A coordinator and a worker have to be there:
#
#     API=http://127.0.0.1:8080/v1 MODEL=base sh tests/clients/openai_python.sh dataset.jsonl
set -eu
here=$(dirname "$0")
folder=${VENV:-$(mktemp -d)/openai}
[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check "openai==3.57.0"
exec "$folder/bin/python" "$here/openai_python.py" "$@"
