import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { goldenPath } from "../../tests/golden/golden.ts";
import type { JobBody } from "./job_body.ts";
import { checkExports, checkExportsThere } from "./possible_exports.ts";

/** Its attention is scaled otherwise than llama.cpp does it. */
const WITHOUT_GGUF = goldenPath("ladder/gemma2_caps/model");

Deno.test("train refuses an export that the base model cannot become, before anything starts", async () => {
  const error = await assertRejects(
    () => checkExports(["merged", "adapter_gguf"], WITHOUT_GGUF),
    LoraFleetError,
    "--export adapter_gguf: GGUF is not possible for this model: its query_pre_attn_scalar is 24",
  );
  assertEquals([error.code, error.param], ["usage", "export"]);
  await checkExports(["merged", "adapter"], WITHOUT_GGUF);
  await checkExports(["gguf"], null);
});

Deno.test("of a base model that only the coordinator has, a dry run tells it", async () => {
  const asked: [path: string, body: unknown][] = [];
  const api = {
    post(path: string, body: unknown) {
      asked.push([path, body]);
      return Promise.resolve({
        exports: [{ kind: "gguf", obstacle: "GGUF is not possible" }, { kind: "merged", obstacle: null }],
      });
    },
  };
  const body: JobBody = { model: "org/m" };
  await checkExportsThere(["merged"], api, body);
  assertEquals(asked, []);
  await assertRejects(
    () => checkExportsThere(["gguf"], api, body),
    LoraFleetError,
    "--export gguf: GGUF is not possible",
  );
  assertEquals(asked, [["/v1/fine_tuning/jobs?dry_run=true", body]]);
  // A coordinator of an earlier version does not say it.
  await checkExportsThere(["gguf"], { post: () => Promise.resolve({}) }, body);
});
