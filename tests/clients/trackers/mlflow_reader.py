"""Starts MLflow's own server, lets write_mlflow.ts send the example run to it, and prints as JSON what MLflow's client reads."""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import mlflow
from mlflow.tracking import MlflowClient

here = pathlib.Path(__file__).parent
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
url = f"http://127.0.0.1:{port}"

with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{folder}/runs.sqlite", "--artifacts-destination", folder]
    server = subprocess.Popen(command + store, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        writer = ["deno", "run", "-A", "-q", str(here / "write_mlflow.ts"), url]
        place = subprocess.run(writer, check=True, capture_output=True, text=True).stdout.strip()
        client = MlflowClient(url)
        (run,) = client.search_runs([client.get_experiment_by_name("lorafleet example").experiment_id])
        metrics = {
            key: [[m.step, m.timestamp, str(m.value)] for m in client.get_metric_history(run.info.run_id, key)]
            for key in sorted(run.data.metrics)
        }
        result = {
            "mlflow": mlflow.__version__,
            "place_is_the_run": place == f"{url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}",
            "name": run.info.run_name,
            "status": run.info.status,
            "start_time": run.info.start_time,
            "end_time": run.info.end_time,
            "params": dict(sorted(run.data.params.items())),
            "tags": dict(sorted(run.data.tags.items())),
            "metrics": metrics,
        }
    finally:
        server.terminate()
        server.wait()
json.dump(result, sys.stdout, indent=1, ensure_ascii=False)
print()
