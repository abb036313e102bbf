/** The preparer as a coordinator has it, in its data folder. */
import type { Clock } from "../../shared/clock.ts";
import { checkModelForJob, checkWindow } from "../base_models/model_check.ts";
import { createAttempts } from "./preparation/attempts.ts";
import { runPreparationChild } from "./preparation/preparation_child.ts";
import { sourcesHash } from "./preparation/preparation_key.ts";
import { openPreparedCache } from "./preparation/prepared_cache.ts";
import { createPreparer, type Preparer } from "./preparer.ts";

/**
 * @param folder for prepared rows and what is being prepared; nobody else may use it
 * @param run another way to prepare, for tests
 */
export async function openPreparer(
  folder: string,
  clock: Clock,
  run = runPreparationChild,
): Promise<Preparer> {
  return createPreparer({
    cache: await openPreparedCache({ folder, clock }),
    attempts: createAttempts(`${folder}/attempts`),
    version: await sourcesHash(),
    run,
    checkModel: checkModelForJob,
    checkWindow,
    clock,
  });
}
