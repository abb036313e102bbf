/** Evaluates a model on the held-out rows, with or without an adapter, in its own process. */
import { z } from "zod";
import { LoraFleetError } from "../../shared/errors.ts";
import type { Children } from "./children.ts";
import { cpuOptions, runWith } from "./fleet.ts";
import { sampleSchema } from "../terminal/samples.ts";

/** A model's scores on the held-out prompts. */
const scoreSchema = z.object({
  /** Mean cross entropy per token of the completions, in nats; null if no row has one. */
  eval_loss: z.number().nullable(),
  /** Share of prompts whose greedy answer is the completion. */
  exact_match: z.number(),
  /** The same, with all runs of white space treated as equal. */
  whitespace_tolerant_match: z.number(),
  prompt_count: z.number(),
});
export type Score = z.output<typeof scoreSchema>;

const evaluationSchema = scoreSchema.extend({ samples: z.array(sampleSchema) });
type Evaluation = z.output<typeof evaluationSchema>;

interface EvaluationRequest {
  /** Also the name of the child's log. */
  readonly name: string;
  readonly script: string;
  readonly modelFolder: string;
  readonly adapterFolder: string | null;
  readonly datasetPath: string;
  readonly maxNewTokens: number;
  /** Compute on the CPU although the machine has a GPU. */
  readonly ignoreGpu: boolean;
  /** The field of plain text. Default: as in a job. */
  readonly textField?: string;
  /** How the adapter's base was quantised. Default: as in a job. */
  readonly doubleQuantization?: boolean;
  /** Where the child writes its answer. */
  readonly resultPath: string;
}

/** Throws `aborted` with the child's last line if it fails */
export async function evaluate(
  children: Children,
  request: EvaluationRequest,
  env: Record<string, string>,
): Promise<Evaluation> {
  const { name, script, modelFolder, adapterFolder, datasetPath, maxNewTokens, resultPath } = request;
  const { textField, doubleQuantization = true } = request;
  const child = children.start(name, [
    ...runWith("evaluate"),
    script,
    ...["--model", modelFolder],
    ...(adapterFolder === null ? [] : ["--adapter", adapterFolder]),
    ...["--dataset", datasetPath],
    ...["--max-new-tokens", String(maxNewTokens)],
    ...cpuOptions(request.ignoreGpu),
    ...(textField === undefined ? [] : ["--text-field", textField]),
    ...(doubleQuantization ? [] : ["--single-quantization"]),
    ...["--json", resultPath],
  ], env);
  const code = await child.ended;
  if (code !== 0) {
    throw new LoraFleetError("aborted", `${name} ended with exit code ${code}: ${child.lastLine()}`);
  }
  return evaluationSchema.parse(JSON.parse(await Deno.readTextFile(resultPath)));
}
