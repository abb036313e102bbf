/**
 * Whatever a user submits, the coordinator answers and the job that trains goes on: the process and the broker are real, the
 * worker has no GPU. The times are generous, since other tests may have the cores; what blocked took minutes.
 */
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { jobOf, startCoordinatorChild, submitJob, until, withFolder } from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";

const MEGABYTES = "a".repeat(3_000_000);
/** Seconds of work for the tokenizer, on any machine. */
const SECONDS_OF_WORK = 12_000_000;
/** An answer may take so long on a machine whose cores are all busy with other tests. */
const LONGEST_ANSWER_MS = 1000;

/** Submits a job on rows of its own and gives its id. */
async function submit(api: string, rows: readonly unknown[], dataset: object): Promise<string> {
  const form = new FormData();
  form.append("purpose", "fine-tune");
  form.append("file", new File([rows.map((row) => JSON.stringify(row) + "\n").join("")], "rows.jsonl"));
  const file = await (await fetch(`${api}/files`, { method: "POST", body: form })).json();
  const response = await fetch(`${api}/fine_tuning/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "base", training_file: file.id, dataset }),
  });
  const job = await response.json();
  assertEquals(response.status, 200, JSON.stringify(job));
  return job.id;
}

/** Asks /healthz again and again until `isOver`, and gives the milliseconds that each answer took. */
async function healthTimes(api: string, isOver: () => boolean): Promise<number[]> {
  const url = new URL("/healthz", api);
  const times: number[] = [];
  while (!isOver()) {
    const askedAt = performance.now();
    await (await fetch(url)).body?.cancel();
    times.push(performance.now() - askedAt);
    await systemClock.sleep(10);
  }
  return times;
}

Deno.test("rows of megabytes are tokenised while a job trains and everybody is answered; then a signal ends the process at once", () =>
  withFolder(async (folder) => {
    const dataFolder = `${folder}/data`;
    let poison: string;
    {
      await using coordinator = startCoordinatorChild(dataFolder);
      const joinUrl = await coordinator.joinUrl();
      const worker = startToyWorker({ joinUrl, name: "worker", cacheFolder: folder, gradientMs: 15 });
      await using children = new AsyncDisposableStack();
      children.defer(() => worker.stop());
      const api = coordinator.api();
      const running = await submitJob(api, {
        max_steps: 10_000,
        gradient_accumulation_steps: 1,
        save_strategy: "no",
      });
      await until("the first steps", async () => (await jobOf(api, running)).step > 3);

      const stepBefore = (await jobOf(api, running)).step;
      let isOver = false;
      const times = healthTimes(api, () => isOver);
      // Refused by its bytes; and one that has no longest row, whose tokens all have to be known.
      const wrapped = { max_seq_length: 128, packing_strategy: "wrapped" };
      const refused = await submit(api, [{ text: MEGABYTES }], { max_seq_length: 128 });
      const long = await submit(api, [{ text: "b".repeat(SECONDS_OF_WORK) }], wrapped);
      await until("the refusal", async () => (await jobOf(api, refused)).status === "failed");
      assertStringIncludes(JSON.stringify((await jobOf(api, refused)).error), "1 of 1 rows are longer");
      await until("the long row's tokens", async () => (await jobOf(api, long)).status === "queued");
      isOver = true;
      const slowest = Math.max(...await times);
      assertLess(slowest, LONGEST_ANSWER_MS);
      const steps = (await jobOf(api, running)).step - stepBefore;
      assert(steps > 5, `${steps} steps while the row was tokenised`);

      poison = await submit(api, [{ text: "c".repeat(SECONDS_OF_WORK) }], wrapped);
      assertEquals((await jobOf(api, poison)).status, "validating_files");
      const signalledAt = systemClock.now();
      coordinator.kill("SIGTERM");
      assertEquals((await coordinator.ended).code, 0, coordinator.stderr());
      assertLess(systemClock.now() - signalledAt, 10_000);
    }
    // The next process takes it up, answers, and lets it be cancelled.
    await using coordinator = startCoordinatorChild(dataFolder);
    await coordinator.joinUrl();
    const api = coordinator.api();
    assertEquals((await jobOf(api, poison)).status, "validating_files");
    const cancelled = await fetch(`${api}/fine_tuning/jobs/${poison}/cancel`, { method: "POST" });
    assertEquals([cancelled.status, (await cancelled.json()).status], [200, "cancelled"]);
  }));
