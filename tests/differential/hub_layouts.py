"""Which files `datasets` takes for which split, for folders laid out as repositories on the hub are.

python tests/differential/hub_layouts.py > coordinator/datasets/hub_layouts.json
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp()
import datasets  # noqa: E402

CONTENT = {
    ".jsonl": '{"text": "a"}\n',
    ".json": '[{"text": "a"}]',
    ".csv": "text\na\n",
    ".tsv": "text\tb\na\tb\n",
    ".txt": "a\n",
    ".parquet": "PAR1",
}

CASES = [
    {"files": ["data.jsonl"]},
    {"files": ["train.jsonl", "test.jsonl", "README.md", "LICENSE"]},
    {"files": ["data/train.csv", "data/validation.csv", "data/dev-2.csv", "notes.csv"]},
    {"files": ["train_0.csv", "train_1.csv", "my-test.csv", "eval.v2.csv", "testing.csv"]},
    {"files": ["mytrain.jsonl", "retrain.jsonl", "x.jsonl"]},
    {"files": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
               "data/random-00000-of-00001.parquet", "data/test-00000-of-00001-abcdef.parquet", "extra.jsonl"]},
    {"files": ["train/a.jsonl", "train/deep/b.jsonl", "valid/c.jsonl", "other/d.jsonl"]},
    {"files": ["a/train_data/x.txt", "b/the-test/y.txt"]},
    {"files": ["a.jsonl", "b.json", "c.csv", ".hidden.jsonl", ".git/x.jsonl", "__pycache__/y.jsonl"]},
    {"files": ["dataset_infos.json", "data.csv", "config.json"]},
    {"files": ["en/train.jsonl", "en/test.jsonl", "ko/train.jsonl"],
     "card": "configs:\n- config_name: en\n  data_files:\n  - split: train\n    path: en/train.jsonl\n"
             "  - split: test\n    path: en/test*\n- config_name: ko\n  default: true\n"
             "  data_files: ko/*.jsonl\n", "names": ["en", "ko", None]},
    {"files": ["part0/a.csv", "part0/sub/c.csv", "part1/b.csv", "z.csv"],
     "card": "configs:\n- config_name: all\n  data_files:\n  - part0/*\n  - part1/*\n"
             "- config_name: deep\n  data_files: 'part0/**'\n- config_name: star\n  data_files: '**/*.csv'\n"
             "- config_name: list\n  data_files:\n  - split: train\n    path:\n    - z.csv\n    - part1/b.csv\n",
     "names": ["all", "deep", "star", "list"]},
    {"files": ["v1/train.jsonl", "v1/test.jsonl", "v2/only.jsonl"],
     "card": "configs:\n- config_name: v1\n  data_dir: v1\n- config_name: v2\n  data_dir: v2\n  data_files: only.jsonl\n",
     "names": ["v1", "v2"]},
    {"files": ["data/a_1.txt", "data/a_2.txt", "data/a_10.txt", "data/b.txt"],
     "card": "configs:\n- config_name: default\n  data_files: 'data/a_[0-9]*.txt'\n", "names": [None]},
    {"files": ["data/ab.txt", "data/a/b.txt"],
     "card": "configs:\n- config_name: default\n  data_files: 'data/?b.txt'\n", "names": [None]},
    {"files": [".hidden/a.jsonl", "b.jsonl"],
     "card": "configs:\n- config_name: default\n  data_files: '.hidden/*.jsonl'\n", "names": [None]},
    {"files": ["train.jsonl", "train.csv", "train-2.jsonl"]},
]


def layout(case: dict, name: str | None) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        for path in case["files"]:
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("{}" if target.name.startswith("dataset_info") else CONTENT.get(target.suffix, "x"))
        if "card" in case:
            (Path(folder) / "README.md").write_text(f"---\n{case['card']}---\n# A dataset\n")
        builder = datasets.load_dataset_builder(folder, name=name)
        base = os.path.realpath(folder) + "/"
        splits = {
            str(split): [os.path.realpath(file)[len(base):] for file in files]
            for split, files in builder.config.data_files.items()
        }
        return {"name": name, "splits": splits}


cases = []
for case in CASES:
    results = [layout(case, name) for name in case.get("names", [None])]
    cases.append({"files": case["files"], "card": case.get("card"), "results": results})
json.dump({"datasets": datasets.__version__, "cases": cases}, sys.stdout, indent=1)
print()
