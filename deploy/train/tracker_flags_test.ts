import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseTrainOptions } from "./options.ts";
import { withTrackers } from "./tracker_flags.ts";

const JOB = ["--model", "org/m", "--data", "rows.jsonl", "--out", "/o"];
const fields = (body: Record<string, unknown>, ...flags: string[]) =>
  withTrackers(body, parseTrainOptions([...JOB, ...flags])!.trackers);

Deno.test("flags about trackers become the job's fields", () => {
  const body = fields(
    { training: { learning_rate: 1 } },
    ...["--report-to", "tensorboard, wandb", "--run-name", "first try", "--logging-dir", "a/b"],
    ...["--project", "extraction", "--entity", "lab", "--tags", "qlora, 135m"],
  );
  assertEquals(body, {
    training: {
      learning_rate: 1,
      report_to: ["tensorboard", "wandb"],
      run_name: "first try",
      logging_dir: "a/b",
    },
    integrations: [{
      type: "wandb",
      wandb: { project: "extraction", entity: "lab", tags: ["qlora", "135m"] },
    }],
  });
});

Deno.test("without flags a configuration stays as it is; with some, the others stay", () => {
  const integrations = [{ type: "wandb", wandb: { project: "p", tags: ["old"] } }];
  const body = { training: { report_to: ["wandb"], run_name: "r" }, integrations };
  assertEquals(fields(body), body);
  assertEquals(fields(body, "--tags", "new")["integrations"], [
    { type: "wandb", wandb: { project: "p", tags: ["new"] } },
  ]);
  assertEquals(fields(body, "--report-to", "jsonl")["training"], { report_to: ["jsonl"], run_name: "r" });
  assertEquals(fields({}), {});
});

Deno.test("a flag that would do nothing is refused with the one that it needs", () => {
  const cases: [string[], string, string][] = [
    [["--run-name", "r"], "run-name", "--report-to"],
    [["--logging-dir", "r"], "logging-dir", "--report-to"],
    [["--report-to", "mlflow", "--project", "p"], "project", "add wandb"],
    [["--report-to", "wandb", "--tags", "a"], "tags", "--project"],
    [["--report-to", " , "], "report-to", "names with commas"],
    [["--report-to", "mlflow", "--run-name", ""], "run-name", "a text is needed"],
  ];
  for (const [flags, param, part] of cases) {
    const error = assertThrows(() => fields({}, ...flags), LoraFleetError, part);
    assertEquals([error.code, error.param], ["usage", param]);
  }
});
