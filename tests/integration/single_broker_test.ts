/**
 * The coordinator's own broker as each nats-server that is here, Debian's 2.9 and one of 2.12 or newer on machines of tests: a job
 * whose broker is killed in the middle ends with the same adapter, and identities are enforced.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { issueCredential } from "../../coordinator/access/worker_credentials.ts";
import { natsBinaries } from "../../coordinator/broker/nats_binaries_fixture.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { openConnection } from "../../shared/bus/nats_connection.ts";
import { systemClock } from "../../shared/clock.ts";
import { inboxPrefix } from "../../shared/protocol/subjects.ts";
import { adapterHash } from "./adapter_hash.ts";
import {
  jobOf,
  natsPidOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { assertRefused } from "./enforced_identities.ts";
import { startToyWorker } from "./toy_worker.ts";

const TRAINING = { max_steps: 30, gradient_accumulation_steps: 4, learning_rate: 1e-2, save_strategy: "no" };

/** At the broker of a join URL: stolen credentials, forged ones and none. */
async function assertIdentitiesAt(joinUrl: string): Promise<void> {
  const keys = createNatsKeys("user");
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ publicKey: keys.publicKey });
  const { natsUrl: servers, token } = await (await fetch(joinUrl, { method: "POST", headers, body })).json();
  const name = "w-victim";
  const thief = createNatsKeys("user");
  const { token: forged, worker } = issueCredential(
    createNatsKeys("account"),
    thief.publicKey,
    systemClock.now(),
    3_600_000,
  );
  const identity = { keys, token: () => token };
  await (await openConnection({ servers, name, identity })).close();
  await assertRefused({ servers, name, identity: { keys: thief, token: () => token } });
  await assertRefused({
    ...{ servers, name: worker, inboxPrefix: inboxPrefix(worker) },
    identity: { keys: thief, token: () => forged },
  });
  await assertRefused({ servers, name });
}

/** The adapter's hash. */
async function train(
  folder: string,
  { binary, version }: { binary: string; version: string },
): Promise<string> {
  const env = { LORAFLEET_NATS_SERVER: binary };
  await using coordinator = startCoordinatorChild(`${folder}/data`, [], env);
  const joinUrl = await coordinator.joinUrl();
  assert(coordinator.stderr().includes(`nats-server ${version} listens on`), coordinator.stderr());
  await assertIdentitiesAt(joinUrl);
  await using workers = new AsyncDisposableStack();
  for (const name of ["w-a", "w-b"]) {
    const worker = startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 15 });
    workers.defer(() => worker.stop());
  }
  const api = coordinator.api();
  const id = await submitJob(api, TRAINING);
  const job = () => jobOf(api, id);
  await until("the first steps", async () => (await job()).step >= 3, coordinator.stderr);
  Deno.kill((await natsPidOf(`${folder}/data`))!, "SIGKILL");
  await until("the job's end", async () => (await job()).status === "succeeded", coordinator.stderr);
  assertMatch(coordinator.stderr(), /nats-server listens on port \d+ again/);
  return await adapterHash(join(folder, "data"));
}

const binaries = natsBinaries();
const adapters: string[] = [];

for (const found of binaries) {
  Deno.test(`with nats-server ${found.version} identities are enforced, and a job outlives its broker's end`, () =>
    withFolder(async (folder) => void adapters.push(await train(folder, found))));
}

Deno.test("each of these versions has made the same adapter", () => {
  assertEquals(adapters, binaries.map(() => adapters[0]!));
});
