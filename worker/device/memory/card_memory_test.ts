import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { CardMemories } from "./card_memory.ts";

const DAY_MS = 24 * 3600_000;

async function withFile(run: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(join(folder, "gpu_memory.json"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("what a card has is known for a week, what a job corrected for an hour, to later processes too; other cards are not touched", () =>
  withFile(async (path) => {
    let now = 5 * DAY_MS;
    const memories = () => new CardMemories(path, { now: () => now });
    const probed = { bytes: 23 * 2 ** 30, isSystemMemory: false, isCorrected: false };
    assertEquals(await memories().read("card"), null);
    await memories().write("card", probed);
    await memories().write("other", { ...probed, bytes: 7 });
    now += 7 * DAY_MS - 1;
    assertEquals(await memories().read("card"), { ...probed, measuredAt: 5 * DAY_MS });
    await memories().write("card", { ...probed, bytes: 5, isCorrected: true });
    now += DAY_MS / 24 - 1;
    assertEquals((await memories().read("card"))?.bytes, 5);
    now++;
    assertEquals(await memories().read("card"), null);
    now -= DAY_MS / 24;
    await memories().forget("card");
    await memories().forget("absent");
    assertEquals([await memories().read("card"), (await memories().read("other"))?.bytes], [null, 7]);
    now += 1;
    assertEquals(await memories().read("other"), null);
    now = 0; // a clock that was set back
    assertEquals(await memories().read("other"), null);
  }));

Deno.test("a file that is damaged, or of another version, is as none, and is replaced", () =>
  withFile(async (path) => {
    const memories = new CardMemories(path, { now: () => 1 });
    const damaged = [
      "",
      "{",
      "[]",
      '{"version":2,"cards":{}}',
      '{"version":1,"cards":{"card":{"bytes":-1}}}',
    ];
    for (const text of damaged) {
      await Deno.writeTextFile(path, text);
      assertEquals(await memories.read("card"), null, text);
    }
    await memories.write("card", { bytes: 9, isSystemMemory: true, isCorrected: false });
    assertEquals((await memories.read("card"))?.bytes, 9);
  }));
