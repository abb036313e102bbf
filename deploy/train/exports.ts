/** Further results of a finished job: asked for, waited for, downloaded, pushed. */
import { join } from "@std/path";
import { z } from "zod";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { ExportKind } from "../../shared/job/export_kinds.ts";
import type { ApiClient } from "../client/api_client.ts";
import { assertPlainName } from "../client/checkpoints.ts";
import { patiently } from "../client/reconnection.ts";
import type { TrainOptions } from "./options.ts";

const POLL_MS = 500;

const statusSchema = z.enum(["queued", "running", "succeeded", "failed"]);
const failureSchema = z.object({ message: z.string() }).nullable();
const exportSchema = z.object({
  id: z.string(),
  status: statusSchema,
  error: failureSchema,
  files: z.array(z.object({ name: z.string(), url: z.string(), sha256: z.string() })),
  measurement: z.object({ status: z.string(), reason: z.string().nullable() }).nullable().default(null),
  push: z.object({ status: statusSchema, url: z.string().nullable(), error: failureSchema }).nullable(),
});
type Export = z.output<typeof exportSchema>;

/** Exports of one job. The same request finds an export that an interrupted run has begun. */
export class JobExports {
  readonly #api: ApiClient;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;

  constructor(api: ApiClient, jobId: string, clock: Clock, signal: AbortSignal) {
    this.#api = api;
    this.#path = `/v1/fine_tuning/jobs/${jobId}/exports`;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** Throws `invalid_request` for an export that is refused, `aborted` for one that failed. */
  async make(kind: ExportKind): Promise<Export> {
    const begun = exportSchema.parse(await this.#patiently(() => this.#api.post(this.#path, { kind })));
    const made = await this.#until(begun, ({ status }) => isUnfinished(status));
    if (made.status !== "succeeded") throw failed(`the export ${kind}`, made.error);
    // Its card gets the numbers of the merge, unless no worker is there to measure it.
    return await this.#until(made, ({ measurement }) => isBeingMeasured(measurement));
  }

  async download({ files }: Export, folder: string): Promise<void> {
    await Deno.mkdir(folder, { recursive: true });
    for (const { name, url, sha256 } of files) {
      await this.#patiently(() => this.#api.downloadTo(url, join(folder, assertPlainName(name)), sha256));
    }
  }

  /** Pushes an export to the hub with the coordinator's token. Returns the repository's URL. */
  async push({ id }: Export, repo: string): Promise<string> {
    const ask = () => this.#api.post(`${this.#path}/${id}/push`, { hub_model_id: repo });
    const begun = exportSchema.parse(await this.#patiently(ask));
    const { push } = await this.#until(begun, ({ push }) => isUnfinished(push!.status));
    if (push!.status === "succeeded") return push!.url ?? repo;
    throw failed(`the push to ${repo}`, push!.error);
  }

  async #until(found: Export, isGoingOn: (found: Export) => boolean): Promise<Export> {
    while (isGoingOn(found)) {
      await this.#clock.sleep(POLL_MS, this.#signal);
      const ask = () => this.#api.json(`${this.#path}/${found.id}`);
      found = exportSchema.parse(await this.#patiently(ask));
    }
    return found;
  }

  /** A coordinator that is restarted meanwhile goes on with its exports and pushes, and makes none twice. */
  #patiently<T>(ask: () => Promise<T>): Promise<T> {
    return patiently(this.#clock, this.#signal, ask);
  }
}

function isUnfinished(status: Export["status"]): boolean {
  return status === "queued" || status === "running";
}

/** A measurement that waits has no reason in the first second. */
function isBeingMeasured(measurement: Export["measurement"]): boolean {
  const { status, reason = null } = measurement ?? {};
  return status === "running" || (status === "waiting" && reason === null);
}

function failed(what: string, error: z.output<typeof failureSchema>): LoraFleetError {
  return new LoraFleetError("aborted", `${what} failed: ${error?.message ?? "no reason was given"}`);
}

export interface FurtherResults {
  /** Those that were made. */
  readonly exports: readonly ExportKind[];
  /** Of the first export that failed, or of the push. */
  readonly failure: LoraFleetError | null;
}

/**
 * What is asked for beside the adapter; the first export is pushed, or the adapter itself. One that fails costs neither the others
 * nor what comes after them: the training is done.
 */
export async function writeExports(
  { exports: kinds, outFolder, pushTo }: Pick<TrainOptions, "exports" | "outFolder" | "pushTo">,
  jobExports: Pick<JobExports, "make" | "download" | "push">,
  note: (line: string) => void,
  signal: AbortSignal,
): Promise<FurtherResults> {
  const exports: ExportKind[] = [];
  let failure: LoraFleetError | null = null;
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work();
    } catch (thrown) {
      // Ctrl-C is no failure of an export.
      signal.throwIfAborted();
      if (!(thrown instanceof LoraFleetError)) throw thrown;
      note(`error: ${thrown.message}`);
      failure ??= thrown;
    }
  };
  for (const kind of kinds) {
    note(`exporting: ${kind}`);
    await attempt(async () => {
      await jobExports.download(await jobExports.make(kind), join(outFolder, kind));
      exports.push(kind);
    });
  }
  const pushed = kinds[0] ?? "adapter";
  if (pushTo !== null && (kinds.length === 0 || exports.includes(pushed))) {
    note(`pushing to ${pushTo}`);
    await attempt(async () =>
      note(`pushed: ${await jobExports.push(await jobExports.make(pushed), pushTo)}`)
    );
  }
  return { exports, failure };
}
