/** Every deadline, interval and size of the fleet's protocol, each with its reason; tests pass others. */
import { crc32 } from "node:zlib";
import { pcg32 } from "../prng.ts";

export type Limits = Readonly<typeof LIMITS>;

export const LIMITS = {
  /** Between a worker's heartbeats: four a second, so that a lost change is repeated before it matters. */
  heartbeatIntervalMs: 250,
  /**
   * A worker is lost after so many missed heartbeats: 2 s, ten times the longest gap seen on a machine whose cores were
   * all busy with software rendering, and short against what the fleet loses while it waits for a worker that is gone. A
   * worker that was only slow does its part of the step again.
   */
  lostAfterMissedHeartbeats: 8,
  /**
   * For so long after the coordinator has reconnected to the broker no worker counts as silent: workers redial every half
   * second, and a broker that has just started is slow.
   */
  reconnectGraceMs: 2000,
  /** How often a worker checks that its event loop turns: the resolution at which a gap is seen. */
  eventLoopTickMs: 10,
  /** How often the coordinator repeats its states: a lost announcement costs a second, never a hang. */
  announcementIntervalMs: 1000,
  /**
   * Changes of members that follow each other faster than this times the number of members are announced together: an
   * announcement names all members and goes to all of them, so that each join of thousands would cost gigabytes.
   */
  announcementPauseMsPerMember: 0.2,
  /**
   * One of several coordinators at a broker leads, and the next one may so long after the last sign of it. Longer than a
   * broker's restart, shorter than workers wait for announcements.
   */
  leaderLeaseMs: 10_000,
  /** After so long without an announcement a worker asks the join URL again: the broker's address may have changed. */
  coordinatorSilentMs: 15_000,
  /** Between two attempts to reach a coordinator that does not answer. */
  retryIntervalMs: 2000,
  /** For one answer of the coordinator to a request over the bus; the request is repeated until the attempt ends. */
  requestTimeoutMs: 1000,
  /** How long one pull of a micro-batch stays open at the broker before the next one is sent. */
  pullTimeoutMs: 1000,
  /** ackWait of micro-batches: without an ack the item is redelivered. A computing worker extends it at a third of this. */
  microBatchAckWaitMs: 30_000,
  /**
   * An attempt without a counted micro-batch for so long is done again, until the job's first one has shown how long one
   * takes: the first one includes the compilation of all kernels.
   */
  firstMicroBatchDeadlineMs: 600_000,
  /** The same once that is known: at least this … */
  microBatchDeadlineMs: 60_000,
  /** … or the job's slowest micro-batch times this, whichever is longer: a slower GPU may join at any time. */
  microBatchDeadlineFactor: 20,
  /** Without a counted micro-batch for so long idle workers also compute the step's last ones: at least this … */
  hedgeMs: 1000,
  /** … or the job's slowest micro-batch times this, whichever is longer: earlier, the same work twice gains nothing. */
  hedgeFactor: 2,
  /** What a round or a transfer of state needs besides its bytes: connecting, the update on the CPU, a busy machine. */
  transferBaseMs: 20_000,
  /** A SHA-256 of adapter and moments: 12 bytes an element, on one thread with instructions for it (decision 0049). */
  sha256MsPerElement: 7e-6,
  /** Every step gets one where that takes no longer than this … */
  sha256FreeMs: 1,
  /** … or at most this share of the time that the step's gradients took. */
  sha256ShareOfStep: 0.05,
  /** A slower link cannot take part: 1 MiB/s, half of a poor home's upstream. */
  slowestLinkBytesPerSecond: 2 ** 20,
  /** For writing and uploading a checkpoint, besides its bytes. */
  checkpointBaseMs: 120_000,
  /** A checkpoint that could not be stored in so many tries is left out, unless it is the last step's. */
  checkpointAttempts: 5,
  /**
   * Before a worker retries a checkpoint or a base model that its disk did not take; doubles with each failure. A disk
   * that was full for a moment has room again in seconds, a person who makes room needs minutes …
   */
  diskPauseMs: 1000,
  /** … up to this. */
  longestDiskPauseMs: 60_000,
  /** How long the last step's adapter is tried: without it the whole job's work is lost. A day has working hours in it. */
  finalCheckpointPatienceMs: 86_400_000,
  /** How long a draining worker continues its attempt. */
  drainMs: 120_000,
  /** When every worker with the job's newest state is gone, fresh ones wait so long for one to return, then start again. */
  stateLossGraceMs: 30_000,
  /** After so many strikes a worker is in quarantine for the rest of the job (decision 0012). */
  strikesUntilDropped: 3,
  /** Two accusers confirm each other within so many steps (decision 0019); a glitch of long ago confirms nothing. */
  accusationWindowSteps: 10,
  /** Every so many lone accusations of one other worker earn the accuser a strike: one may be the link between the two. */
  loneAccusationsUntilStrike: 2,
  /** Messages that no worker of ours would send are logged at most this often for each worker, with their number. */
  floodLogIntervalMs: 10_000,
  /**
   * So many of them within the window end the worker's credentials; each further 64 KiB of one counts once more. A release
   * that errs now and then stays, 60 MiB of nonsense do not.
   */
  badMessagesUntilCut: 1000,
  floodWindowMs: 60_000,
  /** No worker sends more: its heartbeats are four a second, its claims as many as its GPU has micro-batches. */
  maxMessagesPerSecond: 5000,
  /** Once all is counted, audits without progress for so long are skipped: at least this … */
  auditMs: 15_000,
  /** … or the job's slowest micro-batch times this: an auditor may have begun a different one just before. */
  auditFactor: 4,
  /**
   * The share of a step's micro-batches that may be excluded for gradients that are not finite; one always may. A bad
   * sample is rare; a model that diverges loses most of them, and must not continue with the rest.
   */
  excludedShareOfStep: 0.25,
  /** The same for the whole job: at least so many … */
  excludedOfJob: 4,
  /** … or this share of its micro-batches: with more a person has to look at the data. */
  excludedShareOfJob: 0.01,
  /** A step without a commit after so many attempts fails the job; attempts while the broker was away do not count. */
  maxAttemptsPerStep: 30,
  /**
   * Before the third attempt of a step, and before a retry of anything else that is not the job's fault (a record, a
   * stream, an upload); doubles with each failure …
   */
  firstPauseMs: 100,
  /** … up to this: 30 attempts take two minutes, so that a broker's bad second costs seconds and never the job. */
  longestPauseMs: 5000,
  /**
   * Lifetime of the token that a worker shows the broker. It asks for the next one at half of it, so that a coordinator may
   * be away for the other half; a token stolen from a machine that is gone is worth nothing a day later.
   */
  credentialLifetimeMs: 86_400_000,
  /** Bits between the largest gradient of the last steps and the next step's largest that still fits (decision 0038) … */
  exponentHeadroomBits: 6,
  /** … where a step's maximum counts as this share of it with each step that follows. */
  exponentKeptShare: 0.75,
};

