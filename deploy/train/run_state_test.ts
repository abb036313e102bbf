import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { hashOf, openRunState } from "./run_state.ts";

async function inFolder(body: (out: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(`${folder}/out`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Opens the state as a command does that ends. */
async function jobIn(out: string, asked: string, url: string | null = null, isFresh = false) {
  using state = await openRunState(out, asked, url, isFresh);
  return state.jobId;
}

async function create(out: string, asked: string, jobId: string): Promise<void> {
  using state = await openRunState(out, asked, null, false);
  await state.created(jobId);
}

Deno.test("a run that was interrupted is found by the same question, with its job", () =>
  inFolder(async (out) => {
    assertEquals(await jobIn(out, "a"), null);
    await create(out, "a", "ftjob-1");
    {
      using second = await openRunState(out, "a", null, false);
      assertEquals(second.jobId, "ftjob-1");
      await second.forget();
    }
    assertEquals(await jobIn(out, "a"), null);
  }));

Deno.test("a different question, or a different coordinator, does not take it over", () =>
  inFolder(async (out) => {
    await create(out, "a", "ftjob-1");
    for (const [asked, url] of [["b", null], ["a", "http://c"]] as const) {
      const error = await assertRejects(() => jobIn(out, asked, url), LoraFleetError, "ftjob-1");
      assertEquals(error.code, "conflict");
    }
    assertEquals(await jobIn(out, "b", null, true), null);
  }));

Deno.test("a run that never had a job gives way to a corrected command, with all that it left", () =>
  inFolder(async (out) => {
    assertEquals(await jobIn(out, "a", "http://typo"), null);
    await Deno.mkdir(`${out}.run/coordinator`);
    assertEquals(await jobIn(out, "a", "http://right"), null);
    assertEquals([...Deno.readDirSync(`${out}.run`)].map(({ name }) => name).sort(), ["lock", "run.json"]);
  }));

Deno.test("a second command waits for the first to end, whatever it asks and however", () =>
  inFolder(async (out) => {
    {
      using _first = await openRunState(out, "a", null, false);
      for (const isFresh of [false, true]) {
        const error = await assertRejects(
          () => openRunState(out, "a", null, isFresh),
          LoraFleetError,
          "another command is at work",
        );
        assertEquals(error.code, "conflict");
      }
    }
    assertEquals(await jobIn(out, "a"), null);
  }));

Deno.test("a damaged state is not overwritten without being asked", () =>
  inFolder(async (out) => {
    await jobIn(out, "a");
    await Deno.writeTextFile(`${out}.run/run.json`, "{");
    const error = await assertRejects(() => jobIn(out, "a"), LoraFleetError, "--fresh");
    assertEquals(error.code, "storage");
    await jobIn(out, "a", null, true);
  }));

Deno.test("the question's hash depends on values alone", () => {
  assertEquals(hashOf({ a: 1, b: [2] }), hashOf({ b: [2], a: 1 }));
  assertNotEquals(hashOf({ a: 1 }), hashOf({ a: 2 }));
});
