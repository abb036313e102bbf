import { assertEquals, assertStringIncludes } from "@std/assert";
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { createIdleNotice } from "./idle_notice.ts";

Deno.test("idle workers are told once for each larger fleet", () => {
  const training = { gradient_accumulation_steps: 2 };
  const spec = jobSpecSchema.parse({ model: "m", training_file: "file-a", training });
  const notice = createIdleNotice({ spec });
  assertEquals([notice(1), notice(2)], [null, null]);
  assertStringIncludes(notice(3) ?? "", "for 3 workers: 1 of them has nothing to do");
  assertEquals([notice(3), notice(2), notice(3)], [null, null, null]);
  assertStringIncludes(notice(5) ?? "", "for 5 workers: 3 of them have nothing to do");
});
