/**
 * Rented pods from the command to the last confirmed removal: a real coordinator and broker, workers of this process that stand in
 * for the programs on pods, and the test RunPod, which starts one for each pod with the pod's own environment.
 */
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import type { UpOptions } from "../../deploy/runpod/commands.ts";
import { parseOptions } from "../../deploy/runpod/options.ts";
import { up } from "../../deploy/runpod/up.ts";
import { type Clock, systemClock } from "../../shared/clock.ts";
import type { Agent } from "../../worker/fleet/agent.ts";
import { TestRunPod } from "../runpod/test_runpod.ts";
import {
  isAlive,
  jobOf,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";

const STEPS = 60;
const TRAINING = {
  max_steps: STEPS,
  gradient_accumulation_steps: 4,
  learning_rate: 1e-2,
  save_strategy: "no",
};
/** Seconds of RunPod and of the command in one real second: the command looks at everything each 15 s. */
const SPEED = 20;

const fastClock: Clock = {
  now: () => systemClock.now() * SPEED,
  sleep: (milliseconds, signal) => systemClock.sleep(milliseconds / SPEED, signal),
};

Deno.test("pods come for a job, an evicted one is replaced, and all go when it has succeeded", () =>
  withFolder(async (folder) => {
    await using stack = new AsyncDisposableStack();
    const coordinator = stack.use(startCoordinatorChild(`${folder}/data`));
    const joinUrl = await coordinator.joinUrl();
    const api = coordinator.api();
    const runpod = new TestRunPod(fastClock);
    const agents = new Map<string, Agent>();
    stack.defer(async () => void await Promise.all([...agents.values()].map((agent) => agent.stop())));
    runpod.pods.onCreate = ({ id, env }) => {
      const [url, name] = [env["LORAFLEET_JOIN"]!, env["LORAFLEET_NAME"]!];
      agents.set(id, startToyWorker({ name, joinUrl: url, cacheFolder: `${folder}/cache`, gradientMs: 40 }));
    };
    runpod.pods.onEnd = ({ id }) => void agents.get(id)!.stop();
    const id = await submitJob(api, TRAINING);
    const options = parseOptions(
      ["up", "--gpu", "RTX 3090", "--spot", "--count", "3", "--budget", "2", "--for-job", id, "--until-done"]
        .concat(
          "--yes",
          "--state-folder",
          `${folder}/state`,
          "--image",
          "example/worker:1",
          "--join",
          joinUrl,
        ),
      (name) => name === "LORAFLEET_RUNPOD_API" ? "http://127.0.0.1" : undefined,
    ) as UpOptions;
    assertEquals(options.coordinatorUrl, api.replace(/\/v1$/, ""));
    let suffix = 0;
    const lines: string[] = [];
    const { signal } = new AbortController();
    const running = up(options, {
      connection: {
        apiUrl: "https://api.runpod.io",
        apiKey: runpod.apiKey,
        fetch: runpod.fetch,
        clock: fastClock,
      },
      ...{ signal, lastSignal: signal, print: (line) => void lines.push(line), confirm: () => false },
      newSuffix: () => `s${++suffix}`,
      jobStatus: async (jobId) => (await jobOf(api, jobId)).status,
    });
    await until("a third of the steps", async () => (await jobOf(api, id)).step >= STEPS / 3);
    assertEquals(runpod.pods.left.length, 3);
    runpod.pods.evict(runpod.pods.left[1]!);
    await running;
    const job = await jobOf(api, id);
    assertEquals([job.status, job.step], ["succeeded", STEPS], JSON.stringify(job.error));
    assertEquals(runpod.pods.all.length, 4, lines.join("\n"));
    assertEquals(runpod.pods.left, []);
    assertLess(runpod.pods.billed, 2);
    assertStringIncludes(lines.join("\n"), "s2: RunPod has stopped it");
    assertMatch((await messagesOf(api, id)).join("\n"), /s4/, "the replacement has joined");
  }));

interface Command {
  readonly code: number;
  readonly output: string;
}

/** The command as a process, against a RunPod on a port. */
async function withCommand(
  body: (
    runpod: TestRunPod,
    run: (
      args: readonly string[],
      onOutput?: (output: string, child: Deno.ChildProcess) => void,
    ) => Promise<Command>,
  ) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const runpod = new TestRunPod(systemClock);
    await using server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      (request) => runpod.fetch(request),
    );
    const env = {
      ...{ RUNPOD_API_KEY: runpod.apiKey, LORAFLEET_RUNPOD_API: `http://127.0.0.1:${server.addr.port}` },
      ...{
        LORAFLEET_JOIN: "http://127.0.0.1:9/join/jointoken123",
        LORAFLEET_WORKER_IMAGE: "example/worker:1",
      },
      ...{ HF_TOKEN: "hf_abcdefgh12345678", LORAFLEET_API_KEY: "coordinatorkey123", NO_COLOR: "1" },
    };
    await body(runpod, async (args, onOutput = () => {}) => {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "-A", "deploy/runpod/main.ts", ...args, "--state-folder", folder],
        ...{ env, stdin: "null", stdout: "piped", stderr: "piped" },
      }).spawn();
      let output = "";
      const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
        for await (const text of stream.pipeThrough(new TextDecoderStream())) {
          output += text;
          onOutput(output, child);
        }
      };
      await Promise.all([read(child.stdout), read(child.stderr)]);
      const { code } = await child.status;
      assert(!isAlive(child.pid));
      for (const secret of [runpod.apiKey, "jointoken123", "hf_abcdefgh12345678", "coordinatorkey123"]) {
        assert(!output.includes(secret), `${secret} is shown: ${output}`);
      }
      return { code, output };
    });
  });
}

