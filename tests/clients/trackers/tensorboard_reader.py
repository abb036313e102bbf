"""Prints as JSON what TensorBoard's own reader finds in a run's folder: `python tensorboard_reader.py FOLDER`."""

import hashlib
import json
import pathlib
import sys

import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2

folder = pathlib.Path(sys.argv[1])
(path,) = folder.iterdir()
run = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
run.Reload()


def hparams(tag):
    metadata = run.SummaryMetadata(tag)
    return plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)


def value(proto):
    return getattr(proto, proto.WhichOneof("kind"))


start = hparams("_hparams_/session_start_info").session_start_info
end = hparams("_hparams_/session_end_info").session_end_info
result = {
    "tensorboard": tensorboard.__version__,
    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    "events": sum(1 for _ in EventFileLoader(str(path)).Load()),
    "file_version": run.file_version,
    "first_event": run.FirstEventTimestamp(),
    # Texts for what is not finite, since JSON has no such numbers.
    "scalars": {
        tag: [[point.step, point.wall_time, str(point.value)] for point in run.Scalars(tag)]
        for tag in sorted(run.Tags()["scalars"])
    },
    "text": run.Tensors("args/text_summary")[0].tensor_proto.string_val[0].decode(),
    "group_name": start.group_name,
    "start_time": start.start_time_secs,
    "hparams": {key: value(start.hparams[key]) for key in sorted(start.hparams)},
    "status": end.status,
    "end_time": end.end_time_secs,
}
json.dump(result, sys.stdout, indent=1, ensure_ascii=False)
print()
