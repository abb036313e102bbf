import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { checkResults, checkRows, contentOf } from "./first_checks.ts";

const HUB = { endpoint: "https://hub.test", token: null, offline: false, cacheFolder: "/none" };

async function refusalOf(check: Promise<void>): Promise<[string | null, string]> {
  const error = await assertRejects(() => check, LoraFleetError);
  assertEquals(error.code, "usage");
  return [error.param, error.message];
}

async function inFolder(body: (folder: string, file: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/rows.jsonl`, "{}\n");
    await body(folder, `${folder}/rows.jsonl`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("rows are a file or a dataset on the hub", () =>
  inFolder(async (folder, file) => {
    for (const data of [file, "org/name", "org/name@v1"]) {
      await checkRows({ data, validationPath: file });
    }
    assertEquals(await refusalOf(checkRows({ data: folder, validationPath: null })), [
      "data",
      `--data ${JSON.stringify(folder)} is a folder; a file or a dataset's id on the hub is needed`,
    ]);
    for (const data of ["rows.jsonl", "a/b/c", "org/name@a@b"]) {
      assertEquals((await refusalOf(checkRows({ data, validationPath: null })))[0], "data");
    }
    const missing = checkRows({ data: file, validationPath: `${folder}/none` });
    assertEquals((await refusalOf(missing))[0], "validation");
  }));

Deno.test("results that cannot come to be are refused before the training", () =>
  inFolder(async (folder, file) => {
    const good = { outFolder: `${folder}/out`, pushTo: null, coordinatorUrl: null };
    await checkResults(good, HUB);
    await checkResults({ ...good, pushTo: "org/name" }, { ...HUB, token: "hf_x", offline: true });
    // Somebody's coordinator has a token of its own.
    await checkResults({ ...good, pushTo: "org/name", coordinatorUrl: "http://c" }, HUB);
    const cases: [object, string, RegExp][] = [
      [{ outFolder: file }, "out", /is a file; a folder/],
      [{ pushTo: "org/name" }, "push", /set HF_TOKEN/],
      [{ pushTo: "a/b/c" }, "push", /hub_model_id is "a\/b\/c"/],
    ];
    for (const [change, param, message] of cases) {
      const refusal = await refusalOf(checkResults({ ...good, ...change }, HUB));
      assertEquals([refusal[0], message.test(refusal[1])], [param, true], refusal[1]);
    }
  }));

Deno.test("a file's content tells an edited file from the one that was asked for", () =>
  inFolder(async (_, file) => {
    const before = await contentOf(file);
    await Deno.writeTextFile(file, "[]\n");
    assertNotEquals(await contentOf(file), before);
    assertEquals([await contentOf("org/name"), await contentOf(null)], [null, null]);
  }));
