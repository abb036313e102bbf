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

Deno.test("a run that was interrupted is found by the same question, with its job", () =>
  inFolder(async (out) => {
    const first = await openRunState(out, "a", null, false);
    assertEquals(first.jobId, null);
    await first.created("ftjob-1");
    assertEquals((await openRunState(out, "a", null, false)).jobId, "ftjob-1");
    await first.forget();
    assertEquals((await openRunState(out, "a", null, false)).jobId, null);
  }));

Deno.test("a different question, or a different coordinator, does not take it over", () =>
  inFolder(async (out) => {
    await (await openRunState(out, "a", null, false)).created("ftjob-1");
    for (const [asked, url] of [["b", null], ["a", "http://c"]] as const) {
      const error = await assertRejects(
        () => openRunState(out, asked, url, false),
        LoraFleetError,
        "ftjob-1",
      );
      assertEquals(error.code, "conflict");
    }
    assertEquals((await openRunState(out, "b", null, true)).jobId, null);
  }));

Deno.test("a damaged state is not overwritten without being asked", () =>
  inFolder(async (out) => {
    await openRunState(out, "a", null, false);
    await Deno.writeTextFile(`${out}.run/run.json`, "{");
    const error = await assertRejects(() => openRunState(out, "a", null, false), LoraFleetError, "--fresh");
    assertEquals(error.code, "storage");
    await openRunState(out, "a", null, true);
  }));

Deno.test("the question's hash depends on values alone", () => {
  assertEquals(hashOf({ a: 1, b: [2] }), hashOf({ b: [2], a: 1 }));
  assertNotEquals(hashOf({ a: 1 }), hashOf({ a: 2 }));
});
