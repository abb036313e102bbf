"""Writes schemas.json: Kubernetes' own JSON schemas of the kinds that we use, strict, without descriptions.

    pip install kubernetes-validate==1.37.0 && python deploy/kubernetes/testing/make_schemas.py
"""

import json
from pathlib import Path

import kubernetes_validate

VERSION = "v1.37.0-local-strict"
KINDS = ["service-v1", "secret-v1", "statefulset-apps-v1", "deployment-apps-v1", "poddisruptionbudget-policy-v1", "networkpolicy-networking-v1"]
DROPPED = {"description", "$schema", "$id", "format"}


def without_text(value):
    if isinstance(value, dict):
        kept = {k: without_text(v) for k, v in value.items() if not (k in DROPPED and isinstance(v, str))}
        return {k: v for k, v in kept.items() if not k.startswith("x-kubernetes")}
    return [without_text(item) for item in value] if isinstance(value, list) else value


def references(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner.split("/")[-1]
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / VERSION
definitions = json.loads((folder / "_definitions.json").read_text())["$defs"]
kinds, needed = {}, set()
for name in KINDS:
    schema = without_text(json.loads((folder / f"{name}.json").read_text()))
    kinds[name] = schema
    open_names = list(references(schema))
    while open_names:
        found = open_names.pop()
        if found not in needed:
            needed.add(found)
            open_names += references(definitions[found])
text = json.dumps({
    "$comment": f"Kubernetes {VERSION}, from kubernetes-validate on PyPI; Apache-2.0. Made by make_schemas.py",
    "kinds": kinds,
    "$defs": {name: without_text(definitions[name]) for name in sorted(needed)},
}, separators=(",", ":")).replace("/api/_definitions.json#/$defs/", "#/$defs/")
(Path(__file__).parent / "schemas.json").write_text(text + "\n")
print(len(text), "bytes,", len(needed), "definitions")
