"""What users of OpenAI's Python client do, against a coordinator with a worker: API, MODEL and API_KEY say which."""

import os
import sys
import time

from openai import BadRequestError, ConflictError, NotFoundError, OpenAI

client = OpenAI(base_url=os.environ["API"], api_key=os.environ.get("API_KEY", "none"), max_retries=0)
model = os.environ["MODEL"]
with open(sys.argv[1], "rb") as file:
    dataset = b"".join(file.readlines()[:16])
small = {"training": {"max_steps": 2, "gradient_accumulation_steps": 2}, "dataset": {"max_seq_length": 128}}


def check(what, found, right):
    print(f"{'ok  ' if found == right else 'FAIL'} {what}: {found!r}" + ("" if found == right else f", not {right!r}"))
    if found != right:
        sys.exit(1)


def refused(what, error, call, param):
    try:
        call()
    except error as caught:
        return check(f"{what} is refused by name", caught.param, param)
    sys.exit(f"FAIL {what} is not refused")


def upload(**fields):
    return client.files.create(file=("train.jsonl", dataset), purpose="fine-tune", **fields)


def finished(job):
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.5)
        job = client.fine_tuning.jobs.retrieve(job.id)
    check(f"{job.id} ({job.error})", job.status, "succeeded")
    return job


def create(**fields):
    return client.fine_tuning.jobs.create(training_file=training, **{"model": model, "extra_body": small, **fields})


# Files.
file = upload(expires_after={"anchor": "created_at", "seconds": 86400})
check("expires_at", file.expires_at - file.created_at, 86400)
check("status", (file.status, file.status_details), ("processed", None))
refused("a short life", BadRequestError, lambda: upload(expires_after={"anchor": "created_at", "seconds": 60}),
        "expires_after[seconds]")
ours = [upload().id for _ in range(7)]
met = []
for listed in client.files.list(limit=2, order="desc"):
    if listed.id in ours:
        client.files.delete(listed.id)
        met.append(listed.id)
check("files deleted while they are listed", met, ours[::-1])
refused("an unknown place", NotFoundError, lambda: client.files.list(after="file-none"), "after")

# Uploads in parts.
part = len(dataset) // 2
begun = client.uploads.create(bytes=len(dataset), filename="parts.jsonl", mime_type="text/jsonl", purpose="fine-tune")
parts = [client.uploads.parts.create(begun.id, data=data).id for data in (dataset[:part], dataset[part:])]
done = client.uploads.complete(begun.id, part_ids=parts)
check("an upload in parts", (done.status, done.file.bytes, client.files.content(done.file.id).read() == dataset),
      ("completed", len(dataset), True))
training = done.file.id

# Jobs.
refused("a fraction of an epoch", BadRequestError, lambda: create(hyperparameters={"n_epochs": 0.5}),
        "hyperparameters.n_epochs")
job = create(suffix="my model: v1", metadata={"owner": "anna", "team": "a"}, validation_file=file.id)
other = create(metadata={"owner": "ben"})
plain = create()
check("types", [type(value) for value in (job.hyperparameters.n_epochs, job.seed, job.created_at, job.method.type)],
      [int, int, int, str])
check("owners", [found.id for found in client.fine_tuning.jobs.list(metadata={"owner": "anna"})][:1], [job.id])
check("nobody's", [found.id for found in client.fine_tuning.jobs.list(metadata={"owner": "carl"})], [])
without = client.fine_tuning.jobs.list(limit=1, extra_query={"metadata": "null"})
check("metadata=null", without.data[0].id, plain.id)
refused("a validation file in use", ConflictError, lambda: client.files.delete(file.id), "file")
for unneeded in (other, plain):
    check("cancelled", client.fine_tuning.jobs.cancel(unneeded.id).status, "cancelled")

# Results.
job = finished(job)
check("the model's name", job.fine_tuned_model, f"ft:{model}:my-model-v1:{job.id}")
csv = client.files.content(job.result_files[0]).read().decode().splitlines()
check("the metrics", (csv[0], len(csv)), ("step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy", 3))
names = [client.files.retrieve(id).filename for id in job.result_files[:3]]
check("the results", names, ["step_metrics.csv", "adapter_config.json", "adapter_model.safetensors"])
checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
check("a checkpoint's metrics", [checkpoints[0].metrics.step, type(checkpoints[0].metrics.train_loss)], [2, float])
events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
check("metrics events", sum(event.type == "metrics" for event in events), 2)
checkpoint = checkpoints[0].fine_tuned_model_checkpoint
check("a checkpoint as a model", client.models.retrieve(checkpoint).id, checkpoint)
check("listed", job.fine_tuned_model in [found.id for found in client.models.list()], True)

# Training on.
more = finished(create(model=job.fine_tuned_model))
check("the base of the second job", more.model, job.fine_tuned_model)
refused("another rank", BadRequestError,
        lambda: create(model=job.fine_tuned_model, extra_body={**small, "lora": {"r": 2}}), "lora.r")
for name in (checkpoint, job.fine_tuned_model):
    check("deleted", client.models.delete(name).deleted, True)
refused("a model that is gone", NotFoundError, lambda: create(model=job.fine_tuned_model), "model")
print("all is well")
