"""Makes tests/golden/data/formats/: small files of every format, and the rows that `datasets` reads from them.

    pip install datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6 trl==1.16.0
    python make_format_goldens.py

CSV is read with every column as a string and with an empty cell as the only null, which is how lorafleet reads it;
cases named default_* are read with the loader's defaults, which agree wherever no cell looks like a number or "NA".
"""

import copy
import datetime
import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Value, load_dataset
from trl import maybe_convert_to_chatml

OUT = Path(__file__).parents[1] / "data" / "formats"
CACHE = tempfile.mkdtemp()

CSV = {
    "quotes.csv": 'prompt,completion\r\n"a, b","say ""hi"""\r\n"two\nlines",x"y"z\r\n"q" ,\r\n,"" \r\n',
    "bom_blank.csv": "\ufefftext,label\n\na,1\n   \nb\n\n  c, 2 \n",
    "returns.csv": 'a,b\r1,2\r"x\ry",3\r',
    "header.csv": ",a,a,a.1\n0,1,2,3\n",
    "words.csv": "instruction,input,output\nName a colour,,Red\nSay none,x,None\nNA,null,nan\n00123,1.50,true\n",
    "한국어.csv": "질문,답\n안녕?,네\n\"서울, 부산\",예\n",
    "no_final_newline.csv": "a,b\n1,2",
    "tabs.tsv": 'text\tnote\na, b\t"x\ty"\nc\td\n',
}
DEFAULT_CSV = {
    "default_alpaca.csv": 'instruction,input,output\n"Add, please","1 and 2",three\nSing,,la la\n"Two\nlines",in,"say ""hi"""\n',
}
JSON = {
    "list.json": ('[{"text": "a", "n": 1, "f": 1.0},\n {"text": "b\\u00fc", "n": null, "f": 2.5},\n{"text": "}{][", "n": 3}]', None),
    "texts.json": ('["a", "b"]', None),
    "squad.json": ('{"version": "0.1", "data": [\n {"q": "a", "l": [1, 2]},\n {"q": "b", "l": []}\n], "notes": ["x"]}', "data"),
    "lines.json": ('{"messages": [{"role": "user", "content": "hi"}]}\n{"messages": [{"role": "assistant", "content": "yo"}]}\n', None),
}
TEXT = {
    "plain.txt": "one\ntwo\r\n\nfour\rfive",
    "paragraphs.txt": "a\nb\n\n\nc\n\nd\n",
}


def rows_of(kind, path, **options):
    return load_dataset(kind, data_files=str(path), split="train", cache_dir=CACHE, **options).to_list()


def write_text(name, content):
    folder = OUT / name.rsplit(".", 1)[1]
    folder.mkdir(exist_ok=True)
    with open(folder / name, "w", encoding="utf-8", newline="") as file:
        file.write(content)
    return folder / name


