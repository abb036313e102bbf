import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openConnection } from "../../shared/bus/nats_connection.ts";
import { createNatsKeys, type NatsKeys } from "../../shared/bus/nats_keys.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { workerIdOf } from "../../shared/protocol/ids.ts";
import { FakeFleet } from "../testing/fake_fleet.ts";
import { fakePrepare } from "../testing/fake_preparer.ts";
import { preparerOf } from "../testing/fake_preparer.ts";
import { parseConfig } from "../config/config.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import type { Broker } from "../broker/broker.ts";
import type { ConnectOptions } from "./connect_fleet.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { startCoordinator } from "./start.ts";
import type { CoordinatorParts } from "./parts.ts";
import type { RunningCoordinator } from "./start.ts";
import type { JoinReply } from "../api/views/join_view.ts";

interface Trial {
  readonly config: CoordinatorConfig;
  /** What the parts were asked for, and what they will do. */
  readonly brokers: Broker[];
  /** Of our own brokers that were started. */
  readonly pids: number[];
  readonly logged: string[];
  /** Leases that were wanted. */
  readonly leases: ConnectOptions["lease"][];
  /** Thrown once the lease was asked for. */
  diesLeading: boolean;
  beforeStep: (job: PlannedJob, step: number, signal: AbortSignal) => Promise<void>;
  problem: string | null;
  start(changes?: Partial<CoordinatorConfig>): Promise<RunningCoordinator>;
}

async function withTrial(body: (trial: Trial) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(`${folder}/models/tiny`, { recursive: true });
  await Deno.writeTextFile(`${folder}/models/tiny/config.json`, "{}");
  await Deno.writeTextFile(`${folder}/models/tiny/model.safetensors`, "x");
  const args = ["--port", "0", "--data-folder", `${folder}/data`, "--model-roots", `${folder}/models`];
  const env = { PATH: Deno.env.get("PATH") ?? "", HF_HUB_OFFLINE: "1" } as Record<string, string>;
  const trial: Trial = {
    config: parseConfig(args, (name) => env[name])!,
    brokers: [],
    pids: [],
    logged: [],
    leases: [],
    diesLeading: false,
    beforeStep: () => Promise.resolve(),
    problem: null,
    start(changes = {}) {
      const parts: CoordinatorParts = {
        clock: systemClock,
        signal: new AbortController().signal,
        async connectFleet(broker, { artifacts, lease, minTerm = 0 }) {
          trial.brokers.push(broker);
          trial.leases.push(lease);
          if (trial.diesLeading) throw new Error("killed while it got the lease");
          const { dataFolder, natsUrl } = { ...trial.config, ...changes };
          if (natsUrl === null) {
            trial.pids.push(Number(await Deno.readTextFile(`${dataFolder}/nats/nats-server.pid`)));
          }
          const fleet = new FakeFleet(artifacts);
          fleet.beforeStep = (...step) => trial.beforeStep(...step);
          const answer = async () => {
            if (trial.problem !== null) throw new Error(await Promise.resolve(trial.problem));
          };
          return {
            ...{ fleet, lost: new Promise(() => {}), close: () => Promise.resolve() },
            ...{ term: minTerm, assertConnected: answer, assertStores: answer },
          };
        },
        openPreparer: () => Promise.resolve(preparerOf(fakePrepare)),
        checkModel: (spec) => Promise.resolve({ spec, warnings: [] }),
        log: (level, message) => void trial.logged.push(`${level} ${message}`),
      };
      return startCoordinator({ ...trial.config, ...changes }, parts);
    },
  };
  try {
    await body(trial);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function assertEnded(pid: number): Promise<void> {
  const isThere = () =>
    new Deno.Command("kill", { args: ["-0", String(pid)], stderr: "null" }).outputSync().success;
  for (let attempt = 0; isThere(); attempt++) {
    assert(attempt < 100, `process ${pid} is still there`);
    await systemClock.sleep(50);
  }
}

/** The join reply for a worker with these keys. */
async function join(joinUrl: string, { publicKey }: NatsKeys): Promise<JoinReply> {
  const response = await fetch(joinUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ publicKey }),
  });
  const reply = await response.json();
  assertEquals(response.status, 200, JSON.stringify(reply));
  return reply;
}

function connectAs({ natsUrl, token }: JoinReply, keys: NatsKeys) {
  return openConnection({ servers: natsUrl, name: "worker", identity: { keys, token: () => token } });
}

async function until(isSo: () => boolean): Promise<void> {
  for (let attempt = 0; !isSo(); attempt++) {
    assert(attempt < 600, "it never came");
    await systemClock.sleep(20);
  }
}

