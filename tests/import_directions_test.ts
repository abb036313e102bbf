import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { brokenDirections, realWorldUses } from "./import_directions.ts";
import { parseGraph, readImportGraph, repositoryRoot, sourceFiles } from "./import_graph.ts";

Deno.test("imports go only where the architecture lets them", async () => {
  const graph = await readImportGraph();
  for (const path of ["shared/errors.ts", "worker/engine/engine.ts", "coordinator/fleet/fleet.ts"]) {
    assertEquals(graph.has(path), true, `${path} is not in the graph: the test would see nothing`);
  }
  assertEquals(brokenDirections(graph), []);
});

Deno.test("clocks, timers and randomness live in mains and adapters", () => {
  const uses = sourceFiles().flatMap((path) =>
    realWorldUses(path, Deno.readTextFileSync(join(repositoryRoot, path)))
  );
  assertEquals(uses, []);
});

Deno.test("each rule is broken by an example", () => {
  const broken = (from: string, ...imports: string[]) => brokenDirections(new Map([[from, imports]])).length;
  assertEquals(broken("coordinator/api/app.ts", "shared/errors.ts", "coordinator/fleet/fleet.ts"), 0);
  assertEquals(broken("coordinator/api/app.ts", "worker/fleet/agent.ts"), 1);
  assertEquals(broken("worker/fleet/agent.ts", "coordinator/fleet/fleet.ts"), 1);
  assertEquals(broken("worker/fleet/agent_test.ts", "coordinator/fleet/fleet.ts"), 1);
  assertEquals(broken("shared/errors.ts", "worker/fleet/agent.ts"), 1);
  assertEquals(broken("deploy/demo/main.ts", "coordinator/fleet/fleet.ts"), 1);
  assertEquals(broken("worker/fleet/agent.ts", "tests/sim/world.ts"), 2);
  assertEquals(broken("worker/fleet/agent_test.ts", "tests/sim/world.ts"), 0);
  assertEquals(broken("worker/kernels/a.ts", "shared/bus/bus.ts"), 1);
  assertEquals(broken("worker/allreduce/a.ts", "worker/device/gpu.ts"), 1);
  assertEquals(broken("worker/data.ts", "worker/engine/engine.ts", "worker/allreduce/round.ts"), 1);
  assertEquals(
    broken("worker/step/train_step.ts", "worker/engine/engine.ts", "worker/allreduce/round.ts"),
    0,
  );
});

Deno.test("a message is found behind other files too", () => {
  const graph = new Map([
    ["worker/kernels/a.ts", ["shared/b.ts"]],
    ["shared/b.ts", ["shared/protocol/messages.ts"]],
    ["shared/protocol/messages.ts", ["shared/b.ts"]],
  ]);
  assertEquals(brokenDirections(graph), [
    "worker/kernels/a.ts reaches shared/protocol/messages.ts: the GPU's code knows no messages",
  ]);
});

Deno.test("the real clock is seen in code, not in comments", () => {
  assertEquals(realWorldUses("worker/fleet/agent.ts", "const t = Date.now(); // Math.random").length, 1);
  assertEquals(
    realWorldUses("worker/fleet/agent.ts", "/** Math.random\n * setTimeout */\n// Date.now\nsetTimeoutMs")
      .length,
    0,
  );
  assertEquals(realWorldUses("worker/main.ts", "Date.now()").length, 0);
});

Deno.test("the graph keeps our files alone, types included", () => {
  const json = JSON.stringify({
    modules: [
      {
        specifier: "file:///r/a.ts",
        dependencies: [
          { specifier: "./b.ts", type: { specifier: "file:///r/b.ts" } },
          { specifier: "zod", code: { specifier: "npm:zod@4" } },
        ],
      },
      { specifier: "file:///r/b.ts" },
      { specifier: "file:///elsewhere/c.ts" },
    ],
  });
  assertEquals([...parseGraph(json, "/r")], [["a.ts", ["b.ts"]], ["b.ts", []]]);
});
