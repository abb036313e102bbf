/**
 * Users of the API know models and files by their names; where these lie on the coordinator's disk is for its log alone. Messages
 * of the system and of libraries have paths in them, so that they are taken out where a text leaves the coordinator.
 */
import { resolve } from "@std/path";
import type { JobRecord } from "../jobs/job.ts";
import type { JobStore, NewJobEvent } from "../jobs/job_store.ts";

export type HidePaths = (text: string) => string;

/**
 * Takes the folders out of paths: `<root>/org/tiny` becomes `org/tiny`, and a root alone its name.
 *
 * @param folders by what they are called, such as "the data folder"
 */
export function createPathHider(folders: readonly (readonly [name: string, folder: string])[]): HidePaths {
  const known = folders.flatMap(([name, folder]) => spellingsOf(folder).map((path) => ({ name, path })))
    .filter(({ path }) => path !== "/").sort((a, b) => b.path.length - a.path.length);
  return (text) =>
    known.reduce((hidden, { name, path }) => hidden.replaceAll(`${path}/`, "").replaceAll(path, name), text);
}

/** As it is given, absolute, and without links. */
function spellingsOf(folder: string): string[] {
  const absolute = resolve(folder);
  const spellings = new Set([absolute]);
  try {
    spellings.add(Deno.realPathSync(absolute));
  } catch {
    // It is not there yet.
  }
  if (/^\/./.test(folder)) spellings.add(folder.replace(/\/+$/, ""));
  return [...spellings];
}

/** A job store without paths in the errors and events that users read. */
export function withoutPaths(store: JobStore, hide: HidePaths): JobStore {
  const ofEvent = (event: NewJobEvent): NewJobEvent => ({ ...event, message: hide(event.message) });
  const ofJob = (job: JobRecord): JobRecord =>
    job.error === null ? job : { ...job, error: { ...job.error, message: hide(job.error.message) } };
  return {
    ...store,
    putJob: (job, events) => store.putJob(ofJob(job), events.map(ofEvent)),
    appendEvents: (events) => store.appendEvents(events.map(ofEvent)),
  };
}
