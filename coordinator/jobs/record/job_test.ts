import { assertEquals } from "@std/assert";
import { fineTunedModelName, jobRecordSchema } from "./job.ts";
import { jobFixture } from "./job_fixture.ts";

const fresh = jobFixture("ftjob-1", { spec: { ...jobFixture("").spec, model: "org/llama" } });

Deno.test("the fine-tuned model's name contains the suffix", () => {
  assertEquals(fineTunedModelName({ ...fresh, suffix: "mine" }), "ft:org/llama:mine:ftjob-1");
});

Deno.test("a record without quarantines parses as one with an empty list", () => {
  const { quarantined: _none, audits: _zero, ...old } = fresh;
  assertEquals(jobRecordSchema.parse(JSON.parse(JSON.stringify(old))), fresh);
});

Deno.test("a suffix becomes part of the model's name, with hyphens for what a name cannot contain", () => {
  const named = (suffix: string | null) => fineTunedModelName({ ...fresh, suffix });
  for (
    const [suffix, part] of [
      [null, ""],
      ["mine", "mine"],
      ["my model", "my-model"],
      ["a:b", "a-b"],
      ["_x", "_x"],
      [" x ", "x"],
      ["../x", "..-x"],
      ["Größe 7", "Größe-7"],
      ["a%2Fb?c#d", "a-2Fb-c-d"],
      [":", ""],
    ] as const
  ) assertEquals(named(suffix), `ft:org/llama:${part}:ftjob-1`);
});
