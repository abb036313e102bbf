import { assertEquals } from "@std/assert";
import { undelivered } from "./undelivered.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A clock whose sleeps pass at once, and do something on the way. */
function clockWith(onSleep: () => Promise<void>) {
  let now = 0;
  return {
    now: () => now,
    async sleep(milliseconds: number) {
      now += milliseconds;
      await onSleep();
    },
  };
}
const { signal } = new AbortController();

Deno.test("the last points are waited for until the coordinator has removed its file of the delivery", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/ftjob-1.mlflow.json`, "{}");
    let sleeps = 0;
    const clock = clockWith(async () => {
      if (++sleeps === 3) await Deno.remove(`${folder}/ftjob-1.mlflow.json`);
    });
    assertEquals([await undelivered(folder, "ftjob-1", clock, signal), sleeps], [[], 3]);
  }));

Deno.test("a tracker that takes nothing for ten seconds is named; other jobs and half-written files do not count", () =>
  inFolder(async (folder) => {
    const names = [
      "ftjob-1.wandb.json",
      "ftjob-1.mlflow.json",
      "ftjob-2.jsonl.json",
      "ftjob-1.jsonl.json.x.part",
    ];
    for (const name of names) await Deno.writeTextFile(`${folder}/${name}`, "{}");
    const clock = clockWith(() => Promise.resolve());
    assertEquals(await undelivered(folder, "ftjob-1", clock, signal), ["mlflow", "wandb"]);
    assertEquals(clock.now(), 10_000);
    assertEquals(await undelivered(`${folder}/none`, "ftjob-1", clock, signal), []);
  }));
