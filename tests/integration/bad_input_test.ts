/** Each bad input against a coordinator in this process, with the real checks and the real preparation of data. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import type { World } from "../../coordinator/testing/app_fixture.ts";
import { withBase } from "./base_world.ts";
import { type BadInput, GOOD_DATASET } from "./bad_input.ts";
import { FAILING_INPUTS } from "./bad_input_failing.ts";
import { REFUSED_INPUTS } from "./bad_input_refused.ts";

interface ApiError {
  readonly code: string | null;
  readonly param: string | null;
  readonly message: string;
}

async function submit(
  world: World,
  body: string,
): Promise<{ status: number; json: Record<string, unknown> }> {
  const response = await world.app.request("/v1/fine_tuning/jobs", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  return { status: response.status, json: await response.json() };
}

async function jsonAt(world: World, path: string): Promise<Record<string, unknown>> {
  return await (await world.app.request(path)).json();
}

function assertSays(error: ApiError, { code, param, says }: BadInput): void {
  assertEquals([error.code, error.param], [code, param], error.message);
  for (const words of says) assertStringIncludes(error.message, words);
}

/** Paths of all files below the coordinator's folder, without the base models. */
async function filesIn(folder: string, below = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, below))) {
    const path = below === "" ? name : `${below}/${name}`;
    if (!isDirectory) found.push(path);
    else if (path !== "models") found.push(...await filesIn(folder, path));
  }
  return found.sort();
}

for (const input of [...REFUSED_INPUTS, ...FAILING_INPUTS]) {
  Deno.test(`bad input: ${input.name}`, () =>
    withBase(input.dataset ?? GOOD_DATASET, async (world, folder, fileId) => {
      await input.damage?.(folder);
      const job = typeof input.job === "string"
        ? input.job
        : JSON.stringify({ model: "base", training_file: fileId, ...input.job });
      const { status, json } = await submit(world, job);
      assertEquals(status, input.status, JSON.stringify(json));
      if (status === 200) {
        const id = String(json["id"]);
        assertEquals((await world.finished(id)).status, "failed");
        const failed = await jsonAt(world, `/v1/fine_tuning/jobs/${id}`);
        assertSays(failed["error"] as ApiError, input);
        assertEquals([failed["result_files"], failed["fine_tuned_model"]], [[], null]);
        assertStringIncludes(world.messages(id).at(-1)!, (failed["error"] as ApiError).message);
      } else {
        assertSays(json["error"] as ApiError, input);
        assertEquals((await jsonAt(world, "/v1/fine_tuning/jobs"))["data"], []);
      }
      assertEquals(world.fleet.trained, [], "no worker has heard of the job");
      assertEquals(world.defects, [], "it is the user's fault, not ours");
      const own = ["hashes.json", "audit.jsonl"];
      const left = (await filesIn(world.folder)).filter((path) => !own.includes(path));
      assertEquals(left, [`files/${fileId}`]);
    }));
}

Deno.test("the good input that the bad ones were made from is trained", () =>
  withBase(GOOD_DATASET, async (world, _folder, fileId) => {
    const { status, json } = await submit(world, JSON.stringify({ model: "base", training_file: fileId }));
    assertEquals(status, 200, JSON.stringify(json));
    assertEquals((await world.finished(String(json["id"]))).status, "succeeded");
  }));
