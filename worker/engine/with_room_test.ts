import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { withRoom } from "./with_room.ts";

const full = new LoraFleetError("does_not_fit", 'Computing "loss" failed on a GPU: Out of memory');

/** A model of so many kept layers, and a computation that has room from `enough` layers down. */
function bench(keptLayers: number, enough: number, failure: Error = full) {
  const model = {
    keptLayers,
    keepFewerLayers: () => model.keptLayers > 1 && (model.keptLayers >>= 1) > 0,
  };
  const notes: string[] = [];
  let calls = 0;
  const run = () =>
    withRoom(
      model,
      () => {
        calls++;
        return model.keptLayers <= enough ? Promise.resolve("done") : Promise.reject(failure);
      },
      (note) => notes.push(note),
    );
  return { model, notes, run, calls: () => calls };
}

Deno.test("a computation without room is done again with half of the layers, until there is room", async () => {
  const { model, notes, run, calls } = bench(32, 9);
  assertEquals([await run(), calls(), model.keptLayers], ["done", 3, 8]);
  assertEquals(notes.length, 2);
  assertStringIncludes(notes[0]!, "Out of memory");
  assertStringIncludes(notes[0]!, "16 layers are kept from now on, of 32 before");
});

Deno.test("with one layer left the worker gives up; other failures are not tried again", async () => {
  const hopeless = bench(5, 0);
  assertEquals(await assertRejects(hopeless.run, LoraFleetError), full);
  assertEquals([hopeless.model.keptLayers, hopeless.notes.length], [1, 2]);
  const broken = bench(5, 0, new LoraFleetError("gpu_failure", "lost"));
  await assertRejects(broken.run, LoraFleetError, "lost");
  assertEquals([broken.model.keptLayers, broken.calls(), broken.notes], [5, 1, []]);
});
