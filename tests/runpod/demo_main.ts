/**
 * The demo's job on rented pods: `deploy:runpod up --for-job --until-done` as a process, worker processes with the pods'
 * environments in place of the pods, and the test RunPod. A spot pod is evicted in mid-job.
 *
 *     deno task test:pods
 *
 * Prints what happens and the adapter's SHA-256, which is that of `deno task demo`. Exit codes: 0 done and nothing left, 1 not.
 */
import { assertEquals } from "@std/assert";
import { dirname, join } from "@std/path";
import { ApiClient } from "../../deploy/client/api_client.ts";
import { downloadAdapter, sha256Hex } from "../../deploy/client/result_files.ts";
import { jobRequest, parseOptions } from "../../deploy/demo/options.ts";
import { setRowsAside } from "../../deploy/demo/held_out.ts";
import { Children } from "../../deploy/machine/children.ts";
import { childEnvironment } from "../../deploy/machine/environment.ts";
import { repositoryRoot, runWith, startCoordinator } from "../../deploy/machine/fleet.ts";
import { ensureSetup } from "../../deploy/setup/ensure.ts";
import { runtimeFolderVariables } from "../../deploy/setup/runtime_folder.ts";
import { systemClock } from "../../shared/clock.ts";
import { exitWithHelp } from "../documents/head_help.ts";
import { TestRunPod } from "./test_runpod.ts";

exitWithHelp(import.meta.url);

const EVICTED_AT_STEP = 8;

const startedAt = systemClock.now();
const say = (line: string) =>
  console.log(`${((systemClock.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`);

const folder = await Deno.makeTempDir({ prefix: "lorafleet-pods-demo-" });
await Deno.mkdir(join(folder, "logs"));
const children = new Children(join(folder, "logs"), systemClock);
const stopper = new AbortController();
try {
  await run();
} finally {
  stopper.abort();
  await children.close();
  await Deno.remove(folder, { recursive: true });
}

async function run(): Promise<void> {
  const options = parseOptions(["--ignore-gpu"])!;
  const { natsServerPath } = await ensureSetup({ log: say, ignoreGpu: true });
  const env = {
    ...childEnvironment(Deno.env.toObject(), natsServerPath),
    ...await runtimeFolderVariables(Deno.env.get("XDG_RUNTIME_DIR"), join(folder, "runtime")),
  };
  const { joinUrl } = await startCoordinator(children, env, {
    dataFolder: join(folder, "coordinator"),
    modelRoot: dirname(options.modelFolder),
  });
  const api = new ApiClient(new URL(joinUrl).origin, stopper.signal);
  const id = await submit(api, options);
  say(`job ${id} is submitted; no worker is there`);

  const runpod = new TestRunPod(systemClock);
  const stops = new Map<string, () => Promise<void>>();
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => runpod.fetch(request),
  );
  const apiUrl = `http://127.0.0.1:${server.addr.port}`;
  runpod.pods.onCreate = (pod) => {
    const own = { RUNPOD_POD_ID: pod.id, RUNPOD_API_KEY: `pod-key-${pod.id}`, LORAFLEET_RUNPOD_API: apiUrl };
    const process = new Deno.Command(Deno.execPath(), {
      args: [...runWith("worker"), join(repositoryRoot, "worker/main.ts")],
      ...{
        env: { ...env, ...pod.env, ...own },
        clearEnv: true,
        stdin: "null",
        stdout: "null",
        stderr: "null",
      },
    }).spawn();
    say(`${pod.id} (${pod.name}) is created: worker process ${process.pid}`);
    stops.set(pod.id, async () => {
      try {
        process.kill("SIGKILL");
      } catch {
        // It has left by itself.
      }
      await process.status;
    });
  };
  runpod.pods.onEnd = (pod) => {
    say(`${pod.id} is ${pod.status === "EXITED" ? "evicted" : "removed"}: its worker is killed`);
    void stops.get(pod.id)!();
  };
  try {
    await Promise.all([rent(runpod, apiUrl, joinUrl, id, env), evict(runpod, api, id)]);
  } finally {
    await Promise.all([...stops.values()].map((stop) => stop()));
  }
  const job = await api.job(id);
  const files = await downloadAdapter(api, job);
  say(
    `the job has ${job.status} after ${job.step} steps; ${runpod.pods.all.length} pods have cost $${
      runpod.pods.billed.toFixed(4)
    }`,
  );
  say(`adapter_sha256 ${await sha256Hex(files.get("adapter_model.safetensors")!)}`);
  assertEquals([job.status, runpod.pods.left], ["succeeded", []]);
  say("no pod is left");
}

async function submit(
  api: ApiClient,
  options: NonNullable<ReturnType<typeof parseOptions>>,
): Promise<string> {
  const path = join(folder, "train.jsonl");
  const rows = await Deno.readTextFile(options.datasetPath);
  const isWhole = options.evalDatasetPath !== null;
  await Deno.writeTextFile(path, isWhole ? rows : setRowsAside(rows, options.datasetPath).train);
  const file = await api.uploadDataset(path, "train.jsonl");
  return (await api.createJob(jobRequest(options, file.id))).id;
}

/** The command, as a user types it. */
async function rent(
  runpod: TestRunPod,
  apiUrl: string,
  joinUrl: string,
  id: string,
  env: Record<string, string>,
): Promise<void> {
  const args = [
    "up",
    "--gpu",
    "RTX 3090",
    "--spot",
    "--count",
    "2",
    "--budget",
    "1",
    "--for-job",
    id,
    "--until-done",
    "--yes",
  ];
  const child = children.start("up", [
    ...["run", "-q", "-A", join(repositoryRoot, "deploy/runpod/main.ts"), ...args],
    ...["--env", "LORAFLEET_ALLOW_CPU=1", "--env", "LORAFLEET_IGNORE_GPU=1", "--image", "example/worker:1"],
    ...["--state-folder", join(folder, "state")],
  ], { ...env, RUNPOD_API_KEY: runpod.apiKey, LORAFLEET_RUNPOD_API: apiUrl, LORAFLEET_JOIN: joinUrl });
  const code = await child.ended;
  for (const line of (await Deno.readTextFile(child.logPath)).trimEnd().split("\n")) {
    console.log(`          up: ${line}`);
  }
  assertEquals(code, 0, child.lastLine());
}

async function evict(runpod: TestRunPod, api: ApiClient, id: string): Promise<void> {
  for (;;) {
    const { status, step } = await api.job(id);
    if (step >= EVICTED_AT_STEP && runpod.pods.left.length > 0) {
      say(`step ${step}: a spot pod is evicted`);
      return runpod.pods.evict(runpod.pods.left[0]!);
    }
    if (["succeeded", "failed", "cancelled"].includes(status)) {
      throw new Error(`the job has ${status} without an eviction`);
    }
    await systemClock.sleep(200);
  }
}