/** How long an announcement delays the next change of so many members; never beyond its repetition. */
export function announcementPauseMs(memberCount: number, limits: Limits): number {
  const wantedMs = Math.floor(memberCount * limits.announcementPauseMsPerMember);
  return Math.min(limits.announcementIntervalMs, wantedMs);
}

/** When a worker counts as lost. */
export function lostAt(lastHeartbeatAt: number, limits: Limits): number {
  return lastHeartbeatAt + limits.heartbeatIntervalMs * limits.lostAfterMissedHeartbeats;
}

/** How long an attempt may go without a counted micro-batch; `slowestMs` is the job's slowest so far, or null. */
export function microBatchWaitMs(slowestMs: number | null, limits: Limits): number {
  if (slowestMs === null) return limits.firstMicroBatchDeadlineMs;
  return Math.max(limits.microBatchDeadlineMs, slowestMs * limits.microBatchDeadlineFactor);
}

/** How long a fully counted step waits for audits without progress. */
export function auditWaitMs(slowestMs: number | null, limits: Limits): number {
  return Math.max(limits.auditMs, (slowestMs ?? 0) * limits.auditFactor);
}

/** The pause after failure `number` (1-based) of something that is retried: doubles each time, no randomness. */
export function pauseMs(number: number, { firstPauseMs, longestPauseMs }: Limits): number {
  return doubled(number, firstPauseMs, longestPauseMs);
}

/** The pause after so many failures of one worker to store the same thing; 0 after none. */
export function diskPauseMs(failures: number, limits: Limits): number {
  return failures === 0 ? 0 : doubled(failures, limits.diskPauseMs, limits.longestDiskPauseMs);
}

function doubled(number: number, firstMs: number, longestMs: number): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(30, number - 1));
}

/**
 * The pause before a step's next attempt, after so many `failures`. The first costs no time: mostly a single worker was lost.
 * `name` decides the share of the pause, a half to all of it: fleets that failed together do not come back together, and
 * a simulation is the same every time.
 */
export function attemptPauseMs(failures: number, name: string, limits: Limits): number {
  if (failures <= 1) return 0;
  return Math.round(pauseMs(failures - 1, limits) * (1 + pcg32(crc32(name)).uniform()) / 2);
}

export function maxExcludedOfStep(microBatchCount: number, limits: Limits): number {
  return Math.max(1, Math.floor(microBatchCount * limits.excludedShareOfStep));
}

export function maxExcludedOfJob(microBatchCount: number, limits: Limits): number {
  return Math.max(limits.excludedOfJob, Math.floor(microBatchCount * limits.excludedShareOfJob));
}

/** For one round: a worker sends G bytes and receives 2G(W−1)/W, so that no more than 3G pass its link. */
export function roundWaitMs(gradientBytes: number, limits: Limits): number {
  return transferMs(3 * gradientBytes, limits);
}

/** For loading the committed state: the adapter and two moments, each as large as the gradient. */
export function recoverWaitMs(gradientBytes: number, limits: Limits): number {
  return transferMs(3 * gradientBytes, limits);
}

/** For writing and uploading an adapter, which is as large as the gradient. */
export function checkpointWaitMs(gradientBytes: number, limits: Limits): number {
  return limits.checkpointBaseMs + 1000 * gradientBytes / limits.slowestLinkBytesPerSecond;
}

function transferMs(bytes: number, limits: Limits): number {
  return limits.transferBaseMs + 1000 * bytes / limits.slowestLinkBytesPerSecond;
}
