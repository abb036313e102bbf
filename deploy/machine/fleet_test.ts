import { assertEquals, assertRejects } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { Children } from "./children.ts";
import { watchFleet } from "./fleet.ts";

const env = { PATH: Deno.env.get("PATH")! };

Deno.test("a worker that ends by itself is reported, the ones that are told to end are not", async () => {
  const folder = await Deno.makeTempDir();
  const children = new Children(folder, systemClock);
  const start = (name: string, seconds: string) => children.startCommand(name, "sleep", [seconds], env);
  try {
    const workers = [start("worker-1", "0.05"), start("worker-2", "30"), start("worker-3", "30")];
    const lost: string[] = [];
    const broken = watchFleet(start("coordinator", "30"), workers, (message) => lost.push(message));
    await workers[0]!.ended;
    await children.stopAll();
    await assertRejects(() => broken, LoraFleetError, "ended with exit code 143");
    assertEquals(lost, ["worker-1 ended with exit code 0: it wrote nothing; 2 left"]);
  } finally {
    await children.stopAll();
    await Deno.remove(folder, { recursive: true });
  }
});
