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
  using state = await openRunState(out, { asked, coordinatorUrl: url, isFresh });
  return state.jobId;
}

const own = (asked: string) => ({ asked, coordinatorUrl: null });

async function create(out: string, asked: string, jobId: string): Promise<void> {
  using state = await openRunState(out, own(asked));
  await state.update({ jobId });
}

Deno.test("a run that was interrupted is found by the same question, with its job", () =>
  inFolder(async (out) => {
    assertEquals(await jobIn(out, "a"), null);
    await create(out, "a", "ftjob-1");
    {
      using second = await openRunState(out, own("a"));
      assertEquals(second.jobId, "ftjob-1");
      await second.forget();
    }
    assertEquals(await jobIn(out, "a"), null);
  }));

Deno.test("the workers of an interrupted run are known to the next command, not to a fresh one", () =>
  inFolder(async (out) => {
    const workersIn = async (isFresh: boolean, change?: number[]) => {
      using state = await openRunState(out, { ...own("a"), isFresh });
      const { workers } = state;
      if (change !== undefined) await state.update({ jobId: "ftjob-1", workers: change });
      return workers;
    };
    assertEquals(await workersIn(false, [12, 34]), null);
    assertEquals(await workersIn(false), [12, 34]);
    assertEquals(await workersIn(true), null);
    // As a release before this wrote it.
    const { workers: _, ...before } = JSON.parse(await Deno.readTextFile(`${out}.run/run.json`));
    await Deno.writeTextFile(`${out}.run/run.json`, JSON.stringify(before));
    assertEquals(await workersIn(false), null);
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
      using _first = await openRunState(out, own("a"));
      for (const isFresh of [false, true]) {
        const error = await assertRejects(
          () => openRunState(out, { ...own("a"), isFresh }),
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

Deno.test("a request whose answer may be lost is found again, and no different command takes its place", () =>
  inFolder(async (out) => {
    const request = { key: "key-1", body: { model: "m" } };
    {
      using state = await openRunState(out, own("a"));
      await state.update({ request });
      assertEquals(state.request, request);
    }
    const error = await assertRejects(
      () => jobIn(out, "b"),
      LoraFleetError,
      "while its job was being created",
    );
    assertEquals(error.code, "conflict");
    using again = await openRunState(out, own("a"));
    assertEquals([again.request, again.jobId], [request, null]);
  }));

Deno.test("a run that failed with a checkpoint: the same command goes on from it, others with --resume or not at all", () =>
  inFolder(async (out) => {
    const failed = { jobId: "ftjob-1", step: 8 };
    {
      using state = await openRunState(out, own("a"));
      await state.update({ jobId: null, failed });
    }
    await Deno.mkdir(`${out}.run/coordinator`);
    {
      using same = await openRunState(out, own("a"));
      assertEquals([same.failed, same.jobId], [failed, null]);
    }
    const refused = await assertRejects(() => jobIn(out, "b"), LoraFleetError, "--resume");
    assertEquals(refused.code, "conflict");
    const elsewhere = { asked: "b", coordinatorUrl: "http://c", isResumed: true };
    await assertRejects(() => openRunState(out, elsewhere), LoraFleetError, "a coordinator of its own");
    {
      using other = await openRunState(out, { ...own("b"), isResumed: true });
      assertEquals(other.failed, failed);
    }
    // It is the folder's run from now on, with the coordinator that has the checkpoint.
    using again = await openRunState(out, own("b"));
    assertEquals([again.failed, Deno.statSync(`${out}.run/coordinator`).isDirectory], [failed, true]);
  }));

Deno.test("--resume without a failed run is a usage error", () =>
  inFolder(async (out) => {
    const resumed = { ...own("a"), isResumed: true };
    const error = await assertRejects(() => openRunState(out, resumed), LoraFleetError, "--resume");
    assertEquals([error.code, error.param], ["usage", "resume"]);
  }));
