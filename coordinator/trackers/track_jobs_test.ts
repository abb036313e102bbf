import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { holdBefore, submit } from "../jobs/job_service_fixture.ts";
import { withWorld, type World } from "../testing/app_fixture.ts";
import { unfinishedDeliveries } from "./delivery/delivery_state.ts";

type Line = Record<string, unknown>;

async function linesOf(world: World, run: string): Promise<Line[]> {
  const text = await Deno.readTextFile(`${world.folder}/runs/${run}/metrics.jsonl`);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** Waits for what no client waits for. */
async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it did not happen in 5 s");
}

const isDelivered = async ({ folder }: World) =>
  (await unfinishedDeliveries(`${folder}/trackers`)).length === 0;

Deno.test("a job's run is in its tracker's files when it has ended", () =>
  withWorld({}, async (world) => {
    const training = {
      report_to: ["tensorboard", "jsonl"],
      run_name: "my run",
      logging_dir: "./logs",
      logging_steps: 2,
    };
    const { id } = await submit(world, "a\nb\nc", { training });
    await world.finished(id);
    await until(() => isDelivered(world));
    const lines = await linesOf(world, `logs/my-run-${id}`);
    assertEquals(lines.map(({ event, step }) => event ?? step), ["start", 2, 4, 6, "end"]);
    assertEquals(lines.map(({ loss }) => loss).slice(1, 4), [1.5, (2 / 3 + 2 / 4) / 2, (2 / 5 + 2 / 6) / 2]);
    assertEquals([lines.at(-1)!["status"], (lines[0]!["config"] as Line)["total_steps"]], ["succeeded", 6]);
    const files = await Array.fromAsync(Deno.readDir(`${world.folder}/runs/logs/my-run-${id}`));
    assertEquals(files.map(({ name }) => name.includes("tfevents")).toSorted(), [false, true]);
    const places = world.messages(id).filter((message) => message.includes("shows this run"));
    assertEquals(places.length, 2);
    assert(!places.join().includes(world.folder), "the data folder's path is hidden");
    assertEquals(world.defects, []);
  }));

Deno.test("a job without report_to leaves no file, and its view names no tracker", () =>
  withWorld({}, async (world) => {
    const { id } = await submit(world);
    await world.finished(id);
    await assertRejects(() => Deno.stat(`${world.folder}/runs`), Deno.errors.NotFound);
    const view = await (await world.app.request(`/v1/fine_tuning/jobs/${id}`)).json();
    assertEquals([view.report_to, view.integrations], [[], null]);
  }));

Deno.test("a cancelled job's run ends as cancelled", () =>
  withWorld({}, async (world) => {
    const { reached } = holdBefore(world, 2);
    const { id } = await submit(world, "a\nb", { training: { report_to: "jsonl" } });
    await reached;
    world.jobs.cancel(id);
    const last = async () => (await linesOf(world, id).catch(() => [])).at(-1);
    await until(async () => (await last())?.["event"] === "end");
    const cancelled = (await last())!;
    assertEquals([cancelled["status"], cancelled["step"]], ["cancelled", 1]);
  }));

Deno.test("the next coordinator continues the run of a job that the last one left, without a point twice", () =>
  withWorld({}, async (first) => {
    const { reached } = holdBefore(first, 3);
    const { id } = await submit(first, "a\nb", { training: { report_to: "jsonl" } });
    await reached;
    await first.jobs.stop();
    await withWorld({ after: first }, async (second) => {
      second.jobs.start();
      await second.finished(id);
      await until(() => isDelivered(second));
      const steps = (await linesOf(second, id)).map(({ event, step }) => event ?? step);
      assertEquals(steps, ["start", 1, 2, 3, 4, "end"]);
    });
  }));

Deno.test("a finished job's points that were not delivered are delivered by the next coordinator", () =>
  withWorld({}, async (first) => {
    // A file where the folder of runs belongs: nothing can be written.
    await Deno.writeTextFile(`${first.folder}/runs`, "");
    const { id } = await submit(first, "a", { training: { report_to: "jsonl" } });
    await first.finished(id);
    await until(() =>
      first.messages(id).some((message) => message.startsWith("metrics.jsonl takes no points: "))
    );
    await first.jobs.stop();
    await Deno.remove(`${first.folder}/runs`);
    await withWorld({ after: first }, async (second) => {
      second.jobs.start();
      await until(() => isDelivered(second));
      assertEquals((await linesOf(second, id)).length, 4);
      assertMatch(second.messages(id).join("\n"), /metrics\.jsonl takes points again/);
    });
  }));

Deno.test("a tracker without settings is refused at submission with what to set; all leaves it out", () =>
  withWorld({}, async (world) => {
    for (const [name, variable] of [["mlflow", "MLFLOW_TRACKING_URI"], ["wandb", "WANDB_API_KEY"]] as const) {
      const error = await assertRejects(
        () => submit(world, "a", { training: { report_to: [name] } }),
        LoraFleetError,
        `set ${variable}`,
      );
      assertEquals([error.code, error.param], ["invalid_request", "training.report_to"]);
    }
    const { tracking } = await submit(world, "a", { training: { report_to: "all" } });
    assertEquals(tracking?.reportTo, ["tensorboard", "jsonl"]);
  }));
