/**
 * A coordinator that is killed in the middle of a push, a preparation or a download: its children end with it, nothing half-written
 * counts, and the next coordinator on the same folder goes on.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { type Hub, startHub, WRITER_TOKEN } from "../hub/hub.ts";
import { livingIn } from "./command_child.ts";
import {
  freePort,
  jobOf,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { toyFile, writeToyModel } from "./toy_model.ts";
import { startToyWorker } from "./toy_worker.ts";

const JSON_HEADERS = { "content-type": "application/json" };
const PUT = /^PUT \/cdn\//;
const ROWS = /^GET \/.*train\.jsonl/;
/** A prepared job is queued for a moment before it is the one that trains. */
const PREPARED = ["queued", "running"];

const post = async (url: string, body: unknown) => {
  const response = await fetch(url, { method: "POST", headers: JSON_HEADERS, body: JSON.stringify(body) });
  const answer = await response.json();
  assertEquals(response.status, 200, JSON.stringify(answer));
  return answer;
};
const get = async (url: string) => await (await fetch(url)).json();

const hubVariables = (hub: Hub, folder: string) => ({
  ...{ HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: join(folder, "hub"), HF_HOME: folder, HF_HUB_OFFLINE: "0" },
  HF_TOKEN: WRITER_TOKEN,
});

/** Starts coordinators on one data folder, whose processes are known by their temporary folder. */
function startsIn(folder: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const [port, temp] = [String(freePort()), join(folder, "temp")];
  return {
    async start() {
      const coordinator = startCoordinatorChild(join(folder, "data"), ["--port", port, ...args], {
        ...env,
        TMPDIR: temp,
      });
      await coordinator.joinUrl();
      return coordinator;
    },
    /** Kills it as a failing machine does and waits until none of its children is left. */
    async kill(coordinator: Awaited<ReturnType<typeof startCoordinatorChild>>) {
      coordinator.kill("SIGKILL");
      await coordinator.ended;
      const left = () => livingIn(temp).map(({ command }) => command);
      await until("the end of its children", () => left().length === 0, () => left().join("\n"));
    },
    /** Seconds of CPU that its child with this program has used; null without one. */
    cpuSecondsOf(script: string): number | null {
      const pid = livingIn(temp).find(({ command }) => command.includes(script))?.pid;
      try {
        return pid === undefined ? null : cpuSeconds(pid);
      } catch {
        // It has just ended.
        return null;
      }
    },
  };
}

/** Time in user mode, in ticks of 1/100 s, is the 14th field of its line. */
function cpuSeconds(pid: number): number {
  const afterName = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ").at(-1)!;
  return Number(afterName.split(" ")[11]) / 100;
}

const isNotLinux = Deno.build.os !== "linux";

Deno.test({
  name:
    "kill the coordinator during a push: the next one pushes, once and whole [ignored off Linux: no /proc]",
  ignore: isNotLinux,
  fn: () =>
    withFolder(async (folder) => {
      await using hub = await startHub();
      await writeToyModel(`${folder}/models/toy`);
      const starts = startsIn(folder, ["--model-roots", `${folder}/models`], hubVariables(hub, folder));
      await using children = new AsyncDisposableStack();
      const first = children.use(await starts.start());
      const worker = startToyWorker({
        ...{ name: "w", joinUrl: await first.joinUrl(), cacheFolder: `${folder}/cache`, gradientMs: 0 },
      });
      children.defer(() => worker.stop());
      const api = first.api();
      const form = new FormData();
      form.set("purpose", "fine-tune");
      form.set("file", await toyFile(0, 16));
      const { id: training_file } = await (await fetch(`${api}/files`, { method: "POST", body: form }))
        .json();
      const job = await post(`${api}/fine_tuning/jobs`, {
        ...{ model: "toy", training_file, dataset: { max_seq_length: 64 } },
        lora: { r: 4, lora_alpha: 8, target_modules: ["q_proj"] },
        training: { max_steps: 2, gradient_accumulation_steps: 2, learning_rate: 0.1 },
      });
      const jobUrl = `${api}/fine_tuning/jobs/${job.id}`;
      await until("the end of the job", async () => (await get(jobUrl)).status === "succeeded");
      const { id } = await post(`${jobUrl}/exports`, { kind: "adapter" });
      const exportUrl = `${jobUrl}/exports/${id}`;
      await until("the export", async () => (await get(exportUrl)).status === "succeeded");

      hub.faults.add({ on: PUT, times: 99, kind: "slow", pauseMs: 5000 });
      await post(`${exportUrl}/push`, { hub_model_id: "org/tuned" });
      await until("an object on its way", () => hub.asked(PUT).length > 0);
      assert(starts.cpuSecondsOf("push_process.ts") !== null);
      await starts.kill(first);
      const repo = hub.repo("model", "org/tuned");
      assertEquals([repo.commits.size, repo.tree().size], [1, 0], "nothing is half pushed");

      hub.faults.clear();
      children.use(await starts.start());
      await until("the push", async () => (await get(exportUrl)).push.status === "succeeded");
      const pushed = await get(exportUrl);
      assertEquals([pushed.status, pushed.push.commit], ["succeeded", repo.resolve("main")]);
      assertEquals(repo.commits.size, 2);
      const names = pushed.files.map(({ name }: { name: string }) => name).sort();
      assertEquals([...repo.tree().keys()].sort(), names);
      const messages = await messagesOf(api, job.id);
      assertEquals(
        messages.filter((message) => / is pushed: http/.test(message)).length,
        1,
        messages.join("\n"),
      );
    }),
});

