/**
 * A job goes through what ends or stops its coordinator or its broker: the process, the broker and the streams are real, the
 * workers have no GPU. Whatever happens, the losses of all steps are those of a job that nothing has happened to.
 */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import type { Agent } from "../../worker/fleet/agent.ts";
import {
  type CoordinatorChild,
  freePort,
  jobOf,
  messagesOf,
  natsPidOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";

const STEPS = 30;
const GRADIENT_MS = 15;
const TRAINING = {
  max_steps: STEPS,
  gradient_accumulation_steps: 4,
  learning_rate: 1e-2,
  logging_steps: 1,
  save_strategy: "no",
};

interface Trial {
  /** The first one. */
  readonly coordinator: CoordinatorChild;
  readonly jobId: string;
  /** The same for all of them. */
  readonly api: string;
  /** Starts a second one on the same folder and port, and resolves when it leads. */
  start(): Promise<CoordinatorChild>;
  /** Resolves when a step is committed. */
  reached(step: number): Promise<void>;
}

interface Reported {
  /** One line for each step. */
  readonly losses: readonly string[];
  readonly messages: readonly string[];
}

/** Two workers train a job while `disturb` happens; returns what the job's events report. */
async function train(disturb: (trial: Trial) => Promise<void>): Promise<Reported> {
  let messages: readonly string[] = [];
  await withFolder(async (folder) => {
    const port = freePort();
    await using children = new AsyncDisposableStack();
    const start = async () => {
      const child = children.use(startCoordinatorChild(`${folder}/data`, ["--port", String(port)]));
      await child.joinUrl();
      return child;
    };
    const coordinator = await start();
    const joinUrl = await coordinator.joinUrl();
    const workers: Agent[] = ["w-a", "w-b"].map((name) =>
      startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: GRADIENT_MS })
    );
    children.defer(async () => void await Promise.all(workers.map((worker) => worker.stop())));
    const api = coordinator.api();
    const jobId = await submitJob(api, TRAINING);
    // Null while no coordinator leads.
    const job = () => jobOf(api, jobId).catch(() => null);
    const reached = (step: number) =>
      until(`step ${step}`, async () => (await job() ?? { step: 0 }).step >= step);
    await disturb({ coordinator, jobId, api, start, reached });
    const isOver = async () => ["succeeded", "failed", "cancelled"].includes((await job())?.status ?? "");
    await until("the end of the job", isOver);
    assertEquals((await job())?.status, "succeeded", JSON.stringify((await job())?.error));
    messages = await messagesOf(api, jobId);
  });
  return { messages, losses: messages.filter((message) => /^Step \d+\//.test(message)) };
}

async function post({ api, jobId }: Trial, action: "pause" | "resume"): Promise<string> {
  const response = await fetch(`${api}/fine_tuning/jobs/${jobId}/${action}`, { method: "POST" });
  return (await response.json()).status;
}

Deno.test("whatever happens to coordinator and broker, the job goes on and its losses are the same", async (t) => {
  const undisturbed = await train(() => Promise.resolve());
  assertEquals(undisturbed.losses.length, STEPS);

  await t.step("SIGTERM while it trains: the next start goes on after the last commit", async () => {
    const { losses, messages } = await train(async (trial) => {
      await trial.reached(8);
      const toldAt = systemClock.now();
      trial.coordinator.kill("SIGTERM");
      assertEquals((await trial.coordinator.ended).code, 0);
      assertLess(systemClock.now() - toldAt, 15_000);
      await trial.start();
    });
    assertEquals(losses, undisturbed.losses);
    assertMatch(messages.join("\n"), /Training continues after step \d+\./);
    assertNotBegunAnew(messages);
  });

  await t.step("kill -9 of the coordinator: the one that stands by goes on mid-step", async () => {
    const { losses, messages } = await train(async (trial) => {
      const standby = trial.start();
      await trial.reached(8);
      trial.coordinator.kill("SIGKILL");
      const killedAt = systemClock.now();
      await standby;
      assertLess(systemClock.now() - killedAt, 9000);
    });
    assertEquals(losses, undisturbed.losses);
    assertNotBegunAnew(messages);
  });

  await t.step("kill -9 of the broker: the coordinator starts it again, everybody reconnects", async () => {
    const { losses, messages } = await train(async (trial) => {
      for (const step of [5, 12]) {
        await trial.reached(step);
        Deno.kill((await natsPidOf(trial.coordinator.dataFolder))!, "SIGKILL");
      }
      await until(
        "the broker",
        () => trial.coordinator.stderr().match(/listens on port \d+ again/g)?.length === 2,
      );
    });
    assertEquals(losses, undisturbed.losses);
    assertNotBegunAnew(messages);
  });

  await t.step("paused, over a restart, and resumed: it goes on where its workers are", async () => {
    const { losses, messages } = await train(async (trial) => {
      await trial.reached(8);
      assertEquals(await post(trial, "pause"), "paused");
      const { step } = await jobOf(trial.api, trial.jobId);
      assertLess(step, STEPS);
      await until("rest", async () => (await workerStates(trial)).every((state) => state === "ready"));
      trial.coordinator.kill("SIGTERM");
      assertEquals((await trial.coordinator.ended).code, 0);
      await trial.start();
      await systemClock.sleep(500);
      assertEquals((await jobOf(trial.api, trial.jobId)).status, "paused");
      assertEquals(await post(trial, "resume"), "queued");
    });
    assertEquals(losses, undisturbed.losses);
    assertNotBegunAnew(messages);
  });
});

async function workerStates({ api }: Trial): Promise<string[]> {
  const { data } = await (await fetch(`${api}/workers`)).json();
  return data.map(({ state }: { state: string }) => state);
}

function assertNotBegunAnew(messages: readonly string[]): void {
  assert(
    !messages.some((message) => /begins with the first step|starts again/.test(message)),
    messages.join("\n"),
  );
}
