/**
 * Trackers with a real coordinator process, its permissions and its broker: MLflow is down at first, the coordinator is killed
 * meanwhile, and in the end every tracker has every step once, while the job has the bits of a job without trackers.
 */
import { assert, assertEquals } from "@std/assert";
import { type FakeMlflow, startFakeMlflow } from "../../coordinator/trackers/mlflow/mlflow_fixture.ts";
import {
  freePort,
  jobOf,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";

const STEPS = 16;
const TOKEN = "a-token-of-mlflow-0001";
const TRAINING = {
  max_steps: STEPS,
  gradient_accumulation_steps: 2,
  learning_rate: 1e-2,
  save_strategy: "no",
};

interface StepData {
  readonly step: number;
  readonly train_loss: number;
  readonly digest: string;
}

/** The newest metrics of each step. */
async function stepsOf(api: string, id: string): Promise<StepData[]> {
  const page = await (await fetch(`${api}/fine_tuning/jobs/${id}/events?limit=1000`)).json();
  const steps = new Map<number, StepData>();
  const events: { type: string; data: StepData }[] = page.data.reverse();
  for (const { type, data } of events) if (type === "metrics") steps.set(data.step, data);
  return [...steps.values()].toSorted((a, b) => a.step - b.step);
}

function lossesAt(mlflow: FakeMlflow): unknown[] {
  return Array.from({ length: STEPS }, (_, index) => mlflow.metrics.get(`run-0 loss ${index + 1}`));
}

const isOver = async (api: string, id: string) =>
  (await jobOf(api, id).catch(() => null))?.status === "succeeded";

Deno.test("a tracker that is down and a killed coordinator lose no point and double none, and change no bit", () =>
  withFolder(async (folder) => {
    await using mlflow = startFakeMlflow();
    mlflow.token = TOKEN;
    const env = {
      ...{ MLFLOW_TRACKING_URI: mlflow.url, MLFLOW_TRACKING_TOKEN: TOKEN, LORAFLEET_LOG_LEVEL: "debug" },
      TENSORBOARD_LOGGING_DIR: `${folder}/runs`,
    };
    const port = freePort();
    await using children = new AsyncDisposableStack();
    const start = () => children.use(startCoordinatorChild(`${folder}/data`, ["--port", String(port)], env));
    const first = start();
    const joinUrl = await first.joinUrl();
    const worker = startToyWorker({ name: "w", joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 60 });
    children.defer(() => worker.stop());
    const api = first.api();

    const tracked = await submitJob(api, {
      ...TRAINING,
      report_to: ["mlflow", "jsonl", "tensorboard"],
      run_name: "run",
    });
    await until("a step", async () => (await jobOf(api, tracked)).step >= 3);
    mlflow.isDown = true;
    await until(
      "a failure",
      async () => (await messagesOf(api, tracked)).some((text) => text.includes("takes no points")),
    );
    first.kill("SIGKILL");
    await first.ended;
    const second = start();
    await second.joinUrl();
    await until("the job's end", () => isOver(api, tracked));
    mlflow.isDown = false;
    await until("MLflow's end", () => mlflow.runs[0]?.status === "FINISHED");

    const untracked = await submitJob(api, TRAINING);
    await until("the other job's end", () => isOver(api, untracked));
    const [steps, others] = [await stepsOf(api, tracked), await stepsOf(api, untracked)];
    assertEquals(steps.length, STEPS);
    assertEquals(steps.map(({ digest }) => digest), others.map(({ digest }) => digest));

    const losses = steps.map(({ train_loss }) => train_loss);
    assertEquals([mlflow.runs.length, lossesAt(mlflow)], [1, losses]);
    const path = `${folder}/runs/run-${tracked}`;
    const isWhole = async () => (await Deno.readTextFile(`${path}/metrics.jsonl`)).includes('"event":"end"');
    await until("metrics.jsonl's end", isWhole);
    const lines = (await Deno.readTextFile(`${path}/metrics.jsonl`)).trimEnd().split("\n").map((line) =>
      JSON.parse(line)
    );
    assertEquals(lines.filter(({ event }) => event === undefined).map(({ loss }) => loss), losses);
    const notes = await messagesOf(api, tracked);
    // Once for each coordinator at most: the first may be killed between the event and the note that it was written.
    const failures = notes.filter((text) => text.includes("takes no points")).length;
    assert(failures >= 1 && failures <= 2, notes.join("\n"));
    assertEquals(notes.filter((text) => text.includes("takes points again")).length, 1);
    for (const text of [first, second].flatMap((child) => [child.stdout(), child.stderr()])) {
      assert(!text.includes(TOKEN), "the token is in no log");
    }
  }));
