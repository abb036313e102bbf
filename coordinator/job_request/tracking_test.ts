import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { specHash } from "../../shared/job/job_spec_hash.ts";
import { parseJobRequest } from "./parse.ts";

const MINIMAL = { model: "m", training_file: "file-1" };

function parse(training: object, more: object = {}) {
  return parseJobRequest({ ...MINIMAL, training, ...more });
}

Deno.test("report_to is a name, a list, all or none, as transformers has it", () => {
  for (
    const [given, expected] of [
      ["tensorboard", ["tensorboard"]],
      [["mlflow", "wandb", "mlflow"], ["mlflow", "wandb"]],
      ["all", "all"],
      [["all"], "all"],
      ["jsonl", ["jsonl"]],
    ] as const
  ) {
    assertEquals<unknown>(parse({ report_to: given }).tracking?.reportTo, expected);
  }
  for (const none of ["none", ["none"], [], null, "None"]) {
    assertEquals(parse({ report_to: none }).tracking, null);
  }
  assertEquals(parseJobRequest(MINIMAL).tracking, null);
});

Deno.test("OpenAI's integration asks for W&B", () => {
  const wandb = { project: "p", name: "run 1", entity: "team", tags: ["a", "b"] };
  const integrations = [{ type: "wandb", wandb }];
  const tracking = parse({ report_to: ["tensorboard"] }, { integrations }).tracking;
  assertEquals(tracking?.reportTo, ["tensorboard", "wandb"]);
  assertEquals(tracking?.wandb, wandb);
  const plain = parseJobRequest({ ...MINIMAL, integrations: [{ type: "wandb", wandb: { project: "p" } }] });
  assertEquals(plain.tracking?.wandb, { project: "p", name: null, entity: null, tags: [] });
  assertEquals(plain.tracking?.reportTo, ["wandb"]);
});

Deno.test("trackers are not part of the specification: its hash does not change", () => {
  const hash = specHash(parseJobRequest(MINIMAL).spec);
  const { spec } = parse({ report_to: "all", run_name: "r", logging_dir: "x", logging_first_step: true });
  assertEquals(specHash(spec), hash);
});

Deno.test("what only a tracker would use is without effect if there is none", () => {
  const { tracking, warnings } = parse({
    report_to: "none",
    run_name: "r",
    logging_dir: "/content/x",
    logging_strategy: "steps",
  });
  assertEquals(tracking, null);
  assertEquals(warnings, ["Without effect here: training.run_name, training.logging_dir."]);
});

Deno.test("a logging_dir stays below the coordinator's folder of runs", () => {
  const folder = (logging_dir: string) => parse({ report_to: "jsonl", logging_dir }).tracking?.loggingDir;
  assertEquals(["./logs", "a//b/./c/", ".", "", "a\\b"].map(folder), ["logs", "a/b/c", null, null, "a/b"]);
  for (const outside of ["/tmp", "../x", "a/../../x", "C:\\x", "~/x", "\\\\host\\x", "a\0b"]) {
    const error = assertThrows(() => folder(outside), LoraFleetError);
    assertEquals(error.param, "training.logging_dir", outside);
  }
});

const REFUSED: readonly (readonly [object, object, string, string])[] = [
  [
    { report_to: "comet_ml" },
    {},
    "training.report_to",
    '"comet_ml" is not among the trackers here: "tensorboard"',
  ],
  [{ report_to: ["wandb", "none"] }, {}, "training.report_to", '"none" is not among'],
  [{ report_to: 7 }, {}, "training.report_to", "a tracker's name or a list"],
  [{ report_to: "jsonl", run_name: "a\nb" }, {}, "training.run_name", "without control characters"],
  [{ report_to: "jsonl", logging_strategy: "often" }, {}, "training.logging_strategy", '"epoch"'],
  [{ report_to: "jsonl", logging_first_step: 1 }, {}, "training.logging_first_step", "true or false"],
  [{}, { integrations: "wandb" }, "integrations", "a list is needed"],
  [{}, { integrations: [{ type: "wandb" }] }, "integrations[0].wandb", "a project is needed"],
  [{}, { integrations: [{ type: "wandb", wandb: {} }] }, "integrations[0].wandb.project", "missing"],
  [
    {},
    { integrations: [{ type: "wandb", wandb: { project: "p", team: "x" } }] },
    "integrations[0].wandb.team",
    "known here",
  ],
  [
    {},
    { integrations: [{ type: "wandb", wandb: { project: "p", tags: "x" } }] },
    "integrations[0].wandb.tags",
    "a list",
  ],
  [{}, { integrations: [{}, {}] }, "integrations", "2 entries"],
];

for (const [training, more, param, part] of REFUSED) {
  Deno.test(`refused: ${JSON.stringify({ ...training, ...more })}`, () => {
    const error = assertThrows(() => parse(training, more), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_request", param]);
    assertStringIncludes(error.message, part);
  });
}
