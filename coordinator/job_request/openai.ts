/** OpenAI's own fields of a job request, and what they mean here. */
import { invalidField, isAbsent, isObject, show } from "./errors.ts";
import { type Draft, put } from "./draft.ts";
import { trainingSchema } from "../../shared/job/job_spec_schema.ts";

/** OpenAI's limits on `metadata` and `suffix`. */
const METADATA_LIMITS = { pairs: 16, keyLength: 64, valueLength: 512 };
const MAX_SUFFIX_LENGTH = 64;

/** Applies `hyperparameters` and `method` to the draft. */
export function applyOpenAiFields(draft: Draft, body: Readonly<Record<string, unknown>>): void {
  applyHyperparameters(draft, body["hyperparameters"], "hyperparameters");
  applyMethod(draft, body["method"]);
}

function applyMethod(draft: Draft, method: unknown): void {
  if (isAbsent(method)) return;
  if (!isObject(method)) {
    throw invalidField("method", `method is ${show(method)}; an object with a type is needed`);
  }
  if (method["type"] !== "supervised") {
    const message = `method.type is ${show(method["type"])}; only "supervised" is supported`;
    throw invalidField("method.type", message);
  }
  const supervised = method["supervised"];
  refuseOthers(method, ["type", "supervised"], "method", (value) => !isAbsent(value));
  if (isAbsent(supervised)) return;
  if (!isObject(supervised)) {
    throw invalidField("method.supervised", `method.supervised is ${show(supervised)}; an object is needed`);
  }
  refuseOthers(supervised, ["hyperparameters"], "method.supervised", () => true);
  applyHyperparameters(draft, supervised["hyperparameters"], "method.supervised.hyperparameters");
}

/** `n_epochs`, `batch_size`, `learning_rate_multiplier`; "auto" is our default. */
function applyHyperparameters(draft: Draft, hyperparameters: unknown, at: string): void {
  if (isAbsent(hyperparameters)) return;
  if (!isObject(hyperparameters)) {
    throw invalidField(at, `${at} is ${show(hyperparameters)}; an object is needed`);
  }
  refuseOthers(hyperparameters, ["n_epochs", "batch_size", "learning_rate_multiplier"], at, () => true);

  const epochs = numberOrAuto(hyperparameters["n_epochs"], `${at}.n_epochs`);
  if (epochs !== null && !Number.isInteger(epochs)) {
    const message = `${at}.n_epochs is ${epochs}; a whole number is needed: training.num_train_epochs ` +
      "takes fractions";
    throw invalidField(`${at}.n_epochs`, message);
  }
  if (epochs !== null) put(draft, "training.num_train_epochs", epochs, `${at}.n_epochs`);

  const batchSize = numberOrAuto(hyperparameters["batch_size"], `${at}.batch_size`);
  if (batchSize !== null) applyBatchSize(draft, batchSize, `${at}.batch_size`);

  const multiplier = numberOrAuto(
    hyperparameters["learning_rate_multiplier"],
    `${at}.learning_rate_multiplier`,
  );
  if (multiplier !== null) {
    const standard = trainingSchema.parse({}).learning_rate;
    put(draft, "training.learning_rate", standard * multiplier, `${at}.learning_rate_multiplier`, multiplier);
  }
}

/** OpenAI's batch size is the rows of a whole step: micro-batch rows × micro-batches. */
function applyBatchSize(draft: Draft, batchSize: number, param: string): void {
  const rows = draft.fields.get("training.per_device_train_batch_size")?.value ?? 1;
  if (typeof rows !== "number" || !(rows > 0)) return; // the schema reports that field itself
  if (!Number.isInteger(batchSize) || batchSize % rows !== 0) {
    const message = `${param} is ${batchSize}; a multiple of training.per_device_train_batch_size ` +
      `(${rows}) is needed`;
    throw invalidField(param, message);
  }
  put(draft, "training.gradient_accumulation_steps", batchSize / rows, param, batchSize);
}

function numberOrAuto(value: unknown, param: string): number | null {
  if (isAbsent(value) || value === "auto") return null;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  throw invalidField(param, `${param} is ${show(value)}; "auto" or a number above 0 is needed`);
}

function refuseOthers(
  object: Readonly<Record<string, unknown>>,
  known: readonly string[],
  at: string,
  counts: (value: unknown) => boolean,
): void {
  for (const [name, value] of Object.entries(object)) {
    if (known.includes(name) || !counts(value)) continue;
    const message = `unknown field ${show(`${at}.${name}`)}; known here: ${known.join(", ")}`;
    throw invalidField(`${at}.${name}`, message);
  }
}

/** Null if absent. Up to 64 characters, as with OpenAI; the model's name replaces what it cannot contain. */
export function parseSuffix(value: unknown): string | null {
  if (isAbsent(value) || value === "") return null;
  const isText = typeof value === "string" && !/[\p{Cc}\p{Cs}]/u.test(value);
  if (isText && [...value].length <= MAX_SUFFIX_LENGTH) return value;
  const message = `suffix is ${show(value)}; a text of up to ${MAX_SUFFIX_LENGTH} characters without ` +
    "control characters is needed";
  throw invalidField("suffix", message);
}

/** Null if absent. Throws beyond OpenAI's limits. */
export function parseMetadata(value: unknown): Record<string, string> | null {
  if (isAbsent(value)) return null;
  if (!isObject(value)) {
    throw invalidField("metadata", `metadata is ${show(value)}; an object of texts is needed`);
  }
  const pairs = Object.entries(value);
  const { pairs: maxPairs, keyLength, valueLength } = METADATA_LIMITS;
  if (pairs.length > maxPairs) {
    throw invalidField("metadata", `metadata has ${pairs.length} pairs; at most ${maxPairs} are needed`);
  }
  const parsed: Record<string, string> = Object.create(null);
  for (const [key, text] of pairs) {
    if (key.length > keyLength || typeof text !== "string" || text.length > valueLength) {
      const message = `metadata[${show(key)}] is ${show(text)}; a key of at most ${keyLength} characters ` +
        `and a text of at most ${valueLength} are needed`;
      throw invalidField("metadata", message);
    }
    parsed[key] = text;
  }
  return { ...parsed };
}
