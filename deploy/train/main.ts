/** `deno task train`: a fine-tune from the command line to its results. */
import { runCommand, runMain } from "../machine/command.ts";
import { nextSteps } from "./next_steps.ts";
import { parseTrainOptions, TRAIN_USAGE, type TrainOptions } from "./options.ts";
import { localFolder, train } from "./train.ts";

function main(options: TrainOptions): Promise<number> {
  const isOurs = options.coordinatorUrl === null;
  return runCommand(
    "train",
    async (context) => {
      const trained = await train(options, { ...context, apiKey: Deno.env.get("LORAFLEET_API_KEY") || null });
      const model = await localFolder(options.model) ?? options.model;
      console.log(`\n${nextSteps({ ...options, ...trained, model })}`);
      if (trained.failure !== null) throw trained.failure;
    },
    isOurs
      ? "interrupted: stopping coordinator and workers; the same command resumes from the newest checkpoint"
      : "interrupted: the job goes on; the same command follows it again",
  );
}

await runMain("train", TRAIN_USAGE, parseTrainOptions, main);
