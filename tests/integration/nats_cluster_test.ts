/**
 * A job on a cluster of three nats-servers, each of which is killed and started again while one of the workers is behind a leaf
 * node; then two of three are away. Whatever happens, the adapter is that of a job on one server that nothing has happened to.
 */
import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { ensureClusterBinary } from "../../coordinator/broker/nats_binaries_fixture.ts";
import { openConnection } from "../../shared/bus/nats_connection.ts";
import { systemClock } from "../../shared/clock.ts";
import {
  jobOf,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { adapterHash } from "./adapter_hash.ts";
import { assertIdentities, assertRefused } from "./enforced_identities.ts";
import { startTestNatsCluster, type TestNatsCluster } from "./nats_cluster.ts";
import { startToyWorker } from "./toy_worker.ts";

const STEPS = 60;
const TRAINING = {
  max_steps: STEPS,
  gradient_accumulation_steps: 4,
  learning_rate: 1e-2,
  logging_steps: 1,
  save_strategy: "no",
};

interface Trial {
  readonly api: string;
  readonly jobId: string;
  reached(step: number): Promise<void>;
}

interface Trained {
  readonly messages: readonly string[];
  /** One line for each step. */
  readonly losses: readonly string[];
  readonly adapter: string;
  readonly log: string;
}

/** Two workers train a job; on the coordinator's own broker if `cluster` is null. */
async function train(
  cluster: TestNatsCluster | null,
  disturb: (trial: Trial) => Promise<void>,
): Promise<Trained> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-cluster-" });
  await using children = new AsyncDisposableStack();
  children.defer(() => Deno.remove(folder, { recursive: true }));
  const coordinator = children.use(startCoordinatorChild(`${folder}/data`, [], cluster?.environment ?? {}));
  const joinUrl = await coordinator.joinUrl();
  const toy = { joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 15 };
  const workers = [
    startToyWorker({ ...toy, name: "w-near" }),
    startToyWorker({ ...toy, name: "w-far", ...(cluster === null ? {} : { natsUrl: cluster.leafUrl }) }),
  ];
  children.defer(async () => void await Promise.all(workers.map((worker) => worker.stop())));
  const api = coordinator.api();
  const bothAreThere = async () => {
    const { data } = await (await fetch(`${api}/workers`)).json();
    return data.filter(({ state }: { state: string }) => state === "ready").length === 2;
  };
  await until("both workers", bothAreThere, coordinator.stderr);
  const jobId = await submitJob(api, TRAINING);
  const job = () => jobOf(api, jobId);
  await disturb({
    ...{ api, jobId },
    reached: (step) => until(`step ${step}`, async () => (await job()).step >= step, coordinator.stderr),
  });
  const isOver = async () => ["succeeded", "failed", "cancelled"].includes((await job()).status);
  await until("the end of the job", isOver, coordinator.stderr);
  assertEquals((await job()).status, "succeeded", JSON.stringify((await job()).error));
  const messages = await messagesOf(api, jobId);
  const losses = messages.filter((message) => /^Step \d+\//.test(message));
  const adapter = await adapterHash(`${folder}/data`);
  // So that the next one need not wait for its lease to end.
  coordinator.kill("SIGTERM");
  await coordinator.ended;
  return { messages, losses, adapter, log: coordinator.stderr() };
}

async function readiness(api: string): Promise<{ status: number; text: string }> {
  const response = await fetch(api.replace("/v1", "/readyz"));
  return { status: response.status, text: await response.text() };
}

const title = "a cluster of three loses any of its servers, and its quorum: the job's adapter is the same";

Deno.test(`${title} [ignored without nats-server 2.12 or Go]`, {
  ignore: await ensureClusterBinary() === null,
}, async (t) => {
  const undisturbed = await train(null, () => Promise.resolve());
  assertEquals(undisturbed.losses.length, STEPS);
  await withFolder(async (folder) => {
    await using cluster = await startTestNatsCluster(folder);

    await t.step(
      "every server and the leaf node enforce the workers' identities",
      async () => {
        const { revoked, fresh } = await assertIdentities(cluster);
        // Its configuration holds the account as it was before.
        await cluster.kill(2);
        await cluster.start(2);
        for (const servers of cluster.urls) {
          await assertRefused({ ...revoked, servers });
          await (await openConnection({ ...fresh(), servers })).close();
        }
      },
    );

    await t.step("each server is killed once", async () => {
      const { losses, adapter, log } = await train(cluster, async ({ reached }) => {
        for (const index of [0, 1, 2]) {
          await reached(5 + 15 * index);
          await cluster.kill(index);
          const killedAt = systemClock.now();
          await reached(8 + 15 * index);
          assertLess(systemClock.now() - killedAt, 20_000);
          await cluster.start(index);
        }
      });
      assertEquals([losses, adapter], [undisturbed.losses, undisturbed.adapter]);
      assertMatch(log, /streams have 3 replicas: any one server of the cluster may be away/);
    });

    await t.step("two of three are away: the job waits, says so, and goes on", async () => {
      const { losses, adapter, messages } = await train(cluster, async ({ api, jobId, reached }) => {
        await reached(5);
        await Promise.all([cluster.kill(0), cluster.kill(1)]);
        await until(
          "the event",
          async () =>
            (await messagesOf(api, jobId)).some((message) => /^The broker does not store/.test(message)),
        );
        const { step } = await jobOf(api, jobId);
        const { status, text } = await readiness(api);
        assertEquals(status, 503);
        assertMatch(
          text,
          /no server of the cluster .*lorafleet.* leads it now, and a majority of them has to run/,
        );
        await systemClock.sleep(2000);
        assertEquals((await jobOf(api, jobId)).step, step);
        await Promise.all([cluster.start(0), cluster.start(1)]);
        await reached(step + 5);
        await until("readiness", async () => (await readiness(api)).status === 200);
      });
      assertEquals([losses, adapter], [undisturbed.losses, undisturbed.adapter]);
      const told = messages.filter((message) => /^The broker/.test(message)).join("\n");
      assertMatch(told, /does not store messages \(.* a majority of them has to run: .*\): the job waits/);
      assertMatch(told, /The broker stores messages again, after \d+ s: the job goes on/);
    });
  });
});
