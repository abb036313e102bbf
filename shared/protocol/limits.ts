/**
 * Every deadline, interval and size of the fleet's protocol, each with its reason. Everything that waits, waits for one of
 * these. A test passes others to the coordinator and the workers.
 */
import { crc32 } from "node:zlib";
import { pcg32 } from "../prng.ts";

export interface Limits {
  /** How often a worker tells its state. Four times a second: a change that got lost is told again before anybody minds. */
  readonly heartbeatIntervalMs: number;
  /**
   * A worker is lost after so many heartbeats have not come: 2 s. Ten times the longest gap that was seen on a machine
   * whose cores were all busy with software rendering, short against what the fleet loses while it waits for a worker that
   * is gone. One that was only slow to speak does its part of the step again.
   */
  readonly lostAfterMissedHeartbeats: number;
  /**
   * After the coordinator's connection to the broker has come back, silence is nobody's fault for so long: workers redial
   * every half a second, and a broker that has just started is slow.
   */
  readonly reconnectGraceMs: number;
  /** How often a worker's event loop is asked whether it still turns; a gap is seen at this resolution. */
  readonly eventLoopTickMs: number;
  /** How often the coordinator repeats its states: a lost announcement costs a second, never a hang. */
  readonly announcementIntervalMs: number;
  /**
   * Changes of members that follow each other faster than this times the number of members are announced together: an
   * announcement names all members and goes to all of them, so that each join of thousands would cost gigabytes.
   */
  readonly announcementPauseMsPerMember: number;
  /**
   * Of several coordinators at one broker one leads, and the next one may so long after the last that was heard of it. Longer
   * than a broker needs to restart, shorter than workers wait for announcements.
   */
  readonly leaderLeaseMs: number;
  /** Without an announcement for so long a worker asks the join URL again: the broker may have another address now. */
  readonly coordinatorSilentMs: number;
  /** Between two attempts to reach a coordinator that does not answer. */
  readonly retryIntervalMs: number;
  /** For one answer of the coordinator to a request over the bus; the request is repeated until the attempt ends. */
  readonly requestTimeoutMs: number;
  /** How long one pull of a micro-batch stays open at the broker; then the next one is sent. */
  readonly pullTimeoutMs: number;
  /** An item that nobody acknowledged or extended for so long comes again; who computes extends it at a third of this. */
  readonly microBatchAckWaitMs: number;
  /**
   * Without any counted micro-batch for so long the attempt is done again, while it is not known how long one takes:
   * the first one includes the compilation of all kernels.
   */
  readonly firstMicroBatchDeadlineMs: number;
  /** The same once it is known: at least this … */
  readonly microBatchDeadlineMs: number;
  /** … or the slowest micro-batch of the job times this, whichever is longer: a slower GPU may join at any time. */
  readonly microBatchDeadlineFactor: number;
  /** Without a counted micro-batch for so long the step's last ones are given to idle workers as well: at least this … */
  readonly hedgeMs: number;
  /** … or the slowest micro-batch of the job times this, whichever is longer: the same work twice is no gain before. */
  readonly hedgeFactor: number;
  /** What a round or a transfer of state needs besides its bytes: connecting, the update on the CPU, a busy machine. */
  readonly transferBaseMs: number;
  /** A link slower than this cannot take part: 1 MiB/s, half of a poor home's upstream. */
  readonly slowestLinkBytesPerSecond: number;
  /** For writing and uploading a checkpoint, besides its bytes. */
  readonly checkpointBaseMs: number;
  /** A checkpoint that could not be stored in so many tries is left out; the last step's is not. */
  readonly checkpointAttempts: number;
  /**
   * Before a worker tries again what its disk did not take, a checkpoint or the base model; doubles with each failure. Who can
   * make room needs minutes, and a disk that was full for a moment is free again in seconds …
   */
  readonly diskPauseMs: number;
  /** … up to this. */
  readonly longestDiskPauseMs: number;
  /** The last step's adapter is tried for so long: without it the work of the whole job is lost. A day has working hours in it. */
  readonly finalCheckpointPatienceMs: number;
  /** How long a draining worker goes on with the attempt that it takes part in. */
  readonly drainMs: number;
  /**
   * When every worker with the job's newest state is gone, fresh ones wait so long for one of them to come back (a
   * broken connection) before the job starts again.
   */
  readonly stateLossGraceMs: number;
  /** A worker that was to blame so often is in quarantine for the rest of the job (decision 0012). */
  readonly strikesUntilDropped: number;
  /** Two accusers confirm each other within so many steps (decision 0019); a glitch of long ago confirms nothing. */
  readonly accusationWindowSteps: number;
  /** Who accuses one other worker alone gets a strike every so many times: once may be a link between just the two. */
  readonly loneAccusationsUntilStrike: number;
  /** Messages that no worker of ours would send are told of at most so often for each worker, with their number. */
  readonly floodLogIntervalMs: number;
  /**
   * So many of them within the window end the worker's credentials, each 64 KiB counted once more: a release that errs in one
   * message in a while stays, 60 MiB of nonsense do not.
   */
  readonly badMessagesUntilCut: number;
  readonly floodWindowMs: number;
  /** No worker speaks faster: its heartbeats are four a second, its claims as many as its GPU has micro-batches. */
  readonly mostMessagesPerSecond: number;
  /** Once all is counted, audits without any progress for so long are skipped: at least this … */
  readonly auditMs: number;
  /** … or the slowest micro-batch of the job times this: an auditor may have begun another one just before. */
  readonly auditFactor: number;
  /**
   * The share of a step's micro-batches that may be excluded since their gradients are not finite; one may in any case. A bad
   * sample is rare; a model that diverges loses most of them, and shall not go on with the rest.
   */
  readonly excludedShareOfStep: number;
  /** The same for the whole job: at least so many … */
  readonly excludedOfJob: number;
  /** … or this share of its micro-batches: with more it is the data that needs a person's look. */
  readonly excludedShareOfJob: number;
  /**
   * A step that was not committed in so many attempts fails the job: nobody is helped by trying for ever. Attempts in which
   * the broker was away do not count.
   */
  readonly maxAttemptsPerStep: number;
  /**
   * Before the third attempt of a step, and whenever something that is not the job's fault is tried again (a record, a
   * stream, an upload): the pause doubles with each failure …
   */
  readonly firstPauseMs: number;
  /** … up to this: 30 attempts take two minutes, so that a broker's bad second costs seconds and never the job. */
  readonly longestPauseMs: number;
  /**
   * How long the token lives that a worker shows the broker. It asks for the next one at half of it, so that a coordinator may
   * be away for the other half; what was stolen from a machine that is gone is worth nothing a day later.
   */
  readonly credentialLifetimeMs: number;
  /** Bits between a step's largest gradient and the next step's largest that still fits (decision 0001). */
  readonly exponentHeadroomBits: number;
}

