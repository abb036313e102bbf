import { assertEquals } from "@std/assert";
import { createAliveFile } from "./alive_file.ts";

Deno.test("the file has the time of a recent heartbeat, and a failure is told", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/alive`;
  const clock = { time: 0, now: () => clock.time };
  const failures = Promise.withResolvers<unknown>();
  const beat = createAliveFile(path, clock, failures.resolve);
  const textAt = async (time: number) => {
    clock.time = time;
    beat();
    for (;;) {
      const text = await Deno.readTextFile(path).catch(() => "");
      if (text.endsWith("\n")) return text.trim();
    }
  };
  assertEquals(await textAt(0), "1970-01-01T00:00:00.000Z");
  assertEquals(await textAt(4999), "1970-01-01T00:00:00.000Z");
  clock.time = 5000;
  beat();
  while (await Deno.readTextFile(path) !== "1970-01-01T00:00:05.000Z\n") await Promise.resolve();
  await Deno.remove(folder, { recursive: true });
  clock.time = 10_000;
  beat();
  assertEquals(await failures.promise instanceof Deno.errors.NotFound, true);
});
