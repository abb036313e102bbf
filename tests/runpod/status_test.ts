/** `status` beside a test RunPod and a coordinator's list of workers. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parseOptions } from "../../deploy/runpod/options.ts";
import { JOIN, MINUTE, type PodsWorld, withPods } from "./pods_fixture.ts";

const COORDINATOR = new URL(JOIN).origin;

/** A worker as the coordinator's API shows it, with fields that `status` does not read. */
function worker(world: PodsWorld, name: string, more: Record<string, unknown> = {}) {
  const now = Math.floor(world.clock.now() / 1000);
  return {
    ...{
      object: "worker",
      id: `id-of-${name}`,
      incarnation: "i",
      name,
      gpu: "NVIDIA RTX 3090",
      state: "working",
    },
    ...{ job_id: "ftjob-1", joined_at: now - 60, last_heartbeat_at: now, max_heartbeat_gap_ms: 3 },
    ...{ micro_batches_done: 7, tokens_per_second: 1234.4, gradient_bytes_sent: 1, reason: null },
    ...{ strikes: [], accusations: [], quarantine: null, ...more },
  };
}

const list = (...data: readonly unknown[]) => ({ object: "list", data, has_more: false });

/** Three pods of the default fleet: s1, s2, s3. */
const withThree = (body: (world: PodsWorld) => Promise<void>) =>
  withPods(async (world) => {
    assertEquals(await world.up("--gpu RTX-3090 --count 3"), null);
    await body(world);
    await world.down();
  });

Deno.test("status shows the worker of each pod, and of a pod without one how long it has been there", () =>
  withThree(async (world) => {
    await world.clock.advance(12 * MINUTE);
    const [first, lost] = ["lorafleet.default.any.s1", "lorafleet.default.any.s2"];
    const heard = Math.floor(world.clock.now() / 1000) - 300;
    world.workersOf.set(
      COORDINATOR,
      list(
        worker(world, first),
        // It has joined again: the lost one is an earlier process of the same pod.
        worker(world, first, { state: "lost", job_id: null, reason: "no heartbeat for 2.1 s" }),
        worker(world, lost, {
          state: "lost",
          job_id: null,
          last_heartbeat_at: heard,
          reason: "no heartbeat for 2.0 s",
        }),
        worker(world, "a machine at home", { state: "ready" }),
      ),
    );
    const text = await world.status();
    assertMatch(text, /s1 +working +ftjob-1 +1234 +0 s ago\n/);
    assertMatch(text, /s2 +lost +- +1234 +5 min ago +no heartbeat for 2\.0 s\n/);
    assertMatch(text, /s3 +- +- +- +- +none has joined; the pod is 12 min old\n/);
    assertStringIncludes(text, "workers of the coordinator that are on none of these pods: 1");
    const { pods, other_workers } = JSON.parse(await world.status("--json"));
    assertEquals(pods[0].worker, {
      ...{ id: `id-of-${first}`, state: "working", job: "ftjob-1", tokens_per_second: 1234.4 },
      ...{ heard_seconds_ago: 0, reason: null },
    });
    assertEquals([pods[2].worker, Math.round(pods[2].minutes), other_workers], [null, 12, 1]);
  }));

Deno.test("a coordinator that is away, refuses, or is none: the pods and what they cost are shown all the same", () =>
  withThree(async (world) => {
    const away = await world.status();
    assertStringIncludes(away, "lorafleet.default.any.s3");
    assertStringIncludes(
      away,
      `what their workers do is not known: the coordinator at ${COORDINATOR} cannot be reached`,
    );
    assertMatch(away, /spent: \$/);
    world.workersOf.set(COORDINATOR, { error: "not this one" });
    assertStringIncludes(await world.status(), "is not a coordinator's");
    const json = JSON.parse(await world.status("--json"));
    assertEquals([json.pods.length, json.pods[0].worker, json.coordinator], [3, null, COORDINATOR]);
    assertMatch(json.workers_problem, /is not a coordinator's/);
  }));

Deno.test("whom status asks: --coordinator, else LORAFLEET_JOIN, else the coordinator that up was given", () =>
  withThree(async (world) => {
    for (const url of [COORDINATOR, "http://other:1"]) world.workersOf.set(url, list());
    assertEquals(JSON.parse(await world.status("--json")).coordinator, COORDINATOR);
    assertEquals(
      JSON.parse(await world.status("--json --coordinator http://other:1/")).coordinator,
      "http://other:1",
    );
    const parsed = (args: string, env: Record<string, string>) => {
      const options = parseOptions(args.split(" "), (name) => env[name]);
      assert(options?.kind === "status");
      return options.coordinator;
    };
    assertEquals(parsed("status", { LORAFLEET_JOIN: "https://x:1/join/secret" }), "https://x:1");
    assertEquals(parsed("status", { LORAFLEET_JOIN: "{{ RUNPOD_SECRET_join }}" }), null);
    assertEquals(parsed("status", {}), null);
    // A fleet that this machine did not rent.
    assertEquals(JSON.parse(await world.status("--json --fleet foreign")).coordinator, null);
  }));