async function submit(url: string): Promise<string> {
  const form = new FormData();
  form.append("purpose", "fine-tune");
  form.append("file", new File(["a\nb"], "train.txt"));
  const file = await (await fetch(`${url}/v1/files`, { method: "POST", body: form })).json();
  const response = await fetch(`${url}/v1/fine_tuning/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "tiny", training_file: file.id }),
  });
  const job = await response.json();
  assertEquals(response.status, 200, JSON.stringify(job));
  return job.id;
}

async function statusOf(url: string, id: string, wanted: string): Promise<void> {
  for (let attempt = 0;; attempt++) {
    const job = await (await fetch(`${url}/v1/fine_tuning/jobs/${id}`)).json();
    if (job.status === wanted) return;
    assert(attempt < 200, `the job is ${job.status}, not ${wanted}`);
    await systemClock.sleep(20);
  }
}

Deno.test("the join URL gives a worker what it needs to reach the broker", () =>
  withTrial(async (trial) => {
    const running = await trial.start();
    const keys = createNatsKeys("user");
    const began = systemClock.now();
    const reply = await join(running.joinUrl, keys);
    assertEquals(reply.httpUrl, running.url);
    await (await connectAs(reply, keys)).close();
    assert(systemClock.now() - began < 1000, "joining has to be quick");
    const { url, identities } = trial.brokers[0]!;
    for (const identity of [identities!.fleet, identities!.streams]) {
      await (await openConnection({ servers: url, name: "coordinator", identity })).close();
    }
    assertEquals((await fetch(`${running.url}/readyz`).then((r) => r.json())).checks, {
      ...{ store: "ok", data_folder: "ok", disk_space: "ok" },
      ...{ nats: "ok", streams: "ok" },
    });
    trial.problem = "no answer";
    // What was found is kept for a second.
    await systemClock.sleep(1000);
    const response = await fetch(`${running.url}/readyz`);
    assertEquals([response.status, (await response.json()).checks.nats], [503, "no answer"]);
    await running.stop();
    await assertEnded(trial.pids[0]!);
    await assertRejects(() => fetch(`${running.url}/healthz`));
  }));

Deno.test("a restart keeps the join token, the broker's port and the jobs; an open event stream does not delay it", () =>
  withTrial(async (trial) => {
    const reached = Promise.withResolvers<void>();
    trial.beforeStep = (_job, step, signal) => {
      if (step < 3) return Promise.resolve();
      reached.resolve();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const first = await trial.start();
    const id = await submit(first.url);
    await statusOf(first.url, id, "running");
    await reached.promise;
    const stream = fetch(`${first.url}/v1/fine_tuning/jobs/${id}/events?stream=true`).then((r) => r.text());
    const keys = createNatsKeys("user");
    const before = await join(first.joinUrl, keys);
    await first.stop();
    assertMatch(await stream, /Step 2\/4/);

    trial.beforeStep = () => Promise.resolve();
    const second = await trial.start();
    assertEquals(new URL(second.joinUrl).pathname, new URL(first.joinUrl).pathname);
    assertEquals((await join(second.joinUrl, keys)).natsUrl, before.natsUrl);
    await (await connectAs(before, keys)).close();
    await statusOf(second.url, id, "succeeded");
    await second.stop();
  }));

Deno.test("a failed start names its cause and leaves no process behind", () =>
  withTrial(async (trial) => {
    const first = await trial.start();
    const locked = await assertRejects(
      () => trial.start({ standby: false }),
      LoraFleetError,
      "another coordinator",
    );
    assertEquals(locked.code, "conflict");
    const port = Number(new URL(first.url).port);
    const dataFolder = `${trial.config.dataFolder}-2`;
    const taken = await assertRejects(() => trial.start({ dataFolder, port }), LoraFleetError, String(port));
    assertEquals([taken.code, taken.param], ["port_in_use", "port"]);
    await assertEnded(
      Number(await Deno.readTextFile(`${dataFolder}/nats/nats-server.pid`).catch(() => "999999")),
    );
    const missing = await assertRejects(
      () => trial.start({ dataFolder, natsServerBinary: "/no/nats-server" }),
      LoraFleetError,
      "deno task setup",
    );
    assertEquals(missing.code, "missing_dependency");
    await first.stop();
  }));

Deno.test("if the previous broker port is taken, a different one is used; a configured port is required", () =>
  withTrial(async (trial) => {
    const first = await trial.start();
    await first.stop();
    const { natsPort } = JSON.parse(await Deno.readTextFile(`${trial.config.dataFolder}/coordinator.json`));
    const squatter = Deno.listen({ hostname: "127.0.0.1", port: natsPort });
    const chosen = await assertRejects(() => trial.start({ natsPort }), LoraFleetError, String(natsPort));
    assertEquals(chosen.code, "port_in_use");
    const second = await trial.start();
    assert(new URL(trial.brokers.at(-1)!.url).port !== String(natsPort));
    await second.stop();
    squatter.close();
  }));

Deno.test("a first start takes NATS's own port, or any free one if that is taken, and says so", () =>
  withTrial(async (trial) => {
    let squatter: Deno.Listener | null = null;
    try {
      squatter = Deno.listen({ hostname: "127.0.0.1", port: 4222 });
    } catch (thrown) {
      // Another broker of this machine has it already.
      if (!(thrown instanceof Deno.errors.AddrInUse)) throw thrown;
    }
    const running = await trial.start();
    const { port } = new URL(trial.brokers.at(-1)!.url);
    await running.stop();
    squatter?.close();
    assert(port !== "4222" && port !== "");
    assertMatch(
      trial.logged.join("\n"),
      /warn port 4222 is taken: the broker takes any free one, and keeps it/,
    );
    // It keeps its port, although the usual one may be free by now.
    const again = await trial.start();
    assertEquals(new URL(trial.brokers.at(-1)!.url).port, port);
    await again.stop();
  }));

Deno.test("a broker that dies restarts on its port; one that cannot is reported", () =>
  withTrial(async (trial) => {
    const running = await trial.start();
    const pidPath = `${trial.config.dataFolder}/nats/nats-server.pid`;
    const port = Number(new URL(trial.brokers[0]!.url).port);
    const keys = createNatsKeys("user");
    const before = await join(running.joinUrl, keys);
    const revoked = createNatsKeys("user");
    const bad = await join(running.joinUrl, revoked);
    const { status } = await fetch(`${running.url}/v1/workers/${workerIdOf(revoked.publicKey)}`, {
      method: "DELETE",
    });
    assertEquals(status, 200);
    await assertRejects(() => connectAs(bad, revoked), LoraFleetError);
    Deno.kill(trial.pids[0]!, "SIGKILL");
    await until(() => trial.logged.includes(`info nats-server listens on port ${port} again`));
    assertEquals((await join(running.joinUrl, keys)).natsUrl, before.natsUrl);
    // What a worker has is still good, and what was revoked is not.
    await (await connectAs(before, keys)).close();
    await assertRejects(() => connectAs(bad, revoked), LoraFleetError);
    // Its streams are unreadable now: it is restarted a few more times.
    const streams = `${trial.config.dataFolder}/nats/jetstream`;
    await Deno.rename(streams, `${streams}.kept`);
    await Deno.writeTextFile(streams, "a file");
    Deno.kill(Number(await Deno.readTextFile(pidPath)), "SIGKILL");
    assertMatch(await running.broken, /nats-server.* has ended 6 times and is not restarted/);
    await running.stop();
  }));

Deno.test("a foreign broker is only connected to", () =>
  withTrial(async (trial) => {
    const natsUrl = "nats://me:secret@broker.example:4222";
    const other = await trial.start({ natsUrl, natsCredsPath: "/creds" });
    assertEquals(trial.brokers.at(-1), {
      url: natsUrl,
      user: null,
      password: null,
      credsPath: "/creds",
      identities: null,
    });
    const reply = await join(other.joinUrl, createNatsKeys("user"));
    assertEquals([reply.natsUrl, reply.natsUser, reply.natsPassword], [
      "nats://broker.example:4222",
      "me",
      "secret",
    ]);
    await other.stop();
  }));

Deno.test("a successor does not wait for the leases of processes that led or died while taking the lead", () =>
  withTrial(async (trial) => {
    await (await trial.start()).stop();
    trial.diesLeading = true;
    for (let death = 0; death < 2; death++) await assertRejects(() => trial.start(), Error, "killed");
    trial.diesLeading = false;
    await (await trial.start()).stop();
    await (await trial.start()).stop();
    const holders = trial.leases.map(({ holder }) => holder);
    assertEquals(trial.leases.map(({ succeeds }) => succeeds), [
      [],
      [holders[0]!],
      [holders[0]!, holders[1]!],
      [holders[0]!, holders[1]!, holders[2]!],
      [holders[3]!],
    ]);
  }));

Deno.test("everything that a coordinator and its broker leave in the data folder is private", () =>
  withTrial(async ({ start, config }) => {
    const open: string[] = [];
    const look = async (path: string): Promise<void> => {
      const { mode, isDirectory } = await Deno.lstat(path);
      if ((mode! & 0o077) !== 0) open.push(`${path} ${(mode! & 0o777).toString(8)}`);
      if (!isDirectory) return;
      for await (const { name } of Deno.readDir(path)) await inFolder(`${path}/${name}`);
    };
    /** A running coordinator renames and removes its temporary files, and moves what has been uploaded. */
    let isRunning = true;
    const inFolder = (path: string) =>
      look(path).catch((thrown) => {
        if (!isRunning || !(thrown instanceof Deno.errors.NotFound)) throw thrown;
      });
    await Deno.mkdir(config.dataFolder, { mode: 0o755 });
    const running = await start();
    const id = await submit(running.url);
    assertEquals(id.startsWith("ftjob-"), true);
    await look(config.dataFolder);
    await running.stop();
    isRunning = false;
    await look(config.dataFolder);
    assertEquals(open, []);
  }));
