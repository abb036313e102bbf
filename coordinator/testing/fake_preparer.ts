/** The preparation of data for tests: training files of plain lines. */
import { LoraFleetError } from "../../shared/errors.ts";
import { isEvaluated } from "../planning/preparation/dataset_part.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { type PrepareRequest } from "../planning/preparation/prepare_request.ts";
import type { DatasetReport } from "../planning/preparation/prepared_file.ts";
import type { Preparer } from "../planning/preparer.ts";

/** Each line of the training file makes two steps; an empty line is an invalid dataset. */
export async function fakePrepare(request: PrepareRequest): Promise<PlannedJob> {
  const lines = (await Deno.readTextFile(request.trainingFilePath)).split("\n");
  const empty = lines.indexOf("");
  if (empty >= 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      `${request.trainingFile.filename}, line ${empty + 1} is empty`,
      { param: "training_file" },
    );
  }
  if (lines[0] === "defect") throw new TypeError("a defect with secrets");
  const totalSteps = 2 * lines.length;
  return {
    id: request.id,
    spec: request.spec,
    specHash: "spec",
    model: request.model.manifest,
    modelFolder: request.model.folder,
    totalSteps,
    checkpointSteps: [totalSteps / 2, totalSteps],
    evaluation: !isEvaluated(request.spec) ? null : {
      steps: { includes: (step) => step % 2 === 0 && step > 0 },
      ...{ microBatchCount: 1, maxTokens: 1 },
      microBatchAt: () => {
        throw new Error("the fake fleet computes nothing");
      },
    },
    maxTokensPerMicroBatch: 1,
    maxPositions: 1,
    epochsAfter: (step) => step / totalSteps,
    microBatchesOf: () => [],
    tokensThrough: () => 0,
    linesOf: (_step, index) => [index + 1],
  };
}

const FAKE_REPORT: DatasetReport = {
  exampleCount: 4,
  rowCount: 2,
  tokenCount: 40,
  trainedTokenCount: 10,
  truncatedRowCount: 0,
  longestDocument: 16,
  packingEfficiency: 0.5,
  warnings: [],
  masks: [{ line: 1, segments: [{ text: "hi", trained: false }], hidden_tokens: 0 }],
};

/** A preparer without a cache. */
export function preparerOf(prepare: (request: PrepareRequest) => Promise<PlannedJob>): Preparer {
  return {
    prepare: async (request) => ({ ...await prepare(request), report: FAKE_REPORT }),
    plan: prepare,
    warm: () => Promise.resolve(),
  };
}
