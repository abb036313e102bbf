/** What our own broker lets a worker do: tried at a real nats-server, with everything that a worker could wish for. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { updateNatsAccount } from "../../shared/bus/nats_account_update.ts";
import { connectNatsBus } from "../../shared/bus/nats_bus.ts";
import { type NatsConnectionOptions, openConnection } from "../../shared/bus/nats_connection.ts";
import { createNatsKeys, type NatsKeys } from "../../shared/bus/nats_keys.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { workerIdOf } from "../../shared/protocol/ids.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import { brokerAccounts, fleetToken, masterOf } from "../../shared/bus/nats_accounts.ts";
import { natsBinaries } from "./nats_binaries_fixture.ts";
import { startNatsServer } from "./nats_server.ts";
import { issueCredential } from "../access/worker_credentials.ts";

const HOUR_MS = 3_600_000;
const JOB = "ftjob-a";
const keys = {
  operator: createNatsKeys("operator"),
  fleet: createNatsKeys("account"),
  streams: createNatsKeys("account"),
  system: createNatsKeys("account"),
};
const seconds = () => Math.floor(systemClock.now() / 1000);
const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (data: Uint8Array) => new TextDecoder().decode(data);
const throwIt = (_message: string, thrown: unknown) => {
  throw thrown;
};

interface Broker {
  readonly url: string;
  /** Connection options of a worker, and its id. */
  worker(keys?: NatsKeys, lifetimeMs?: number): NatsConnectionOptions & { readonly id: string };
  master(account: "fleet" | "streams" | "system"): NatsConnectionOptions;
}

const binaries = natsBinaries();

/** One after the other with each version of the broker that is here. */
async function withBroker(body: (broker: Broker) => Promise<void>): Promise<void> {
  for (const { binary, version } of binaries) {
    try {
      await withBrokerOf(binary, body);
    } catch (thrown) {
      throw new Error(`with nats-server ${version}: ${messageOf(thrown)}`, { cause: thrown });
    }
  }
}

