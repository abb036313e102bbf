/**
 * Datasets on a hub: the card's files, else those with conventional names, else the hub's own conversion to Parquet. All of
 * it at one commit, which the job keeps.
 */
import { createHash } from "node:crypto";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { type DownloadOptions, type OpenRepo, openRepo } from "../../shared/hub/download_repo.ts";
import { HubRefusal } from "../../shared/hub/hub_error.ts";
import type { RepoFile } from "../../shared/hub/repo_files.ts";
import { isRepoId, isRevision, type RepoName } from "../../shared/hub/repo_name.ts";
import type { HubOptions } from "../../shared/hub/requests.ts";
import { HASTY } from "../../shared/hub/retry_delay.ts";
import type { DatasetSpec } from "../../shared/job/job_spec_schema.ts";
import { listed, readCardConfigs } from "./card.ts";
import { CONVERSION, convertedConfig, isConversion } from "./conversion.ts";
import { configOf, type DatasetConfig } from "./layout.ts";
import { filesOfSplits } from "./splits.ts";

/** What a job names. */
export interface HubDataset extends Pick<DatasetSpec, "name" | "split" | "revision"> {
  readonly path: string;
}

/** A file of the dataset on this machine. */
export interface HubDataFile {
  readonly path: string;
  /** In the repository. */
  readonly name: string;
  /** Null outside LFS. */
  readonly sha256: string | null;
  readonly split: string;
}

export interface FetchedDataset {
  readonly files: readonly HubDataFile[];
  readonly size: number;
  /** Over the files' ids, splits and names: two datasets with the same rows in the same order share it. */
  readonly sha256: string;
}

export interface CheckedDataset {
  /** To be the job's `dataset.revision` from now on. */
  readonly commit: string;
  /** One sentence each. */
  readonly warnings: readonly string[];
}

export interface HubDatasets {
  /** Checks that the configuration and the splits exist. Throws `invalid_request` that names the field. */
  check(dataset: HubDataset): Promise<CheckedDataset>;
  /** Downloads what the cache lacks. Throws like `check`, and `corrupt`, `storage`. */
  fetch(dataset: HubDataset, options?: DownloadOptions): Promise<FetchedDataset>;
}

export function createHubDatasets(hub: HubOptions): HubDatasets {
  return {
    async check(dataset) {
      const repo = await openRepo(nameOf(dataset), { ...hub, patience: { ...HASTY, ...hub.patience } });
      const chosen = await choose(repo, dataset, hub);
      return { commit: chosen.source.commit, warnings: chosen.warnings };
    },

    async fetch(dataset, { signal, onProgress } = {}) {
      const repo = await openRepo(nameOf(dataset), hub, signal);
      const { source, files } = await choose(repo, dataset, hub, signal);
      const paths = await source.fetch(files.map(({ file }) => file), onProgress);
      await Promise.all([repo.record(), source.record()]);
      const hash = createHash("sha256");
      for (const { file, split } of files) hash.update(`${file.etag}  ${split}  ${file.path}\n`);
      return {
        size: files.reduce((sum, { file }) => sum + file.size, 0),
        sha256: hash.digest("hex"),
        files: files.map(({ file, split }, index) => (
          { path: paths[index]!, name: file.path, sha256: file.sha256, split }
        )),
      };
    },
  };
}

function nameOf({ path, revision = "main" }: HubDataset): RepoName {
  if (!isRepoId(path)) {
    const message =
      `dataset.path is ${quote(path)}; a dataset on the hub, "org/name", is needed (upload a file of ` +
      "your own with POST /v1/files and give its id as training_file)";
    throw new LoraFleetError("invalid_request", message, { param: "dataset.path" });
  }
  if (!isRevision(revision)) {
    const message = `dataset.revision is ${quote(revision)}; a branch, a tag or a commit is needed`;
    throw new LoraFleetError("invalid_request", message, { param: "dataset.revision" });
  }
  return { type: "dataset", repo: path, revision };
}

interface Chosen {
  /** The repository's commit, or that of its conversion. */
  readonly source: OpenRepo;
  readonly files: readonly { readonly file: RepoFile; readonly split: string }[];
  readonly warnings: readonly string[];
}

async function choose(
  repo: OpenRepo,
  dataset: HubDataset,
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<Chosen> {
  const { files } = await repo.list("", true);
  const paths = [...files.keys()];
  if (isConversion(paths)) return chooseConverted(repo, dataset, files);
  const readme = files.get("README.md");
  const card = readme === undefined
    ? []
    : readCardConfigs(await Deno.readTextFile((await repo.fetch([readme]))[0]!));
  const own = configOf(paths, card, dataset.name ?? null);
  if (own === null) return await findConversion(repo, dataset, hub, signal);
  return {
    source: repo,
    files: filesOfSplits(own, dataset.split, dataset.path).map(({ path, split }) => (
      { file: files.get(path)!, split }
    )),
    warnings: settingWarnings(own),
  };
}

/** The conversion follows the default branch, so it cannot stand for any other revision. */
async function findConversion(
  repo: OpenRepo,
  dataset: HubDataset,
  hub: HubOptions,
  signal: AbortSignal | undefined,
): Promise<Chosen> {
  if (repo.name.revision !== "main") {
    throw unreadable(dataset, "and the hub converts the default branch to Parquet, not other revisions");
  }
  let source: OpenRepo;
  try {
    source = await openRepo({ ...repo.name, revision: CONVERSION }, hub, signal);
  } catch (thrown) {
    const cause = thrown instanceof LoraFleetError ? thrown.cause : null;
    if (!(cause instanceof HubRefusal) || cause.code !== "RevisionNotFound") throw thrown;
    throw unreadable(dataset, "and the hub has not converted it to Parquet");
  }
  const chosen = chooseConverted(source, dataset, (await source.list("", true)).files);
  const note =
    "The dataset's files are of no format that is read here: its rows come from the hub's conversion to Parquet.";
  return { ...chosen, warnings: [note, ...chosen.warnings] };
}

function chooseConverted(
  source: OpenRepo,
  dataset: HubDataset,
  files: ReadonlyMap<string, RepoFile>,
): Chosen {
  const config = convertedConfig([...files.keys()], dataset.name ?? null);
  if (config === null) throw unreadable(dataset, "and the hub's conversion to Parquet is empty");
  const chosen = filesOfSplits(config, dataset.split, dataset.path);
  const isPart = chosen.some(({ path }) => path.includes("/partial-"));
  return {
    source,
    files: chosen.map(({ path, split }) => ({ file: files.get(path)!, split })),
    warnings: isPart ? ["The hub has converted only the first rows of the dataset to Parquet."] : [],
  };
}

function unreadable({ path }: HubDataset, why: string): LoraFleetError {
  const message = `dataset ${quote(path)} has no JSONL, JSON, CSV, TSV, Parquet or text files, ${why}`;
  return new LoraFleetError("invalid_request", message, { param: "dataset.path" });
}

function settingWarnings({ name, otherSettings }: DatasetConfig): readonly string[] {
  if (otherSettings.length === 0) return [];
  return [
    `The dataset's configuration ${quote(name)} sets ${listed(otherSettings)}, which has no effect here.`,
  ];
}