export const LIMITS: Limits = {
  heartbeatIntervalMs: 250,
  lostAfterMissedHeartbeats: 8,
  reconnectGraceMs: 2000,
  eventLoopTickMs: 10,
  announcementIntervalMs: 1000,
  announcementPauseMsPerMember: 0.2,
  leaderLeaseMs: 10_000,
  coordinatorSilentMs: 15_000,
  retryIntervalMs: 2000,
  requestTimeoutMs: 1000,
  pullTimeoutMs: 1000,
  microBatchAckWaitMs: 30_000,
  firstMicroBatchDeadlineMs: 600_000,
  microBatchDeadlineMs: 60_000,
  microBatchDeadlineFactor: 20,
  hedgeMs: 1000,
  hedgeFactor: 2,
  transferBaseMs: 20_000,
  slowestLinkBytesPerSecond: 2 ** 20,
  checkpointBaseMs: 120_000,
  checkpointAttempts: 5,
  diskPauseMs: 1000,
  longestDiskPauseMs: 60_000,
  finalCheckpointPatienceMs: 86_400_000,
  drainMs: 120_000,
  stateLossGraceMs: 30_000,
  strikesUntilDropped: 3,
  accusationWindowSteps: 10,
  loneAccusationsUntilStrike: 2,
  floodLogIntervalMs: 10_000,
  badMessagesUntilCut: 1000,
  floodWindowMs: 60_000,
  mostMessagesPerSecond: 5000,
  auditMs: 15_000,
  auditFactor: 4,
  excludedShareOfStep: 0.25,
  excludedOfJob: 4,
  excludedShareOfJob: 0.01,
  maxAttemptsPerStep: 30,
  firstPauseMs: 100,
  longestPauseMs: 5000,
  credentialLifetimeMs: 86_400_000,
  exponentHeadroomBits: 3,
};

