/**
 * A job's configuration: the one description of a fine-tune that everybody agrees on. Field names are those of
 * transformers, PEFT and TRL, grouped, so that the values of an existing script can be pasted.
 *
 * The parts: the schema with its defaults, the hash, the check against a base model.
 */
export {
  datasetSchema,
  fleetSchema,
  jobSpecSchema,
  localStepsSchema,
  loraSchema,
  quantizationSchema,
  trainingSchema,
} from "./job_spec_schema.ts";
export type {
  DatasetSpec,
  FleetSpec,
  JobSpec,
  LocalStepsSpec,
  LoraSpec,
  QuantizationSpec,
  TrainingSpec,
} from "./job_spec_schema.ts";
export { canonicalJson, specHash } from "./job_spec_hash.ts";
export { checkSpecAgainstModel } from "./target_modules.ts";