Deno.test({
  name:
    "kill the coordinator during a preparation: its process ends, the next one prepares the rows anew [ignored off Linux: no /proc]",
  ignore: isNotLinux,
  fn: () =>
    withFolder(async (folder) => {
      const starts = startsIn(folder, []);
      await using first = await starts.start();
      const api = first.api();
      // Seconds of work for the tokenizer, on any machine.
      const word = "abcdefghijklmnopqrstuvwxyz ".repeat(1000);
      const rows = Array.from({ length: 800 }, (_, index) => JSON.stringify({ text: `${index} ${word}` }));
      const form = new FormData();
      form.set("purpose", "fine-tune");
      form.set("file", new File([rows.join("\n")], "rows.jsonl"));
      const { id: training_file } = await (await fetch(`${api}/files`, { method: "POST", body: form }))
        .json();
      const dataset = { max_seq_length: 128, packing_strategy: "wrapped" };
      const { id } = await post(`${api}/fine_tuning/jobs`, { model: "base", training_file, dataset });
      const seconds = () => starts.cpuSecondsOf("preparation_process.ts");
      await until("some of the rows", () => (seconds() ?? 0) > 0.7);
      assertEquals((await jobOf(api, id)).status, "validating_files");
      await starts.kill(first);
      const prepared = join(folder, "data/prepared");
      const names = async () => (await Array.fromAsync(Deno.readDir(prepared))).map(({ name }) => name);
      assertEquals((await names()).filter((name) => name.endsWith(".rows")), [], "it was killed too late");

      await using second = await starts.start();
      await until("the job's queue", async () => PREPARED.includes((await jobOf(second.api(), id)).status));
      const left = (await names()).filter((name) => name !== "attempts");
      assertEquals([left.length, left[0]!.endsWith(".rows")], [1, true], left.join());
      const attempts = async () => await Array.fromAsync(Deno.readDir(join(prepared, "attempts")));
      await until("the end of the attempt", async () => (await attempts()).length === 0);
      const messages = await messagesOf(api, id);
      assertEquals(
        messages.filter((message) => /^800 examples in /.test(message)).length,
        1,
        messages.join(),
      );
      await until("the end of the process", () => seconds() === null);
    }),
});

Deno.test({
  name:
    "kill the coordinator during a dataset's download: the next one goes on from its bytes [ignored off Linux: no /proc]",
  ignore: isNotLinux,
  fn: () =>
    withFolder(async (folder) => {
      await using hub = await startHub();
      const rows = Array.from(
        { length: 6000 },
        (_, index) => JSON.stringify({ text: `row ${index}: ${"words ".repeat(8)}` }),
      );
      await hub.add("dataset", "org/rows", { "train.jsonl": `${rows.join("\n")}\n` });
      hub.faults.add({ on: ROWS, times: 99, kind: "slow", pauseMs: 300 });
      const starts = startsIn(folder, [], hubVariables(hub, folder));
      const blobs = join(folder, "hub/datasets--org--rows/blobs");
      const unfinished = async () => {
        const entries = await Array.fromAsync(Deno.readDir(blobs)).catch(() => []);
        const part = entries.find(({ name }) => name.endsWith(".incomplete"));
        return part === undefined
          ? 0
          : (await Deno.stat(join(blobs, part.name)).catch(() => null))?.size ?? 0;
      };
      await using first = await starts.start();
      const id = await submitJob(first.api(), { max_steps: 4 }, {}, {
        training_file: undefined,
        dataset: { path: "org/rows", max_seq_length: 64 },
      });
      await until("a part of the rows", async () => await unfinished() > 100_000);
      await starts.kill(first);
      const kept = await unfinished();
      assert(kept > 100_000, `${kept}`);

      hub.faults.clear();
      await using second = await starts.start();
      const api = second.api();
      await until("the job's queue", async () => (await jobOf(api, id)).status !== "validating_files");
      const job = await jobOf(api, id);
      assertEquals([job.error, PREPARED.includes(job.status)], [null, true], job.status);
      assertEquals(hub.asked(ROWS).at(-1)!.split(" ").at(-1), `bytes=${kept}-`);
      assertEquals(await unfinished(), 0);
      const messages = await messagesOf(api, id);
      assertMatch(messages.find((message) => message.includes("examples in"))!, /^6000 examples in /);
    }),
});