/** How long changes of so many members are put off after an announcement; never longer than until it is repeated. */
export function announcementPauseMs(memberCount: number, limits: Limits): number {
  return Math.min(
    limits.announcementIntervalMs,
    Math.floor(memberCount * limits.announcementPauseMsPerMember),
  );
}

/** When a worker that was last heard at `lastHeartbeatAt` counts as lost. */
export function lostAt(lastHeartbeatAt: number, limits: Limits): number {
  return lastHeartbeatAt + limits.heartbeatIntervalMs * limits.lostAfterMissedHeartbeats;
}

/** How long an attempt may go without a counted micro-batch. `slowestMs` is the slowest of the job so far, or null. */
export function microBatchWaitMs(slowestMs: number | null, limits: Limits): number {
  if (slowestMs === null) return limits.firstMicroBatchDeadlineMs;
  return Math.max(limits.microBatchDeadlineMs, slowestMs * limits.microBatchDeadlineFactor);
}

/** How long a step of which all is counted waits for its audits without any progress. */
export function auditWaitMs(slowestMs: number | null, limits: Limits): number {
  return Math.max(limits.auditMs, (slowestMs ?? 0) * limits.auditFactor);
}

/** After failure `number` (1-based) of something that is tried again: doubled each time, without any chance in it. */
export function pauseMs(number: number, { firstPauseMs, longestPauseMs }: Limits): number {
  return doubled(number, firstPauseMs, longestPauseMs);
}

/** After so many failures of one worker to store the same thing; 0 after none. */
export function diskPauseMs(failures: number, limits: Limits): number {
  return failures === 0 ? 0 : doubled(failures, limits.diskPauseMs, limits.longestDiskPauseMs);
}

function doubled(number: number, firstMs: number, longestMs: number): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(30, number - 1));
}

/**
 * Between an attempt of a step and the next one, after so many `failures` of that step. The first one costs no time: a worker
 * that was lost is mostly alone in it. The share between a half and all of the pause follows from `name`, so that fleets
 * which failed together do not come back together, and a simulation is the same every time.
 */
export function attemptPauseMs(failures: number, name: string, limits: Limits): number {
  if (failures <= 1) return 0;
  return Math.round(pauseMs(failures - 1, limits) * (1 + pcg32(crc32(name)).uniform()) / 2);
}

/** How many of a step's micro-batches may be excluded. */
export function mostExcludedOfStep(microBatchCount: number, limits: Limits): number {
  return Math.max(1, Math.floor(microBatchCount * limits.excludedShareOfStep));
}

/** And how many of all of a job's. */
export function mostExcludedOfJob(microBatchCount: number, limits: Limits): number {
  return Math.max(limits.excludedOfJob, Math.floor(microBatchCount * limits.excludedShareOfJob));
}

/**
 * For one round: a worker sends G bytes in all and receives 2G(W−1)/W (owner reduce-scatter, broadcast fan-out), so no
 * more than 3G pass its link.
 */
export function roundWaitMs(gradientBytes: number, limits: Limits): number {
  return transferMs(3 * gradientBytes, limits);
}

/** For a worker that loads the newest committed state: the adapter and two moments, each as large as the gradient. */
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
