/** Whether the output layer is the embedding table: config.json proposes, the checkpoint's own tensors decide. */
import { EMBEDDINGS_NAME, HEAD_NAME } from "./model_tensors.ts";
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
  const [embeddings, head] = [find(EMBEDDINGS_NAME), find(HEAD_NAME)];
  const isUndisputed = !spec.tieWordEmbeddings || embeddings === undefined || head === undefined;
  if (isUndisputed || await haveSameValues(embeddings, head)) return { spec, warning: null };
  return {
    spec: { ...spec, tieWordEmbeddings: false },
    warning: `config.json says tie_word_embeddings: true, but the checkpoint's lm_head.weight differs from ` +
      `model.embed_tokens.weight: they are not tied, and the output layer is lm_head.weight, as transformers has it. Set ` +
      `tie_word_embeddings to false to silence this.`,
  };
}

/** The tensor that stores `name`: if embeddings and output layer are tied, the one in the checkpoint serves both. */
export function storedTableName(
  name: string,
  spec: Pick<TransformerSpec, "tieWordEmbeddings">,
  has: (name: string) => boolean,
): string {
  if (!spec.tieWordEmbeddings || (name !== HEAD_NAME && name !== EMBEDDINGS_NAME)) return name;
  return has(EMBEDDINGS_NAME) || !has(HEAD_NAME) ? EMBEDDINGS_NAME : HEAD_NAME;
}
