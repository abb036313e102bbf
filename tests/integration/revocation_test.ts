/** A worker that is thrown out, seen from all sides: broker, API, fleet, and the worker itself. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { startCoordinatorChild, until, withFolder } from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";

interface WorkerView {
  readonly id: string;
  readonly name: string;
  readonly state: string;
}

Deno.test("a revoked worker is cut off and ends with the reason; the other one stays, and so does who comes later", () =>
  withFolder(async (folder) => {
    await using coordinator = startCoordinatorChild(`${folder}/data`);
    const joinUrl = await coordinator.joinUrl();
    const start = (name: string) =>
      startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 1 });
    const views = async (): Promise<WorkerView[]> =>
      (await (await fetch(`${coordinator.api()}/workers`)).json()).data;
    const stateOf = async (name: string) => (await views()).find((view) => view.name === name)?.state;
    const [bad, good] = [start("bad"), start("good")];
    try {
      await until(
        "both workers",
        async () => await stateOf("bad") === "ready" && await stateOf("good") === "ready",
      );
      const { id } = (await views()).find(({ name }) => name === "bad")!;
      const ended = assertRejects(() => bad.ended, LoraFleetError);
      const response = await fetch(`${coordinator.api()}/workers/${id}`, { method: "DELETE" });
      assertEquals(response.status, 200, await response.text());
      await until("its loss", async () => await stateOf("bad") === "lost");
      assertEquals(await stateOf("good"), "ready");
      // It looks for its coordinator when nothing is heard any more, and is told.
      const error = await ended;
      assertEquals(error.code, "unauthorized");
      assertStringIncludes(error.message, `worker ${id} was revoked`);
      const later = start("later");
      await until("the next one", async () => await stateOf("later") === "ready");
      await later.stop();
      assertEquals(await stateOf("good"), "ready");
    } finally {
      await Promise.all([bad.stop(), good.stop()]);
    }
  }));
