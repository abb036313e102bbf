/** A joined process that does no work and lies over HTTP and NATS: the job does not notice, and who lied is thrown out. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { systemClock } from "../../shared/clock.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import type { Agent } from "../../worker/fleet/agent.ts";
import { createWorkerIdentity } from "../../worker/fleet/identity.ts";
import { messagesOf, startCoordinatorChild, submitJob, until, withFolder } from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";

const TRAINING = {
  ...{
    max_steps: 20,
    gradient_accumulation_steps: 4,
    learning_rate: 1e-2,
    save_strategy: "steps",
    save_steps: 5,
  },
};
const EVIL = new TextEncoder().encode("evil".repeat(300));

/** Of a process in bytes. */
async function residentBytes(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return 1024 * Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]);
}

Deno.test("uploads for others and floods: honest workers stay, the liar's credentials end, the adapter is the honest one", () =>
  withFolder(async (folder) => {
    await using stack = new AsyncDisposableStack();
    const coordinator = stack.use(startCoordinatorChild(`${folder}/data`));
    const joinUrl = await coordinator.joinUrl();
    const api = coordinator.api();
    const agents: Agent[] = [];
    stack.defer(async () => void await Promise.all(agents.map((agent) => agent.stop())));
    for (const name of ["one", "two"]) {
      agents.push(startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 20 }));
    }
    const get = async (path: string) => await (await fetch(`${api}${path}`)).json();
    const artifactsOf = async (id: string) =>
      (await get(`/fine_tuning/jobs/${id}/artifacts`)).data.map((
        { step, name, sha256 }: { step: number; name: string; sha256: string },
      ) => [step, name, sha256]);
    const finished = async (id: string) => {
      await until(
        "the end of the job",
        async () => (await get(`/fine_tuning/jobs/${id}`)).finished_at !== null,
      );
      return await get(`/fine_tuning/jobs/${id}`);
    };
    const honest = await finished(await submitJob(api, TRAINING));
    assertEquals(honest.status, "succeeded");
    const wanted = await artifactsOf(honest.id);
    assertEquals(wanted.map(([step]: [number]) => step), [20, 20]);

    const liar = createWorkerIdentity({
      ...{ url: joinUrl, fetch, clock: systemClock, timeoutMs: 5000, tlsCa: null, onBusError: () => {} },
    });
    const reply = await liar.join(AbortSignal.timeout(5000), null);
    const bus = await liar.connect(reply, "control", () => reply.token);
    stack.defer(() => bus.close().catch(() => {}));
    const id = await submitJob(api, TRAINING);
    await until("its first step", async () => (await get(`/fine_tuning/jobs/${id}`)).step > 0);
    const refusals: [number, string][] = [];
    for (
      const [step, name, bytes] of [
        [999_999, "adapter_model.safetensors", EVIL],
        [20, "adapter_model.safetensors", EVIL],
        [20, "adapter_config.json", EVIL],
        [5, "training_state.safetensors", new Uint8Array(2 ** 22)],
      ] as const
    ) {
      const response = await fetch(`${reply.httpUrl}/internal/jobs/${id}/checkpoints/${step}/${name}`, {
        method: "PUT",
        headers: {
          "authorization": `Bearer ${reply.token}`,
          "x-lorafleet-sha256": createHash("sha256").update(bytes).digest("hex"),
        },
        body: bytes,
      });
      refusals.push([response.status, (await response.json()).error.message]);
    }
    for (const [status, message] of refusals) {
      assert(status === 409 || status === 403, `${status}: ${message}`);
      assertMatch(message, /no checkpoint of step \d+ is taken|another worker was asked/);
    }

    const before = await residentBytes(coordinator.pid);
    let slowestMs = 0;
    const health = async () => {
      const startedAt = systemClock.now();
      await (await fetch(new URL("/healthz", api))).body?.cancel();
      slowestMs = Math.max(slowestMs, systemClock.now() - startedAt);
    };
    const shout = (count: number, subject: string, bytes: Uint8Array) => {
      for (let sent = 0; sent < count; sent++) bus.publish(subject, bytes);
    };
    for (let round = 0; round < 20; round++) {
      try {
        shout(1000, subjects.heartbeatSubject(liar.worker), new Uint8Array(0));
        shout(10, subjects.reportSubject(id, liar.worker), new Uint8Array(7 * 2 ** 20));
        await bus.flush();
      } catch {
        // It is cut off, by the broker for its size or by the coordinator.
      }
      await health();
    }
    const grown = await residentBytes(coordinator.pid) - before;
    const disturbed = await finished(id);
    assertEquals([disturbed.status, disturbed.error], ["succeeded", null]);
    assertEquals(await artifactsOf(id), wanted);
    const workers = (await get("/workers")).data.filter(({ state }: { state: string }) => state !== "lost");
    assertEquals(
      workers.map(({ name, strikes }: { name: string; strikes: string[] }) => [name, strikes]).sort(),
      [
        ["one", []],
        ["two", []],
      ],
    );
    const lines = coordinator.stderr().split("\n").filter((line) => line.includes("is ignored"));
    assert(lines.length <= 10, lines.join("\n"));
    await until("its end", async () => {
      const response = await fetch(`${reply.httpUrl}/v1/base-models/x`, {
        headers: { authorization: `Bearer ${reply.token}` },
      });
      await response.body?.cancel();
      return response.status === 401;
    });
    assertMatch(
      (await messagesOf(api, id)).join("\n"),
      new RegExp(`${liar.worker} has sent too many messages that no worker sends`),
    );
    console.log(
      `resident memory grew by ${Math.round(grown / 2 ** 20)} MiB, /healthz took ${slowestMs} ms at most`,
    );
    assert(grown < 64 * 2 ** 20, `${grown} bytes`);
  }));
