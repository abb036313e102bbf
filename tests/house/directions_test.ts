import { assertEquals } from "@std/assert";
import { brokenDirections, roomOf } from "./directions.ts";
import { readImportGraph } from "./import_graph.ts";
import { FOLDER_IMPORTS, withoutKnown } from "./known.ts";
import { ALL, ROOMS } from "./rooms.ts";

Deno.test("imports follow the tables of rooms.ts", async () => {
  const graph = await readImportGraph();
  for (const path of ["shared/errors.ts", "worker/engine/engine.ts", "coordinator/fleet/fleet.ts"]) {
    assertEquals(graph.has(path), true, `${path} is not in the graph: the test would see nothing`);
  }
  assertEquals(brokenDirections(withoutKnown(graph, FOLDER_IMPORTS)), []);
});

Deno.test("a room imports only rooms above its own line", () => {
  for (const [side, rooms] of Object.entries(ROOMS)) {
    const names = Object.keys(rooms);
    names.forEach((room, line) => {
      const allowed = rooms[room]!;
      if (allowed === ALL) return;
      for (const target of allowed) {
        const above = names.slice(0, line);
        assertEquals(above.includes(target), true, `${side}/${room} names ${target}, which is not above it`);
      }
    });
  }
});

const broken = (from: string, ...imports: string[]) => brokenDirections(new Map([[from, imports]])).length;

Deno.test("sides: an example breaks each rule", () => {
  assertEquals(broken("coordinator/main.ts", "shared/errors.ts", "coordinator/fleet/fleet.ts"), 0);
  assertEquals(broken("coordinator/api/app.ts", "worker/fleet/agent.ts"), 1);
  assertEquals(broken("worker/fleet/agent.ts", "coordinator/fleet/fleet.ts"), 1);
  assertEquals(broken("worker/fleet/agent_test.ts", "coordinator/fleet/fleet.ts"), 1);
  assertEquals(broken("shared/errors.ts", "worker/fleet/agent.ts"), 1);
  assertEquals(broken("deploy/demo/main.ts", "coordinator/fleet/fleet.ts"), 1);
  assertEquals(broken("worker/fleet/agent.ts", "tests/sim/world.ts"), 1);
  assertEquals(broken("worker/fleet/agent_test.ts", "tests/sim/world.ts"), 0);
});

Deno.test("rooms: an example breaks each rule", () => {
  assertEquals(roomOf("coordinator/api/transport/form.ts"), "coordinator/api");
  assertEquals(roomOf("coordinator/main.ts"), "coordinator/.");
  assertEquals(broken("coordinator/jobs/job.ts", "coordinator/fleet/fleet.ts"), 0);
  assertEquals(broken("coordinator/fleet/fleet.ts", "coordinator/jobs/job.ts"), 1);
  assertEquals(broken("coordinator/fleet/fleet_test.ts", "coordinator/jobs/job.ts"), 0);
  assertEquals(broken("coordinator/api/jobs.ts", "coordinator/api/transport/form.ts"), 0);
  assertEquals(broken("coordinator/jobs/job.ts", "coordinator/main.ts"), 1);
  assertEquals(broken("coordinator/jobs/job.ts", "coordinator/jobs/job_store_contract.ts"), 0);
  assertEquals(broken("coordinator/api/jobs.ts", "coordinator/testing/memory_job_store.ts"), 1);
  assertEquals(broken("coordinator/cellar/job.ts", "coordinator/fleet/fleet.ts"), 1);
});

Deno.test("boundaries: an example breaks each rule", () => {
  assertEquals(broken("worker/kernels/a.ts", "shared/bus/bus.ts"), 1);
  assertEquals(
    broken("worker/step/train_step.ts", "worker/engine/engine.ts", "worker/allreduce/round.ts"),
    0,
  );
  assertEquals(broken("worker/job/host.ts", "worker/engine/engine.ts", "worker/allreduce/round.ts"), 2);
  // As an import of a room, and as a reach.
  assertEquals(broken("worker/allreduce/a.ts", "worker/device/gpu.ts"), 2);
  const graph = new Map([
    ["worker/kernels/a.ts", ["shared/b.ts"]],
    ["shared/b.ts", ["shared/protocol/messages_worker.ts"]],
  ]);
  assertEquals(
    brokenDirections(graph)[0],
    "worker/kernels/a.ts reaches shared/protocol/messages_worker.ts: the GPU's code knows no messages",
  );
});