Deno.test("the command as a process: up, status, logs, down", () =>
  withCommand(async (runpod, run) => {
    const asked = await run(["up", "--gpu", "RTX 3090"]);
    assertEquals(asked.code, 2);
    assertMatch(asked.output, /nobody can be asked here: pass --yes/);
    const rented = await run(["up", "--gpu", "RTX 3090", "--count", "2", "--env", "HF_TOKEN", "--yes"]);
    assertEquals(rented.code, 0, rented.output);
    runpod.logs.set("pod1", ["joined as w-1", `a line with ${runpod.apiKey}`]);
    runpod.logs.set("pod2", ["joined as w-2"]);
    const told = await run(["status"]);
    assertMatch(
      told.output,
      /lorafleet\.default\.any\.\w+ +pod1 +NVIDIA GeForce RTX 3090 +secure +RUNNING +0 +94 % +\$0\.465/,
    );
    const { pods, dollars } = JSON.parse((await run(["status", "--json"])).output);
    assertEquals([pods.length, dollars < 0.05], [2, true]);
    const logged = await run(["logs"]);
    assertMatch(logged.output, /lorafleet\.default\.any\.\w+ \| joined as w-2/);
    assertEquals((await run(["logs", "--pod", "pod1", "--tail", "1"])).output, "a line with [redacted]\n");
    const removed = await run(["down"]);
    assertEquals([removed.code, runpod.pods.left], [0, []]);
    assertMatch(removed.output, /2 pods removed, none is left/);
    const none = await run(["logs"]);
    assertEquals([none.code, /has no pods/.test(none.output)], [1, true]);
  }));

Deno.test("Ctrl-C ends the process with 130, and nothing is left", () =>
  withCommand(async (runpod, run) => {
    runpod.pods.startMs = 600_000;
    let isSent = false;
    const { code, output } = await run(
      ["up", "--gpu", "RTX 3090", "--count", "3", "--yes"],
      (output, child) => {
        if (isSent || !output.includes("0 of 3 pods run")) return;
        isSent = true;
        child.kill("SIGINT");
      },
    );
    assertEquals([code, runpod.pods.all.length, runpod.pods.left], [130, 3, []], output);
    assertMatch(output, /interrupted: removing all pods; Ctrl-C leaves them[\s\S]*no pod is left/);
  }));