async function withBrokerOf(binary: string, body: (broker: Broker) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const server = await startNatsServer({
    binary,
    ...{ folder, host: "127.0.0.1", port: 0, tls: null, clock: systemClock },
    accounts: () => brokerAccounts(keys, [], seconds()),
  });
  try {
    await body({
      url: server.url,
      worker(pair = createNatsKeys("user"), lifetimeMs = HOUR_MS) {
        const { token, worker } = issueCredential(keys.fleet, pair.publicKey, systemClock.now(), lifetimeMs);
        return {
          id: worker,
          servers: server.url,
          name: worker,
          identity: { keys: pair, token: () => token },
          inboxPrefix: subjects.inboxPrefix(worker),
        };
      },
      master: (account) => ({
        servers: server.url,
        name: account,
        identity: masterOf(keys[account], createNatsKeys("user"), seconds()),
      }),
    });
  } finally {
    await server.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

const connectCoordinator = (broker: Broker) =>
  connectNatsBus({
    ...broker.master("fleet"),
    storeIdentity: broker.master("streams").identity!,
    onError: throwIt,
  });

/** Which published subjects reach the coordinator, and which the broker refuses. */
async function trySubjects(
  broker: Broker,
  worker: NatsConnectionOptions,
  publishTo: readonly string[],
  subscribeTo: readonly string[],
): Promise<{ readonly received: string[]; readonly refused: string[] }> {
  const coordinator = await openConnection(broker.master("fleet"));
  const received: string[] = [];
  coordinator.subscribe(">", { callback: (_error, { subject }) => void received.push(subject) });
  await coordinator.flush();
  const connection = await openConnection(worker);
  const refused: string[] = [];
  const watching = (async () => {
    for await (const status of connection.status()) {
      if (status.type === "error") refused.push(/"([^"]+)"/.exec(status.error.message)![1]!);
    }
  })();
  for (const subject of publishTo) connection.publish(subject, "x");
  for (const subject of subscribeTo) connection.subscribe(subject, { callback: () => {} });
  await connection.flush();
  // Refusals arrive in order, before the answer to the second flush.
  await connection.flush();
  await coordinator.flush();
  await connection.close();
  await watching;
  await coordinator.close();
  return { received, refused };
}

Deno.test("a worker may publish and subscribe to its own subjects", () =>
  withBroker(async (broker) => {
    const worker = broker.worker();
    const gradients = subjects.gradientSubjects(JOB);
    const publishTo = [
      subjects.helloSubject(worker.id),
      subjects.leaveSubject(worker.id),
      subjects.heartbeatSubject(worker.id),
      subjects.reportSubject(JOB, worker.id),
      subjects.updateSubject(JOB, worker.id),
      subjects.failureSubject(JOB, worker.id),
      subjects.checkpointSubject(JOB, worker.id),
      subjects.itemSubject(JOB, worker.id),
      subjects.rowsSubject(JOB, worker.id),
      gradients.reduceScatter(7, "w-other", worker.id),
      gradients.allGather(7, worker.id),
      gradients.ack(7, "w-other", worker.id),
      subjects.recoverSubject(JOB, "w-other"),
    ];
    const subscribeTo = [
      subjects.FLEET_SUBJECT,
      subjects.stateSubject(JOB),
      gradients.reduceScatterTo(worker.id),
      gradients.allGather(7, "w-other"),
      gradients.ackTo(worker.id),
      subjects.recoverSubject(JOB, worker.id),
      `${subjects.inboxPrefix(worker.id)}.a.b`,
    ];
    const { received, refused } = await trySubjects(broker, worker, publishTo, subscribeTo);
    assertEquals(refused, []);
    assertEquals(received, publishTo);
  }));

Deno.test("a worker is refused the subjects of other workers and of the coordinator", () =>
  withBroker(async (broker) => {
    const worker = broker.worker();
    const other = broker.worker().id;
    const gradients = subjects.gradientSubjects(JOB);
    const publishTo = [
      subjects.helloSubject(other),
      subjects.leaveSubject(other),
      subjects.heartbeatSubject(other),
      subjects.reportSubject(JOB, other),
      subjects.updateSubject(JOB, other),
      subjects.failureSubject(JOB, other),
      subjects.checkpointSubject(JOB, other),
      subjects.itemSubject(JOB, other),
      subjects.rowsSubject(JOB, other),
      gradients.reduceScatter(7, worker.id, other),
      gradients.reduceScatter(7, other, other),
      gradients.allGather(7, other),
      gradients.ack(7, worker.id, other),
      subjects.FLEET_SUBJECT,
      subjects.stateSubject(JOB),
      subjects.commitsSubject(JOB),
      subjects.workSubject(JOB, 1, 1),
      `${subjects.inboxPrefix(other)}.a`,
      "_INBOX.a",
      "other.subject",
      "$SYS.REQ.CLAIMS.UPDATE",
      `$KV.${subjects.LEADER_LEASE}.holder`,
      `$JS.API.STREAM.DELETE.${subjects.commitLogName(JOB)}`,
      `$JS.API.STREAM.INFO.${subjects.commitLogName(JOB)}`,
      "$JS.API.STREAM.CREATE.x",
      `$JS.API.CONSUMER.CREATE.${subjects.workQueueName(JOB)}`,
    ];
    const subscribeTo = [
      ">",
      "lf.>",
      subjects.heartbeatSubject(subjects.ANY),
      subjects.reportSubject(JOB, subjects.ANY),
      subjects.itemSubject(JOB, subjects.ANY),
      subjects.rowsSubject(JOB, subjects.ANY),
      gradients.reduceScatterTo(other),
      gradients.ackTo(other),
      subjects.recoverSubject(JOB, other),
      subjects.recoverSubject(JOB, subjects.ANY),
      `${subjects.inboxPrefix(other)}.>`,
      "_INBOX.>",
      "$SYS.>",
    ];
    const { received, refused } = await trySubjects(broker, worker, publishTo, subscribeTo);
    assertEquals(received, []);
    assertEquals(new Set(refused), new Set([...publishTo, ...subscribeTo]));
  }));

Deno.test("stolen credentials without the key are refused, and so is a token signed by someone else", () =>
  withBroker(async (broker) => {
    const victim = broker.worker();
    const thief = createNatsKeys("user");
    const own = createNatsKeys("account");
    const forged = issueCredential(own, thief.publicKey, systemClock.now(), HOUR_MS).token;
    for (const token of [victim.identity!.token(), forged, "", "a.b.c"]) {
      const attempt = { servers: broker.url, name: "thief", identity: { keys: thief, token: () => token } };
      const error = await assertRejects(() => openConnection(attempt), LoraFleetError);
      assertEquals(error.code, "unauthorized", error.message);
    }
    const anonymous = await assertRejects(
      () => openConnection({ servers: broker.url, name: "nobody" }),
      LoraFleetError,
    );
    assertEquals(anonymous.code, "unauthorized");
  }));

Deno.test("a worker pulls work, acks it, and answers each request once", () =>
  withBroker(async (broker) => {
    const coordinator = await connectCoordinator(broker);
    const { id, ...options } = broker.worker();
    const worker = await connectNatsBus({ ...options, mayOnlyPull: true, onError: throwIt });
    const other = await connectNatsBus({ ...broker.worker(), mayOnlyPull: true, onError: throwIt });
    const name = subjects.workQueueName(JOB);
    await coordinator.ensureQueue(name, [subjects.allWorkSubject(JOB)], { ackWaitMs: 60_000 });
    for (const index of [0, 1]) {
      const item = subjects.workItemId(JOB, 1, 1, index);
      await coordinator.enqueue(subjects.workSubject(JOB, 1, 1), bytes(`${index}`), item);
    }
    const queue = await worker.openQueue(name);
    const first = await queue.pull(5000);
    first!.working();
    await first!.ack();
    const second = await queue.pull(5000);
    second!.nak();
    const again = await (await other.openQueue(name)).pull(5000);
    assertEquals([first!.data, again!.data].map(textOf), ["0", "1"]);
    assertEquals(again!.deliveryCount, 2);
    await again!.ack();
    assertEquals(await queue.pull(50), null);

    worker.subscribe(subjects.recoverSubject(JOB, id), ({ data, respond }) => respond(data));
    await worker.flush();
    const answer = await other.request(subjects.recoverSubject(JOB, id), bytes("state"), 5000);
    assertEquals(textOf(answer), "state");
    await Promise.all([coordinator, worker, other].map((bus) => bus.close()));
  }));

Deno.test("no reply subject makes the broker or the coordinator delete a stream", () =>
  withBroker(async (broker) => {
    const coordinator = await connectCoordinator(broker);
    const log = subjects.commitLogName(JOB);
    await coordinator.ensureStream(log, subjects.commitsSubject(JOB));
    await coordinator.append(subjects.commitsSubject(JOB), bytes("commit"), 0);
    const queue = subjects.workQueueName(JOB);
    await coordinator.ensureQueue(queue, [subjects.allWorkSubject(JOB)], { ackWaitMs: 60_000 });
    const announced: string[] = [];
    coordinator.subscribe(subjects.FLEET_SUBJECT, ({ data }) => void announced.push(textOf(data)));
    let isLastHeard = false;
    coordinator.subscribe(subjects.helloSubject(subjects.ANY), ({ data, respond }) => {
      isLastHeard ||= textOf(data) === "last";
      respond(bytes("welcome"));
    });
    await coordinator.flush();

    const worker = broker.worker();
    const connection = await openConnection(worker);
    const pull = `$JS.API.CONSUMER.MSG.NEXT.${queue}.${subjects.WORK_CONSUMER}`;
    for (const verb of ["DELETE", "PURGE"]) {
      const reply = `$JS.API.STREAM.${verb}.${log}`;
      connection.publish(pull, JSON.stringify({ batch: 1, no_wait: true }), { reply });
      connection.publish(subjects.helloSubject(worker.id), "hello", { reply });
    }
    // nats-server 2.15 drops what wants its answer at the API; the others come before this one.
    connection.publish(subjects.helloSubject(worker.id), "last", { reply: subjects.FLEET_SUBJECT });
    await connection.flush();
    while (!isLastHeard) await systemClock.sleep(10);
    await coordinator.flush();
    await systemClock.sleep(100);
    assertEquals((await coordinator.readStream(log)).map(({ data }) => textOf(data)), ["commit"]);
    assertEquals(announced, []);
    await connection.close();
    await coordinator.close();
  }));

Deno.test("a revoked worker is disconnected at once and cannot reconnect; the others are unaffected", () =>
  withBroker(async (broker) => {
    const [pair, stays] = [createNatsKeys("user"), broker.worker()];
    const [bad, good] = [await openConnection(broker.worker(pair)), await openConnection(stays)];
    let isCut = false;
    const watching = (async () => {
      for await (const { type } of bad.status()) isCut ||= type === "disconnect";
    })();
    const revocation = { publicKey: pair.publicKey, revokedAt: seconds() + 1 };
    const began = systemClock.now();
    await updateNatsAccount(broker.master("system"), fleetToken(keys, [revocation], seconds()));
    while (!isCut) await systemClock.sleep(10);
    assert(systemClock.now() - began < 5000);
    await bad.close();
    await watching;
    await good.flush();
    assertEquals(good.stats().inMsgs, 0);
    const refused = await assertRejects(() => openConnection(broker.worker(pair)), LoraFleetError);
    assertEquals(refused.code, "unauthorized");
    await good.close();
  }));

Deno.test("an expired token closes the connection; with the next one the worker reconnects by itself", () =>
  withBroker(async (broker) => {
    const pair = createNatsKeys("user");
    let { token } = issueCredential(keys.fleet, pair.publicKey, systemClock.now(), 1000);
    const statuses: string[] = [];
    const bus = await connectNatsBus({
      servers: broker.url,
      name: "short",
      identity: { keys: pair, token: () => token },
      mayOnlyPull: true,
      inboxPrefix: subjects.inboxPrefix(workerIdOf(pair.publicKey)),
      onError: () => {},
    });
    bus.onStatus((status) => void statuses.push(status));
    token = issueCredential(keys.fleet, pair.publicKey, systemClock.now(), HOUR_MS).token;
    for (let tries = 0; statuses.length < 2; tries++) {
      assert(tries < 1000, `only ${statuses}`);
      await systemClock.sleep(20);
    }
    assertEquals(statuses, ["disconnected", "reconnected"]);
    await bus.flush();
    await bus.close();
  }));
