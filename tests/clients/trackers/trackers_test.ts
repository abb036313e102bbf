/** What the trackers' own software read (trackers.sh) against what was sent. */
import { assert, assertEquals } from "@std/assert";
import { readTrackerSettings } from "../../../coordinator/config/tracker_settings.ts";
import { createTrackers } from "../../../coordinator/trackers/trackers.ts";
import { metricsJsonl } from "../../../coordinator/trackers/metrics_jsonl.ts";
import { sha256Of } from "../../../coordinator/storage/streamed_file.ts";
import { tensorboard } from "../../../coordinator/trackers/tensorboard/tensorboard.ts";
import { rewriteNames } from "../../../coordinator/trackers/run/rewrite_names.ts";
import { BATCHES, deliverExample, FACTS } from "./example_run.ts";
import { differences, fieldsOf } from "./wandb_fields.ts";
import { type RecordedRequest, startRecorder } from "./wandb_recorder.ts";
import official from "./wandb.json" with { type: "json" };
import mlflow from "./mlflow.json" with { type: "json" };
import read from "./tensorboard.json" with { type: "json" };

/** [step, seconds, value] of each metric. */
function sent(
  rename: (values: Readonly<Record<string, number>>) => Readonly<Record<string, number>>,
): Record<string, [number, number, number][]> {
  const curves: Record<string, [number, number, number][]> = {};
  for (const { points, end } of BATCHES) {
    const last = end === null ? [] : [{ step: end.step, at: end.at, values: end.summary }];
    for (const { step, at, values } of [...points, ...last]) {
      for (const [tag, value] of Object.entries(rename(values))) {
        (curves[tag] ??= []).push([step, at / 1000, value]);
      }
    }
  }
  return curves;
}