def parquet_files():
    folder = OUT / "parquet"
    folder.mkdir()
    messages = [
        [{"role": "user", "content": "2+2?", "tool_calls": None}, {"role": "assistant", "content": "4", "tool_calls": None}],
        [{"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": "{}"}]}],
        [],
    ]
    chat = pa.table({"messages": messages, "tools": [None, '[{"type": "function"}]', None]})
    for codec in ("none", "snappy", "gzip", "zstd", "brotli", "lz4"):
        pq.write_table(chat, folder / f"chat_{codec}.parquet", compression=codec, row_group_size=2)
    types = pa.table({
        "i64": pa.array([2**53 + 1, None, -5], pa.int64()),
        "i32": pa.array([1, 2, 3], pa.int32()),
        "u8": pa.array([255, None, 0], pa.uint8()),
        "f64": pa.array([1.0, 0.1, None], pa.float64()),
        "f32": pa.array([1.5, None, -2.0], pa.float32()),
        "flag": pa.array([True, None, False]),
        "word": pa.array(["a", "b", "a"]).dictionary_encode(),
        "large": pa.array(["ü", None, ""], pa.large_string()),
        "ints": pa.array([[1, 2], None, []], pa.list_(pa.int64())),
        "floats": pa.array([[1.0], [], [2.0, None]], pa.list_(pa.float64())),
        "nested": pa.array([[["a"], []], [], None], pa.list_(pa.list_(pa.string()))),
        "struct": pa.array([{"10": 1, "2": None}, None, {"10": None, "2": "x"}], pa.struct([("10", pa.int64()), ("2", pa.string())])),
        "nothing": pa.array([None, None, None], pa.string()),
    })
    pq.write_table(types, folder / "types.parquet", row_group_size=1)
    pq.write_table(types, folder / "types_v2.parquet", version="2.6", data_page_version="2.0", use_dictionary=False)
    pages = pa.table({
        "messages": [[{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": "yes"}] for i in range(20)],
        "count": pa.array([i * i % 7 for i in range(20)], pa.int32()),
        "large": pa.array([None if i % 5 == 0 else i * 10**12 for i in range(20)], pa.int64()),
        "text": [f"word {i // 2}" for i in range(20)],
    })
    encodings = {"count": "DELTA_BINARY_PACKED", "large": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY"}
    pq.write_table(pages, folder / "pages_v2.parquet", data_page_version="2.0", compression="brotli")
    pq.write_table(
        pages, folder / "delta_v2.parquet", data_page_version="2.0", use_dictionary=False, column_encoding={
            **encodings, "messages.list.element.role": "PLAIN", "messages.list.element.content": "PLAIN",
        },
    )
    moment = datetime.datetime(2024, 2, 29, 12, 30, 15, 250)
    times = pa.table({
        "us": pa.array([moment, None], pa.timestamp("us")),
        "ms": pa.array([datetime.datetime(1969, 12, 31, 23, 59, 59), moment.replace(microsecond=0)], pa.timestamp("ms")),
        "day": pa.array([datetime.date(2000, 1, 1), None], pa.date32()),
    })
    pq.write_table(times, folder / "times.parquet")
    pq.write_table(pa.table({"image": [b"\xff\x00"], "text": ["a"]}), folder / "bytes.parquet")
    pq.write_table(pa.table({"turns": [[{"speaker": "a", "words": ["b"]}]], "score": [1.5]}), folder / "no_form.parquet")


SHAREGPT = [
    [("human", "2+2?"), ("gpt", "4")],
    [("system", "Be brief."), ("human", "안녕"), ("gpt", "네"), ("human", "More?"), ("gpt", "No.")],
    [("user", "a"), ("assistant", "b")],
]


def sharegpt():
    """TRL renames the keys; the roles are those of Unsloth's standardize_sharegpt (its default aliases)."""
    roles = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
    cases = []
    for turns in SHAREGPT:
        row = {"conversations": [{"from": speaker, "value": text} for speaker, text in turns]}
        messages = maybe_convert_to_chatml(copy.deepcopy(row))["messages"]
        cases.append({"row": row, "messages": [{**message, "role": roles[message["role"]]} for message in messages]})
    return cases


def iso(value):
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else value


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    golden = {}
    for name, content in CSV.items():
        path = write_text(name, content)
        separator = "\t" if name.endswith(".tsv") else ","
        columns = pd.read_csv(path, sep=separator, nrows=0).columns
        features = Features({column: Value("string") for column in columns})
        golden[name] = rows_of("csv", path, sep=separator, features=features, keep_default_na=False, na_values=[""])
    for name, content in DEFAULT_CSV.items():
        golden[name] = rows_of("csv", write_text(name, content))
    for name, (content, field) in JSON.items():
        golden[name] = rows_of("json", write_text(name, content), **({} if field is None else {"field": field}))
    for name, content in TEXT.items():
        path = write_text(name, content)
        golden[name] = {by: rows_of("text", path, sample_by=by) for by in ("line", "paragraph", "document")}
    parquet_files()
    for path in sorted(OUT.glob("parquet/*")):
        if path.name == "bytes.parquet":
            continue
        golden[path.name] = [{key: iso(value) for key, value in row.items()} for row in rows_of("parquet", path)]
    shuffles = []
    for seed in (0, 42, 2**31 - 1):
        for rows in (1, 2, 10, 1000):
            order = Dataset.from_dict({"i": list(range(rows))}).shuffle(seed=seed)["i"]
            shuffles.append({"seed": seed, "rows": rows, "order": list(order)})
    (OUT / "rows.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")
    (OUT.parent / "shuffle.json").write_text(json.dumps(shuffles) + "\n")
    (OUT.parent / "sharegpt.json").write_text(json.dumps(sharegpt(), ensure_ascii=False, indent=1) + "\n")
    print(sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file()), "bytes")


main()
