/** The coordinator's data folder: locked against a second coordinator, private, and opened store by store. */
import { quote } from "../../shared/errors.ts";
import { type AccessStore, openAccessStore } from "../access/access_store.ts";
import { createPathHider, type HidePaths } from "../api/hidden_paths.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import type { JobStore } from "../jobs/stores/job_store.ts";
import { cleanTexts } from "../jobs/stores/clean_texts.ts";
import { logJobEvents } from "../jobs/stores/logged_job_store.ts";
import { openSqliteJobStore } from "../jobs/stores/sqlite_job_store.ts";
import { type Standby, waitToLead } from "./leadership/standby.ts";
import { type ArtifactStore, createArtifactStore } from "../storage/artifact_store.ts";
import { makePrivate } from "../storage/private_folder.ts";
import { removeUnfinishedFiles } from "../storage/streamed_file.ts";
import { sweepSnapshots } from "../upkeep/backup/backup.ts";
import { layoutOf, migrateLayout } from "../upkeep/layout.ts";
import { type Identity, loadIdentity } from "./identity.ts";
import type { CoordinatorParts } from "./parts.ts";

/** How often a standby tries to lock the folder: it should lead within a second. */
const LOCK_INTERVAL_MS = 200;

export interface DataFolder {
  /** Hides paths in what it stores and logs every event with them. */
  readonly store: JobStore;
  readonly accessStore: AccessStore;
  readonly artifacts: ArtifactStore;
  /** As the last process on this folder left it. */
  readonly identity: Identity;
  readonly hidePaths: HidePaths;
}

/** Waits for the folder's lock if `standby` allows it. Throws `storage`, or `conflict` if locked. */
export async function openDataFolder(
  { dataFolder, modelRoots, hub }: CoordinatorConfig,
  { clock, log }: Pick<CoordinatorParts, "clock" | "log">,
  standby: Standby,
  started: AsyncDisposableStack,
): Promise<DataFolder> {
  // Before anything in a folder of a newer lorafleet is touched.
  await layoutOf(dataFolder);
  // The job store comes first: its lock keeps a second coordinator from touching anything else in the folder.
  const jobStore = await waitToLead(
    standby,
    `the data folder ${quote(dataFolder)}`,
    LOCK_INTERVAL_MS,
    () =>
      openSqliteJobStore(
        `${dataFolder}/coordinator.sqlite`,
        (message) => log("error", message),
        (from, to) => log("info", `the job store is brought from version ${from} to ${to}`),
      ),
  );
  started.defer(() => jobStore.close());
  await migrateLayout(dataFolder);
  await sweepSnapshots(dataFolder);
  await makePrivate(dataFolder, modelRoots, (message) => log("warn", message));
  const hidePaths = createPathHider([
    ...modelRoots.map((root) => ["the model roots", root] as const),
    ["the hub's cache", hub.cacheFolder],
    ["the data folder", dataFolder],
  ]);
  // The log wraps the hider because operators need the paths.
  const store = logJobEvents(cleanTexts(jobStore, hidePaths), clock, log);
  const identity = await loadIdentity(dataFolder);
  await removeUnfinishedFiles(`${dataFolder}/artifacts`);
  const artifacts = createArtifactStore(`${dataFolder}/artifacts`, clock);
  const accessStore = openAccessStore(`${dataFolder}/access.sqlite`);
  started.defer(() => accessStore.close());
  return { store, accessStore, artifacts, identity, hidePaths };
}
