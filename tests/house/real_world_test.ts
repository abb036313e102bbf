import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { repositoryRoot, sourceFiles } from "./import_graph.ts";
import { realWorldUses } from "./real_world.ts";

Deno.test("clocks, timers and randomness live in mains and adapters", () => {
  const uses = sourceFiles().flatMap((path) =>
    realWorldUses(path, Deno.readTextFileSync(join(repositoryRoot, path)))
  );
  assertEquals(uses, []);
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
