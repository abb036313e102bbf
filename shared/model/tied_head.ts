/** Whether the output layer is the embedding table: config.json proposes, the checkpoint's own tensors decide. */
import { embeddingsName, HEAD_NAME } from "./model_tensors.ts";
import { haveSameValues, type StoredTensor } from "./safetensors_file.ts";
import type { TransformerSpec } from "./transformer_spec.ts";

/**
 * Merging an adapter that trained the output layer leaves a checkpoint whose head differs from its embeddings under a config.json
 * that still calls them tied. As in transformers 5 (`tie_weights` in modeling_utils.py), tensors that differ are not tied.
 * @param find a stored tensor by name
 * @returns `warning` reports to the user that the checkpoint contradicts its config.json
 * @throws LoraFleetError `invalid_model` if a file is damaged
 */
export async function resolveHead(
  spec: TransformerSpec,
  find: (name: string) => StoredTensor | undefined,
): Promise<{ readonly spec: TransformerSpec; readonly warning: string | null }> {
  const [embeddings, head] = [embeddingsName(spec), HEAD_NAME].map((name) =>
    find(name) ?? find(storedPrefix(name, spec))
  );
  const isUndisputed = !spec.tieWordEmbeddings || embeddings === undefined || head === undefined;
  if (isUndisputed || await haveSameValues(embeddings, head)) return { spec, warning: null };
  return {
    spec: { ...spec, tieWordEmbeddings: false },
    warning: `config.json says tie_word_embeddings: true, but the checkpoint's lm_head.weight differs from ` +
      `${
        embeddingsName(spec)
      }: they are not tied, and the output layer is lm_head.weight, as transformers has it. Set ` +
      `tie_word_embeddings to false to silence this.`,
  };
}

/**
 * The tensor that stores `name`: if embeddings and output layer are tied, the one in the checkpoint serves both; and in the files
 * of models that see images, names begin with `language_model`, as they did in transformers 4.
 */
export function storedName(
  name: string,
  spec: Pick<TransformerSpec, "tieWordEmbeddings" | "textModule">,
  has: (name: string) => boolean,
): string {
  const isThere = (candidate: string) => has(candidate) || has(storedPrefix(candidate, spec));
  const wanted = storedTableName(name, spec, isThere);
  const older = storedPrefix(wanted, spec);
  return !has(wanted) && has(older) ? older : wanted;
}

/** The name as transformers stores it, in both versions. */
function storedPrefix(name: string, { textModule }: Pick<TransformerSpec, "textModule">): string {
  if (textModule === "model") return name;
  if (name === HEAD_NAME) return `language_model.${name}`;
  return name.replace(`${textModule}.`, "language_model.model.");
}

function storedTableName(
  name: string,
  spec: Pick<TransformerSpec, "tieWordEmbeddings" | "textModule">,
  has: (name: string) => boolean,
): string {
  const embeddings = embeddingsName(spec);
  if (!spec.tieWordEmbeddings || (name !== HEAD_NAME && name !== embeddings)) return name;
  return has(embeddings) || !has(HEAD_NAME) ? embeddings : HEAD_NAME;
}
