import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseJobRequest } from "./parse.ts";

const MINIMAL = { model: "org/tiny", training_file: "file-1" };
const parse = (training: object, more: object = {}) => parseJobRequest({ ...MINIMAL, ...more, training });
const refusal = (training: object, more: object = {}) => {
  const { param, message } = assertThrows(() => parse(training, more), LoraFleetError);
  return [param, message] as const;
};

Deno.test("push_to_hub pushes the adapter to a private repository at the end, unless its fields say otherwise", () => {
  const { afterwards, warnings } = parse({ push_to_hub: true });
  const usual = { kind: "adapter", hub_model_id: null, hub_private_repo: true, hub_revision: "main" };
  assertEquals([afterwards, warnings], [{ exports: [], push: usual, isQueued: false } as never, []]);
  const { afterwards: other } = parse({
    ...{ push_to_hub: true, hub_model_id: "you/tuned", hub_private_repo: false, hub_strategy: "end" },
    ...{ hub_kind: "merged", hub_revision: "v1" },
  });
  assertEquals(other!.push, {
    ...{ kind: "merged", hub_model_id: "you/tuned", hub_private_repo: false, hub_revision: "v1" },
  });
  const old = parse({ push_to_hub: true, push_to_hub_model_id: "tuned", push_to_hub_organization: "you" });
  assertEquals(old.afterwards!.push!.hub_model_id, "you/tuned");
});

Deno.test("the fields of a push mean nothing without push_to_hub, and change no job", () => {
  const { afterwards, spec } = parse({ push_to_hub: false, hub_strategy: "every_save", hub_model_id: "a/b" });
  assertEquals(afterwards, null);
  assertEquals(spec, parse({}).spec);
  assertEquals(parse({ push_to_hub: true }, { exports: ["merged"] }).spec, parse({}).spec);
});

Deno.test("a strategy that pushes checkpoints is refused; the library's default becomes one push, with a warning", () => {
  const [param, message] = refusal({ push_to_hub: true, hub_strategy: "all_checkpoints" });
  assertEquals(param, "training.hub_strategy");
  assertMatch(message, /is "all_checkpoints"; one push follows the end of a job/);
  assertMatch(parse({ push_to_hub: true, hub_strategy: "every_save" }).warnings.join(), /pushed once/);
});

Deno.test("what a push cannot be is refused by its field; a token without being quoted", () => {
  assertEquals(refusal({ push_to_hub: "yes" })[0], "training.push_to_hub");
  assertEquals(refusal({ push_to_hub: true, hub_kind: "ollama" })[0], "training.hub_kind");
  assertEquals(refusal({ push_to_hub: true, hub_model_id: 7 })[0], "training.hub_model_id");
  assertEquals(refusal({ push_to_hub: true, hub_private_repo: 1 })[0], "training.hub_private_repo");
  assertEquals(
    refusal({ push_to_hub: true, push_to_hub_organization: "you" })[0],
    "training.push_to_hub_organization",
  );
  const [param, message] = refusal({ push_to_hub: true, hub_token: "hf_secret" });
  assertEquals([param, message.includes("hf_secret")], ["training.hub_token", false]);
  assertMatch(message, /a token has no place in a job; the coordinator's HF_TOKEN is used/);
});

Deno.test("exports are kinds or bodies of requests, of the result", () => {
  const { afterwards } = parse({}, { exports: ["gguf", { kind: "merged", base: "original" }] });
  assertEquals(afterwards, {
    ...{ exports: [{ kind: "gguf" }, { kind: "merged", base: "original" }], push: null, isQueued: false },
  });
  assertEquals(refusal({}, { exports: "merged" })[0], "exports");
  assertEquals(refusal({}, { exports: [3] })[0], "exports[0]");
  assertEquals(refusal({}, { exports: [{ kind: "merged", step: 3 }] })[0], "exports[0].step");
});
