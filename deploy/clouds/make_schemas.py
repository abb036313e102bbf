"""Writes the schemas with which SkyPilot, dstack and cloud-init check the files of this folder: schemas/*.json.

    pip install skypilot==0.14.1 dstack==0.22.5
    python deploy/clouds/make_schemas.py <schema-cloud-config-v1.json>

The last one is cloudinit/config/schemas/schema-cloud-config-v1.json of https://github.com/canonical/cloud-init, here as of
commit 04eacd06e (26.2).
"""

import importlib.metadata
import json
import pathlib
import sys

from dstack._internal.core.models.configurations import TaskConfiguration
from sky.utils import schemas

FOLDER = pathlib.Path(__file__).parent / "schemas"
# For people, and large.
PROSE = {"description", "title", "examples", "default"}


def without_prose(value, is_map=False):
    if isinstance(value, list):
        return [without_prose(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: without_prose(item, name in ("properties", "$defs", "patternProperties"))
        for name, item in value.items()
        if is_map or name not in PROSE
    }


def write(name, package, schema, version=None):
    version = version or importlib.metadata.version(package)
    made = {"from": f"{package} {version}", "schema": without_prose(schema)}
    (FOLDER / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n")


# SkyPilot checks a task and its resources one after the other.
task = schemas.get_task_schema()
task["properties"]["resources"] = schemas.get_resources_schema()
write("skypilot", "skypilot", task)
write("dstack", "dstack", TaskConfiguration.model_json_schema())

# The modules that are used here; the names of all others stay, so that what nobody knows is refused.
whole = json.loads(pathlib.Path(sys.argv[1]).read_text())
modules = ["cc_package_update_upgrade_install", "cc_runcmd", "cc_write_files"]
cut = {
    "allOf": [{"$ref": f"#/$defs/{module}"} for module in modules],
    "$defs": {name: whole["$defs"][name] for name in [*modules, "package_item_definition"]},
    "properties": {name: {} for name in whole["properties"]},
    "additionalProperties": False,
}
write("cloud-init", "cloud-init", cut, "26.2")
