/** Progress of transfers as sentences, few enough to read. */
import type { Clock } from "../clock.ts";
import type { HubProgress } from "./download_repo.ts";

interface PaceOptions {
  readonly clock: Pick<Clock, "now">;
  /** Between two reports. */
  readonly everyMs: number;
  /** What is transferred: `org/name`. */
  readonly what: string;
  readonly report: (message: string, data: Record<string, unknown>) => void;
  /** Default: Downloading, Downloaded. */
  readonly verbs?: readonly [during: string, after: string];
}

/** A function that reports the first, the last, and in between one call per `everyMs`. Nothing to transfer: no report. */
export function paceProgress(options: PaceOptions): (progress: HubProgress) => void {
  const { clock, everyMs, what, report, verbs: [during, after] = ["Downloading", "Downloaded"] } = options;
  let startedAt = 0;
  let startBytes = 0;
  let reportedAt = -Infinity;
  let isDone = false;
  return ({ path, doneBytes, totalBytes }) => {
    const now = clock.now();
    const data = { file: path, done_bytes: doneBytes, total_bytes: totalBytes };
    if (doneBytes >= totalBytes) {
      if (!isDone && totalBytes > 0) report(`${after} ${formatBytes(totalBytes)} of ${what}.`, data);
      isDone = true;
      return;
    }
    isDone = false;
    if (reportedAt === -Infinity) [startedAt, startBytes] = [now, doneBytes];
    if (now - reportedAt < everyMs) return;
    const isFirst = reportedAt === -Infinity;
    reportedAt = now;
    const share = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
    if (isFirst) return report(`${during} ${formatBytes(totalBytes)} of ${what}${resumed(doneBytes)}.`, data);
    const rate = (doneBytes - startBytes) / Math.max(1, now - startedAt) * 1000;
    const left = rate > 0 ? `, ${duration((totalBytes - doneBytes) / rate)} left` : "";
    const percent = Math.floor(100 * doneBytes / totalBytes);
    report(`${during} ${what}: ${share} (${percent} %), ${formatBytes(rate)}/s${left}.`, data);
  };
}

const resumed = (bytes: number) => bytes === 0 ? "" : `, from byte ${bytes}`;

/** In decimal units, as hubs show sizes: `13.5 GB`. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (power < units.length - 1 && bytes >= 999.5 * 1000 ** power) power++;
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 99.5 ? Math.round(value) : value.toPrecision(2 + Number(value >= 10))} ${
    units[power]
  }`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
