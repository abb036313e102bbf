"""Runs Python's huggingface_hub against the local hub: what a real client accepts, our own tests may rely on.

python tests/hub/check_with_python.py > tests/hub/check_with_python.txt
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

root = Path(__file__).resolve().parents[2]
work = tempfile.TemporaryDirectory()
folder = Path(work.name)
failures = 0


def write(path: str, data: bytes) -> None:
    target = folder / "hub" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def pattern(size: int) -> bytes:
    return b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(size // 32 + 1))[:size]


WEIGHTS = pattern(3_000_000)
write("models/org/tiny/config.json", b"{}")
write("models/org/tiny/model.safetensors", WEIGHTS)
write("models/org/tiny/onnx/deep/model.bin", b"deep")
write("models/org/gated/config.json", b"{}")
write("datasets/org/rows/data/train.jsonl", b'{"text": "a"}\n')
write("datasets/org/rows/README.md", b"---\nconfigs:\n- config_name: default\n  data_files: data/train.jsonl\n---\n")
write("datasets/org/rows/converted/default/train/0000.parquet", b"PAR1 rows PAR1")

hub = subprocess.Popen(
    ["deno", "run", "-A", "-q", "--no-check", str(root / "tests/hub/main.ts"), str(folder / "hub")],
    stdout=subprocess.PIPE,
    text=True,
)
endpoint = hub.stdout.readline().strip()
os.environ.update(
    HF_ENDPOINT=endpoint,
    HF_HOME=str(folder / "home"),
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_UPDATE_CHECK="1",
)
os.environ.pop("HF_TOKEN", None)

import filelock  # noqa: E402
import huggingface_hub  # noqa: E402
from huggingface_hub import HfApi, errors, hf_hub_download, snapshot_download  # noqa: E402

WRITER, STRANGER = "hf_writerwriterwriter", "hf_strangerstranger"


def check(what: str, is_so: object) -> None:
    global failures
    failures += not is_so
    print(f"{'ok' if is_so else 'WRONG'}: {what}")


def refused(what: str, kind: type, work) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001
        first = str(error).strip().replace(endpoint, "<hub>").split("\n")[0]
        check(f"{what}: {type(error).__name__}: {first.split(' (Request')[0]}", type(error) is kind)
    else:
        check(f"{what}: nothing was raised", False)


try:
    print(f"huggingface_hub {huggingface_hub.__version__}")
    api = HfApi()
    there = Path(snapshot_download("org/tiny"))
    check("snapshot_download: every file, byte for byte", (there / "model.safetensors").read_bytes() == WEIGHTS)
    check("snapshot_download: folders", (there / "onnx/deep/model.bin").read_bytes() == b"deep")
    blob = (there / "model.safetensors").resolve().name
    check("an LFS file's blob is its SHA-256", blob == hashlib.sha256(WEIGHTS).hexdigest())
    blob = (there / "config.json").resolve().name
    check("another file's blob is its git id", blob == hashlib.sha1(b"blob 2\0{}").hexdigest())
    info = api.model_info("org/tiny", files_metadata=False)
    check("model_info has the commit", info.sha == there.name)
    check("list_repo_tree pages", len(list(api.list_repo_tree("org/tiny", recursive=True))) == 5)
    check("get_paths_info has sizes", api.get_paths_info("org/tiny", "model.safetensors")[0].lfs.size == len(WEIGHTS))

    refused("unknown repository", errors.RepositoryNotFoundError, lambda: api.model_info("org/none"))
    refused("unknown, with a token", errors.RepositoryNotFoundError, lambda: api.model_info("org/none", token=WRITER))
    refused("unknown revision", errors.RevisionNotFoundError, lambda: api.model_info("org/tiny", revision="no"))
    refused("unknown file", errors.RemoteEntryNotFoundError, lambda: hf_hub_download("org/tiny", "no.json"))
    refused("gated, no token", errors.GatedRepoError, lambda: hf_hub_download("org/gated", "config.json"))
    refused(
        "gated, a stranger's token",
        errors.GatedRepoError,
        lambda: hf_hub_download("org/gated", "config.json", token=STRANGER),
    )
    check("gated, its owner's token", Path(hf_hub_download("org/gated", "config.json", token=WRITER)).exists())

    data = Path(hf_hub_download("org/rows", "data/train.jsonl", repo_type="dataset"))
    check("a dataset's file", data.read_bytes() == b'{"text": "a"}\n')
    converted = hf_hub_download(
        "org/rows", "default/train/0000.parquet", repo_type="dataset", revision="refs/convert/parquet"
    )
    check("the Parquet conversion's revision", Path(converted).read_bytes() == b"PAR1 rows PAR1")
    answer = huggingface_hub.utils.get_session().get(f"{endpoint}/api/datasets/org/rows/parquet").json()
    url = answer["default"]["train"][0]
    body = huggingface_hub.utils.get_session().get(url, follow_redirects=True).content
    check("the Parquet conversion's list", body == b"PAR1 rows PAR1")

    def ours(kind: str, repo: str, cache: Path, *more: str) -> str:
        command = ["deno", "run", "-A", "-q", "--no-check", str(root / "tests/hub/download_child.ts")]
        return subprocess.run([*command, endpoint, str(cache), kind, repo, *more],
                              capture_output=True, text=True, check=True).stdout.strip()

    shared = folder / "shared"
    mine = Path(ours("model", "org/tiny", shared))
    theirs = Path(snapshot_download("org/tiny", cache_dir=shared, local_files_only=True))
    check("a cache that lorafleet filled, found offline", theirs == mine)
    check("and whole", (theirs / "model.safetensors").read_bytes() == WEIGHTS)
    check("its list of files, too", len(huggingface_hub.get_cached_repo_tree("org/tiny", cache_dir=shared)) == 3)
    rows = Path(snapshot_download("org/rows", repo_type="dataset", cache_dir=shared))
    check("a cache that Python filled, found by lorafleet offline", ours("dataset", "org/rows", shared, "offline") == str(rows))
    report = huggingface_hub.scan_cache_dir(shared)
    check("scan_cache_dir knows both and warns of nothing", len(report.repos) == 2 and not report.warnings)
    empty = folder / "empty"
    lock = empty / ".locks/models--org--tiny" / f"{hashlib.sha256(WEIGHTS).hexdigest()}.lock"
    lock.parent.mkdir(parents=True)
    command = ["deno", "run", "-A", "-q", "--no-check", str(root / "tests/hub/download_child.ts")]
    with filelock.FileLock(lock):
        waiting = subprocess.Popen([*command, endpoint, str(empty), "model", "org/tiny"], stdout=subprocess.DEVNULL)
        time.sleep(2)
        blobs = [path.name for path in (empty / "models--org--tiny/blobs").glob("*")]
        is_waiting = waiting.poll() is None and not any(name.startswith(lock.stem) for name in blobs)
    check("lorafleet waits for a blob that Python has locked", is_waiting and waiting.wait(10) == 0)

    check("whoami", api.whoami(token=WRITER)["name"] == "tester")
    refused("whoami with a wrong token", errors.HfHubHTTPError, lambda: api.whoami(token="hf_wrongwrongwrong"))
    refused("create_repo elsewhere", errors.HfHubHTTPError, lambda: api.create_repo("else/x", token=WRITER))
    api.create_repo("tester/mine", private=True, token=WRITER)
    refused("create_repo twice", errors.HfHubHTTPError, lambda: api.create_repo("tester/mine", token=WRITER))
    api.create_repo("tester/mine", exist_ok=True, token=WRITER)
    check("create_repo, exist_ok, and private", api.model_info("tester/mine", token=WRITER).private)
    refused("a private repository", errors.RepositoryNotFoundError, lambda: api.model_info("tester/mine"))

    upload = folder / "upload"
    (upload / "sub").mkdir(parents=True)
    (upload / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    (upload / "adapter_model.safetensors").write_bytes(pattern(100_000))
    (upload / "large.safetensors").write_bytes(pattern(12_000_000))
    (upload / "sub/tokenizer.json").write_text("{}")
    api.upload_folder(repo_id="tester/mine", folder_path=upload, token=WRITER)
    back = Path(snapshot_download("tester/mine", token=WRITER))
    same = all((back / path).read_bytes() == (upload / path).read_bytes()
               for path in ["README.md", "adapter_model.safetensors", "large.safetensors", "sub/tokenizer.json"])
    check("upload_folder, whole and in parts, and back", same)
    api.create_branch("tester/mine", branch="v1", token=WRITER)
    check("create_branch", [b.name for b in api.list_repo_refs("tester/mine", token=WRITER).branches] == ["main", "v1"])
    api.delete_file("README.md", repo_id="tester/mine", token=WRITER, revision="v1")
    check("delete_file", not api.file_exists("tester/mine", "README.md", revision="v1", token=WRITER))
    check("and only there", api.file_exists("tester/mine", "README.md", token=WRITER))
    refused(
        "a commit on an old parent",
        errors.HfHubHTTPError,
        lambda: api.upload_file(
            path_or_fileobj=b"x", path_in_repo="x", repo_id="tester/mine", token=WRITER, parent_commit="0" * 40
        ),
    )
finally:
    hub.kill()
    work.cleanup()
print(f"{failures} wrong")
sys.exit(failures > 0)
