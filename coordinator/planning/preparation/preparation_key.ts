/** What a dataset's rows depend on: of the same key they are the same, whichever job asks. */
import { createHash } from "node:crypto";
import { fromFileUrl } from "@std/path";
import type { DatasetSpec } from "../../../shared/job/job_spec_schema.ts";
import { canonicalJson } from "../../../shared/job/job_spec_hash.ts";
import type { ResolvedModel } from "../../base_models/registry.ts";

interface KeyOptions {
  readonly fileSha256: string;
  readonly dataset: DatasetSpec;
  readonly model: ResolvedModel;
  /** Of the code that prepares: see `sourcesHash`. */
  readonly version: string;
}

/** Templates beside the main one, which a base model's manifest does not name. */
const TEMPLATES = "additional_chat_templates";

export async function preparationKey(options: KeyOptions): Promise<string> {
  const { fileSha256, dataset: { shuffle: _, ...dataset }, model, version } = options;
  const files = model.manifest.files.filter(({ name }) => !name.endsWith(".safetensors"))
    .map(({ name, sha256 }) => ({ name, sha256 }));
  const templates = await hashesOf(`${model.folder}/${TEMPLATES}`);
  const texts = [...files, ...templates].sort((a, b) => a.name < b.name ? -1 : 1);
  return canonicalJson({ version, fileSha256, dataset, texts });
}

/** Of the files of a folder; none where there is no such folder. */
async function hashesOf(folder: string) {
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  return await Promise.all(
    entries.filter(({ isFile, isSymlink }) => isFile || isSymlink).map(async ({ name }) => ({
      name: `${TEMPLATES}/${name}`,
      sha256: createHash("sha256").update(await Deno.readFile(`${folder}/${name}`)).digest("hex"),
    })),
  );
}

/**
 * A hash of the sources that rows are made by, their dependencies' versions and the engine that runs them: another release may
 * tokenise differently, and nobody has to remember to count up a version.
 * @param root the repository's folder
 */
export async function sourcesHash(root: string = REPOSITORY): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(Deno.version));
  const paths = [
    `${root}/deno.lock`,
    ...await sourcesBelow(`${root}/coordinator`),
    ...await sourcesBelow(`${root}/shared`),
  ];
  for (const path of paths) {
    const bytes = await Deno.readFile(path).catch(() => new Uint8Array());
    hash.update(`${path.slice(root.length)} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest("hex");
}

const REPOSITORY = fromFileUrl(new URL("../../..", import.meta.url));

/** All files but tests, sorted. */
async function sourcesBelow(folder: string): Promise<string[]> {
  const entries = (await Array.fromAsync(Deno.readDir(folder))).sort((a, b) => a.name < b.name ? -1 : 1);
  const nested = await Promise.all(entries.map(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? sourcesBelow(path) : /_test\.tsx?$/.test(name) ? [] : [path];
  }));
  return nested.flat();
}
