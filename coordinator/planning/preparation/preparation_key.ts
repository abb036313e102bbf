/** Everything that a dataset's rows depend on: jobs with equal keys share prepared rows. */
import { createHash } from "node:crypto";
import { fromFileUrl } from "@std/path";
import { type DataFile, formatHint } from "../../../shared/data/files/data_files.ts";
import type { DatasetSpec } from "../../../shared/job/job_spec_schema.ts";
import { canonicalJson } from "../../../shared/job/job_spec_hash.ts";
import type { DatasetPart, HeldOut } from "./dataset_part.ts";
import type { ResolvedModel } from "../../base_models/registry.ts";

interface KeyOptions {
  readonly files: readonly DataFile[];
  /** Of the part (dataset_part.ts). */
  readonly dataset: DatasetSpec;
  /** The part of a file of which rows are held out; null or left out: all of its rows. */
  readonly drawn?: (HeldOut & { readonly part: DatasetPart }) | null;
  readonly model: ResolvedModel;
  /** Of the code that prepares (`sourcesHash`). */
  readonly version: string;
}

/** Chat templates that a base model's manifest does not list. */
const TEMPLATES = "additional_chat_templates";

export async function preparationKey(options: KeyOptions): Promise<string> {
  const { files: dataFiles, dataset: { shuffle: _, ...dataset }, drawn, model, version } = options;
  const files = model.manifest.files.filter(({ name }) => !name.endsWith(".safetensors"))
    .map(({ name, sha256 }) => ({ name, sha256 }));
  const templates = await hashesOf(`${model.folder}/${TEMPLATES}`);
  const texts = [...files, ...templates].sort((a, b) => a.name < b.name ? -1 : 1);
  const data = dataFiles.map((file) => ({ sha256: file.sha256 ?? file.path, ...formatHint(file) }));
  return canonicalJson({ version, data, dataset, drawn: drawn ?? undefined, texts });
}

/** Empty if there is no such folder. */
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
 * A hash of our sources, of the versions of their dependencies and of the engine: a different release may tokenise differently,
 * and this needs no version number that is counted up by hand.
 * @param root the repository's folder
 */
export async function sourcesHash(root: string = REPOSITORY): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(Deno.version));
  const sources = [...await sourcesBelow(`${root}/coordinator`), ...await sourcesBelow(`${root}/shared`)];
  for (const path of [`${root}/deno.lock`, ...sources]) {
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
