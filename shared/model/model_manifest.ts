/**
 * A base model's files with their SHA-256, for workers to download and check. The manifest's own hash names the base model
 * independently of its path or hub id.
 */
import { z } from "zod";

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

export const modelManifestSchema = z.strictObject({
  /** SHA-256 over the sorted lines `<sha256>  <name>\n` of all files. */
  hash: sha256Schema,
  files: z.array(z.strictObject({
    /** A plain file name: no folders, no `..`. */
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/),
    size: z.int().min(0),
    sha256: sha256Schema,
  })).min(1),
});
export type ModelManifest = z.output<typeof modelManifestSchema>;