/** As Python prints a float. */
function fromPython(text: string): number {
  return text.endsWith("inf")
    ? Number(text.replace("inf", "Infinity"))
    : Number(text === "nan" ? "NaN" : text);
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("TensorBoard's own reader finds every point, NaN and the infinities among them, once", () => {
  const curves = Object.fromEntries(
    Object.entries(read.scalars).map(([tag, points]) => [
      tag,
      points.map(([step, time, value]) => [step, time, fromPython(String(value))]),
    ]),
  );
  const expected = Object.fromEntries(
    Object.entries(sent(rewriteNames)).map(([tag, points]) => [
      tag,
      points.map(([step, time, value]) => [step, time, Math.fround(value)]),
    ]),
  );
  assertEquals(curves, expected);
  assertEquals([read.file_version, read.first_event], [2, FACTS.startedAt / 1000]);
});

Deno.test("TensorBoard shows a run's hyperparameters, its start, its end and its state", () => {
  assertEquals(read.hparams, {
    model: "org/tiny",
    seed: 42,
    "lora.target_modules": '["q_proj","v_proj"]',
    "training.learning_rate": 2e-4,
    "dataset.packing": true,
    "fleet.local_steps": "null",
  });
  assertEquals([read.group_name, read.start_time], [FACTS.name, FACTS.startedAt / 1000]);
  // 1 is STATUS_SUCCESS.
  assertEquals([read.status, read.end_time], [1, BATCHES.at(-1)!.end!.at / 1000]);
});

Deno.test("MLflow's own server has every point once, although each request was sent twice", () => {
  // MLflow stores an infinity as the largest double.
  const stored = (value: number) =>
    Math.abs(value) === Infinity ? Math.sign(value) * Number.MAX_VALUE : value;
  const curves = Object.fromEntries(
    Object.entries(mlflow.metrics).map(([key, points]) => [
      key,
      points.map(([step, time, value]) => [step, Number(time) / 1000, fromPython(String(value))]),
    ]),
  );
  const expected = Object.fromEntries(
    Object.entries(sent((values) => values)).map(([key, points]) => [
      key,
      points.map(([step, time, value]) => [step, time, stored(value)]),
    ]),
  );
  assertEquals(curves, expected);
});

Deno.test("MLflow shows a run's name, hyperparameters, start, end, state and job", () => {
  const { end } = BATCHES.at(-1)!;
  assertEquals([mlflow.name, mlflow.status, mlflow.place_is_the_run], [FACTS.name, "FINISHED", true]);
  assertEquals([mlflow.start_time, mlflow.end_time], [FACTS.startedAt, end!.at]);
  assertEquals(mlflow.params["training.learning_rate"], "0.0002");
  assertEquals(Object.keys(mlflow.params), Object.keys(FACTS.config).toSorted());
  assertEquals(mlflow.tags["lorafleet.job_id"], FACTS.jobId);
});

Deno.test("the event file has the bytes that TensorBoard read", () =>
  inFolder(async (folder) => {
    const run = tensorboard(folder).open(FACTS);
    const place = run.placeOf((await deliverExample(run))!);
    assertEquals(place, `${folder}/logs/Größe-7-a-run-ftjob-example`);
    const [file] = await Array.fromAsync(Deno.readDir(place));
    assertEquals(sha256Of(await Deno.readFile(`${place}/${file!.name}`)), read.sha256);
  }));

Deno.test("metrics.jsonl has the start, every point and the end, one object a line", () =>
  inFolder(async (folder) => {
    const run = metricsJsonl(folder).open(FACTS);
    const path = run.placeOf((await deliverExample(run))!);
    const lines = (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals(lines.map(({ event, step }) => event ?? step), ["start", 1, 2, 2, 3, 4, "end"]);
    assertEquals(lines[0].config, FACTS.config);
    assertEquals(lines[4], {
      ...{ step: 3, time: "2023-11-14T22:13:24.000Z", epoch: 1.5, learning_rate: 5e-5 },
      ...{ loss: "NaN", grad_norm: "Infinity" },
    });
    assertEquals(lines[6], {
      ...{ event: "end", step: 4, time: "2023-11-14T22:13:26.000Z", status: "succeeded" },
      ...{ train_loss: 1.0625, train_runtime: 6 },
    });
  }));

/** What W&B's server is sent for the example run, with every batch sent twice. */
async function recordOurs(): Promise<{ requests: readonly RecordedRequest[]; place: string; url: string }> {
  await using recorder = startRecorder();
  const environment: Record<string, string> = {
    WANDB_BASE_URL: recorder.url,
    WANDB_API_KEY: "0123456789abcdef0123456789abcdef01234567",
    WANDB_RUN_GROUP: "g",
  };
  const { wandb } = createTrackers(readTrackerSettings((name) => environment[name] ?? null, "/tmp"));
  if ("missing" in wandb) throw new Error(wandb.missing);
  await wandb.settings.check(FACTS.tracking, new AbortController().signal);
  const run = wandb.settings.open(FACTS);
  const state = await deliverExample(run);
  await run.beat!(state!, new AbortController().signal);
  return { requests: recorder.requests, place: run.placeOf(state!), url: recorder.url };
}

Deno.test("our requests to W&B have every field of its own client's, with values of the same types", async () => {
  const { requests } = await recordOurs();
  assertEquals(differences(fieldsOf(requests), official.requests), []);
  const kinds = Object.keys(official.requests);
  assertEquals(kinds.length, 6, kinds.join());
});

Deno.test("the comparison with W&B's client finds a missing field and a value of a different type", () => {
  const theirs = official.requests;
  const kind = "POST /files/…/file_stream";
  const { complete: _complete, ...rest } = theirs[kind];
  const changed = { ...theirs, [kind]: { ...rest, exitcode: ["string"] } };
  assertEquals(differences(changed, theirs), [
    `${kind}: complete is missing`,
    `${kind}: exitcode is string, not number`,
  ]);
});

Deno.test("W&B's history has every point once, each at its own offset, with NaN and the infinities as its client writes them", async () => {
  const { requests, place, url } = await recordOurs();
  assertEquals(place, `${url}/me/tutorial/runs/ftjob-example`);
  const lines: string[] = [];
  for (const { path, body } of requests) {
    if (!path.endsWith("/file_stream")) continue;
    const { files } = body as { files?: Record<string, { offset: number; content: string[] }> };
    const history = files?.["wandb-history.jsonl"];
    history?.content.forEach((line, index) => lines[history.offset + index] = line);
  }
  const points = BATCHES.flatMap(({ points }) => points);
  const expected = points.map(({ step, at, values }, index) => {
    const named = Object.entries(rewriteNames(values)).map(([name, value]) =>
      `${JSON.stringify(name)}:${value}`
    );
    const runtime = (at - FACTS.startedAt) / 1000;
    return `{${named.join(",")},"train/global_step":${step},"_timestamp":${
      at / 1000
    },"_runtime":${runtime},"_step":${index}}`;
  });
  assertEquals(lines, expected);
  const last = requests.findLast(({ path, text }) => path.endsWith("/file_stream") && text !== "{}");
  const { complete, exitcode, files } = last!.body as {
    complete: boolean;
    exitcode: number;
    files: Record<string, { content: string[] }>;
  };
  assertEquals([complete, exitcode], [true, 0]);
  const [summary = ""] = files["wandb-summary.json"]!.content;
  for (
    const part of [
      '"train/loss":0.5',
      '"train_loss":1.0625',
      '"eval/loss":1.5',
      '"train/grad_norm":-Infinity',
    ]
  ) {
    assert(summary.includes(part), `${part} in ${summary}`);
  }
});
