/**
 * Queues the exports and the push that jobs ask for, once they have succeeded. A job remembers that it has done so; a coordinator
 * that ends in between does it at its next start, and finds the exports that are there already.
 */
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import type { Afterwards } from "../../job_request/afterwards.ts";
import type { JobService } from "../../jobs/job_service.ts";
import { isFinished, type JobRecord, resultStepOf } from "../../jobs/record/job.ts";
import type { JobStore } from "../../jobs/stores/job_store.ts";
import type { ExportService } from "../export_service.ts";
import type { ExportRecord } from "../record/export_record.ts";
import { resultName } from "../work/export_task.ts";

interface FollowOptions {
  readonly exports: Pick<ExportService, "create" | "pushWhenDone">;
  readonly store: Pick<JobStore, "jobs" | "job" | "putJob" | "unfinishedJobs">;
  readonly onDefect: (message: string, thrown: unknown) => void;
}

const PAGE = 100;

/** The same service, whose jobs are followed by what they ask for. */
export function followJobs(jobs: JobService, options: FollowOptions): JobService {
  const { store, onDefect } = options;

  const queueFor = (id: string): void => {
    try {
      queueAfterwards(jobs, options, jobs.get(id));
    } catch (thrown) {
      onDefect(`the exports of job ${id} are queued at the next start`, thrown);
    }
  };

  const follow = ({ id, afterwards }: JobRecord): void => {
    if (afterwards === undefined) return;
    const look = () => {
      const { status } = jobs.get(id);
      if (!isFinished(status)) return;
      unwatch();
      if (status === "succeeded") queueFor(id);
    };
    const unwatch = jobs.watch(id, look);
    look();
  };

  return {
    ...jobs,
    async create(...request) {
      const job = await jobs.create(...request);
      follow(job);
      return job;
    },
    start() {
      for (const job of store.unfinishedJobs()) follow(job);
      for (const id of interruptedIds(store)) queueFor(id);
      jobs.start();
    },
  };
}

/** Jobs that have succeeded just before their coordinator ended. */
function interruptedIds(store: FollowOptions["store"]): string[] {
  const ids: string[] = [];
  for (let after: string | null = null;;) {
    const { items, hasMore } = store.jobs({ after, limit: PAGE });
    for (const { id, status, afterwards } of items) {
      if (status === "succeeded" && afterwards?.isQueued === false) ids.push(id);
    }
    if (!hasMore) return ids;
    after = items.at(-1)!.id;
  }
}

function queueAfterwards(jobs: JobService, { exports, store }: FollowOptions, job: JobRecord): void {
  const { id, afterwards } = job;
  if (afterwards === undefined || afterwards.isQueued) return;
  const said: string[] = [];
  try {
    said.push(...queueAll(exports, job, afterwards));
    jobs.record(id, "info", `What follows the job is queued: ${said.join(", ")}.`);
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    const message = `What follows the job is not queued: ${
      messageOf(thrown)
    }; ask for it at …/jobs/${id}/exports.`;
    jobs.record(id, "error", message, { code: thrown.code });
  }
  store.putJob({ ...store.job(id)!, afterwards: { ...afterwards, isQueued: true } }, []);
}

/** Returns what is queued, in words. */
function queueAll(
  exports: FollowOptions["exports"],
  job: JobRecord,
  { exports: bodies, push }: Afterwards,
): string[] {
  const step = resultStepOf(job) ?? undefined;
  const made: ExportRecord[] = bodies.map((body) => exports.create(job.id, { ...body, step }));
  const said = made.map(({ id, request }) => `${request.kind} (${id})`);
  if (push === null) return said;
  const { kind, hub_model_id: repo, ...target } = push;
  const known = made.find(({ request }) => request.kind === kind);
  const pushed = known ?? exports.create(job.id, { kind, step });
  if (known === undefined) said.push(`${kind} (${pushed.id})`);
  const body = { ...target, hub_model_id: repo ?? resultName(job) };
  exports.pushWhenDone(job.id, pushed.id, body);
  return [...said, `the push of ${pushed.id} to ${body.hub_model_id}`];
}
