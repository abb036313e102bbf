/**
 * A worker as people start it, with the demo's model: the most main memory that its process had at once, beside the most that it
 * says in its log.
 */
import { assert } from "@std/assert";
import { join } from "@std/path";
import { cpuOptions, repositoryRoot, runWith } from "../../deploy/machine/fleet.ts";
import { jobOf, startCoordinatorChild, submitJob, until, withFolder } from "./coordinator_child.ts";

/** What `shared/memory/host_memory.ts` promises. */
const TOLERANCE = 0.2;
const UNITS: Readonly<Record<string, number>> = { MiB: 1, GiB: 1024 };

interface Case {
  readonly name: string;
  readonly fleet: Record<string, unknown>;
}

/** 10 M parameters: 342 MiB for optimizer and sums, 114 for the GPU's buffers, 266 for local steps. */
const RANK = 1024;
const CASES: readonly Case[] = [
  { name: "AdamW", fleet: {} },
  { name: "local steps", fleet: { local_steps: { inner_steps: 2, replicas: 1 } } },
];

/** @returns MiB */
async function measured({ fleet }: Case): Promise<{ readonly planned: number; readonly peak: number }> {
  const result = { planned: 0, peak: 0 };
  await withFolder(async (folder) => {
    await using coordinator = startCoordinatorChild(join(folder, "data"));
    const joinUrl = await coordinator.joinUrl();
    const worker = new Deno.Command(Deno.execPath(), {
      args: [
        ...[...runWith("worker"), join(repositoryRoot, "worker/main.ts"), "--join", joinUrl],
        ...[...cpuOptions(true), "--cache-folder", join(folder, "cache")],
      ],
      ...{ env: { NO_COLOR: "1" }, stdin: "null", stdout: "null", stderr: "piped" },
    }).spawn();
    const log = new Response(worker.stderr).text();
    try {
      const api = coordinator.api();
      const id = await submitJob(
        api,
        { max_steps: 2, gradient_accumulation_steps: 2, per_device_train_batch_size: 1 },
        fleet,
        { lora: { r: RANK, target_modules: "all-linear" } },
      );
      const isOver = async () => ["succeeded", "failed"].includes((await jobOf(api, id)).status);
      await until("the job's end", isOver, coordinator.stderr);
      const { status, error } = await jobOf(api, id);
      assert(status === "succeeded", JSON.stringify(error));
      const text = await Deno.readTextFile(`/proc/${worker.pid}/status`);
      result.peak = Number(/VmHWM:\s+(\d+) kB/.exec(text)![1]) / 1024;
    } finally {
      worker.kill("SIGKILL");
      const said = await log;
      const [, number, unit] = /main memory of the worker:[\s\S]*?at most\s+([\d.]+) (MiB|GiB)/.exec(said) ??
        [];
      assert(unit !== undefined, said);
      result.planned = Number(number) * UNITS[unit]!;
    }
  });
  return result;
}

for (const one of CASES) {
  Deno.test({
    name: `a worker's process needs no more main memory than it says: ${one.name}`,
    ignore: Deno.build.os !== "linux",
    fn: async () => {
      const { planned, peak } = await measured(one);
      const both = `${Math.round(peak)} MiB at most, ${Math.round(planned)} planned`;
      assert(peak <= (1 + TOLERANCE) * planned, both);
      assert(peak > planned / 2, `${both}: the plan is of something else`);
    },
  });
}
