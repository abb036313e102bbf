/** What the NF4 cache knows a base model by. */
import { createHash } from "node:crypto";
import type { ModelManifest } from "../../../shared/model/model_manifest.ts";

/**
 * Names the contents of a base model's weights: SHA-256 (hex) over the lines `<sha256>  <name>` of their files and index. A new
 * tokenizer or chat template does not change it.
 */
export function weightsHash({ files }: Pick<ModelManifest, "files">): string {
  const lines = files.filter(({ name }) => /\.safetensors(\.index\.json)?$/.test(name))
    .map(({ name, sha256 }) => `${sha256}  ${name}\n`).sort();
  return createHash("sha256").update(lines.join("")).digest("hex");
}
