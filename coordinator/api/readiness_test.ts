import { assertEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { createReadiness } from "./readiness.ts";
import { assertTakesBytes } from "../storage/probe_folder.ts";

Deno.test("each probe reports its problem and runs at most once a second", async () => {
  const clock = createFakeClock(1000);
  let looks = 0;
  let isFull = false;
  const readiness = createReadiness(clock, {
    store: () => {
      looks++;
      if (isFull) throw new Error("database or disk is full");
    },
    streams: () => isFull ? Promise.reject(new Error("no answer")) : Promise.resolve(),
  });
  const well = [{ name: "store", problem: null }, { name: "streams", problem: null }];
  assertEquals(await Promise.all([readiness(), readiness()]), [well, well]);
  isFull = true;
  await clock.advance(999);
  assertEquals([await readiness(), looks], [well, 1]);
  await clock.advance(1);
  assertEquals(await readiness(), [
    { name: "store", problem: "database or disk is full" },
    { name: "streams", problem: "no answer" },
  ]);
  isFull = false;
  await clock.advance(1000);
  assertEquals([await readiness(), looks], [well, 3]);
});

Deno.test("probing a folder leaves nothing behind; an unwritable folder is a storage error without its path", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await assertTakesBytes(`${folder}/new`);
    assertEquals(await Array.fromAsync(Deno.readDir(`${folder}/new`)), []);
    await Deno.writeTextFile(`${folder}/file`, "");
    const error = await assertRejects(
      () => assertTakesBytes(`${folder}/file`, "the broker's folder"),
      LoraFleetError,
    );
    assertEquals([error.code, error.message.includes(folder)], ["storage", false]);
    assertEquals(error.message.startsWith("cannot write to the broker's folder: "), true, error.message);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
