/** Catching up with the newest commit: fetches its state from one of its holders and imports it into the engine. */
import { crc32 } from "node:zlib";
import { messageOf, quote } from "../../shared/errors.ts";
import type { MemberRef, StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { Committed } from "../../shared/protocol/messages_worker.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { holdersFor, sameCommit } from "../step/step_action.ts";
import type { StepStates } from "../step/step_states.ts";
import { fetchState, type StateTransfer } from "./fetch_state.ts";

interface RecoverOptions extends StateTransfer {
  readonly self: MemberRef;
  readonly states: StepStates;
  /** Makes the state of this commit the engine's; returns its digest. */
  readonly importState: (committed: Committed, state: TrainingState) => Promise<string>;
}

/**
 * Tries one holder after the other, each worker beginning with a different one; pauses if none has the state. Returns once the
 * state is loaded, all tries have failed, or a different commit is announced. Rejects when `states` is closed.
 */
export async function recover(options: RecoverOptions, state: StepState): Promise<void> {
  const { self, states, clock, limits } = options;
  const committed = state.committed!;
  const watch = states.watch((newer) => sameCommit(newer.committed, committed));
  const holders = holdersFor(state, self);
  const first = crc32(self.worker) % holders.length;
  try {
    for (const holder of [...holders.slice(first), ...holders.slice(0, first)]) {
      if (await isRecoveredFrom(options, holder, committed, watch.signal)) return;
    }
    await clock.sleep(limits.retryIntervalMs, watch.signal);
  } catch (thrown) {
    if (!watch.signal.aborted) throw thrown;
    states.closed.throwIfAborted();
  } finally {
    watch.end();
  }
}

/** False as soon as the holder is no longer listed, so that the next one is tried at once. */
async function isRecoveredFrom(
  options: RecoverOptions,
  holder: string,
  committed: Committed,
  wanted: AbortSignal,
): Promise<boolean> {
  const listed = options.states.watch((newer) =>
    sameCommit(newer.committed, committed) && newer.holders.includes(holder)
  );
  try {
    return await recoverFrom(options, holder, committed, listed.signal);
  } catch (thrown) {
    if (!listed.signal.aborted || wanted.aborted) throw thrown;
    return false;
  } finally {
    listed.end();
  }
}

async function recoverFrom(
  options: RecoverOptions,
  holder: string,
  committed: Committed,
  signal: AbortSignal,
): Promise<boolean> {
  const { importState, log, clock } = options;
  const startedAt = clock.now();
  let fetched;
  try {
    fetched = await fetchState({ ...options, committed, holder, signal });
  } catch (thrown) {
    signal.throwIfAborted();
    log("warn", messageOf(thrown));
    return false;
  }
  const { step } = committed;
  const digest = await importState(committed, fetched);
  const elapsedMs = Math.round(clock.now() - startedAt);
  if (digest === committed.digest) {
    log("info", `the state of step ${step} is loaded from ${holder} in ${elapsedMs} ms`);
    return true;
  }
  const what = `a state of step ${step} with the digest ${digest}`;
  log("warn", `${quote(holder)} sent ${what}, but ${committed.digest} is committed`);
  return false;
}
