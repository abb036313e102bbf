/** `up`: rents a fleet's pods, all of them or none; with a job and `--until-done`, stays and keeps them until the job is over. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { RunPodApi } from "./api/runpod_api.ts";
import { affordable, MIN_LEASE_MS, podDollarsPerHour, REMOVE_BEFORE_MS } from "./budget.ts";
import { START_TIMEOUT_MS } from "./decide.ts";
import { dollars } from "./dollars.ts";
import { FleetState } from "./fleet_state.ts";
import { isOf } from "./names.ts";
import { alternatives, type Offer } from "./offers.ts";
import type { UpOptions } from "./commands.ts";
import type { PodPlan } from "./plan.ts";
import { findOffers } from "./prices.ts";
import { type PodWorld, rentPod } from "./rent.ts";
import { describeOffers, describeRented, type Finish, isRefusals, scale } from "./scale.ts";
import { leftMessage, teardown } from "./teardown.ts";

export interface UpWorld extends PodWorld {
  /** Asks the user. */
  readonly confirm: (question: string) => boolean;
  /** A job's status. Throws if there is no such job. */
  readonly jobStatus: (id: string) => Promise<string>;
  /** Ends the removal of the pods, too: a second Ctrl-C. */
  readonly lastSignal: AbortSignal;
}

const POLL_MS = 5000;
/** How long pods are removed after a failure. */
const PATIENCE_MS = 10 * 60_000;
const OVER = ["succeeded", "failed", "cancelled"];

/** Throws `LoraFleetError` for whatever went wrong, when nothing is left running or the message says what is. */
export async function up(options: UpOptions, world: UpWorld): Promise<void> {
  const { connection, signal } = world;
  const { jobId, fleet, wanted } = options;
  if (jobId !== null) await checkJob(jobId, world);
  const volume = options.volumeId === null
    ? null
    : await new RunPodApi(connection, signal).volume(options.volumeId);
  const { offers, all } = await findOffers(connection, wanted, signal);
  const plan: PodPlan = { ...options, volume, maxPrice: wanted.maxPrice };
  checkBudget(options, offers);
  world.print(quotation(options, offers));
  if (!options.isConfirmed && !world.confirm("Rent them?")) {
    throw new LoraFleetError("aborted", "nothing was rented");
  }
  using state = await FleetState.open(options.stateFolder, fleet);
  await takeOver(state, options, world);
  try {
    if (!options.untilDone) return await rentAll(plan, offers, all, options, state, world);
    const finish = await scale(world, {
      ...{ plan, state, count: options.count },
      jobStatus: () => world.jobStatus(jobId!),
      findOffers: async () => (await findOffers(connection, wanted, signal)).offers,
    });
    world.print(`${finish.reason}: removing the pods`);
    await removeAll(state, fleet, world, null);
    if (finish.outcome !== "done") throw new LoraFleetError("aborted", messageOfFinish(finish, jobId!));
  } catch (thrown) {
    if (state.left.length > 0) await removeAll(state, fleet, world, thrown);
    else await state.forget();
    throw thrown;
  }
}

async function checkJob(jobId: string, world: UpWorld): Promise<void> {
  const status = await world.jobStatus(jobId);
  if (!OVER.includes(status)) return;
  throw new LoraFleetError("conflict", `the job ${quote(jobId)} needs no pods: it has ${status}`, {
    param: "for-job",
  });
}

function checkBudget({ budget, count, diskGb, untilDone }: UpOptions, offers: readonly Offer[]): void {
  if (budget === null) return;
  const price = podDollarsPerHour(Math.min(...offers.map((offer) => offer.price)), diskGb);
  const possible = affordable([], budget, 0, price, count);
  if (possible >= (untilDone ? 1 : count)) return;
  const minutes = MIN_LEASE_MS / 60_000;
  const message =
    `--budget is ${dollars(budget)}, which pays ${possible} of ${count} pods at ${dollars(price)}/h for ` +
    `${minutes} min, the least that is worth a start; ${
      dollars(Math.ceil(price * count * 25) / 100)
    } would do`;
  throw new LoraFleetError("conflict", message, { param: "budget" });
}

/** What the user agrees to. */
function quotation(
  { count, budget, diskGb, image, fleet, jobId, idleMinutes, untilDone }: UpOptions,
  offers: readonly Offer[],
) {
  const perHour = (price: number) => dollars(count * podDollarsPerHour(price, diskGb));
  const prices = offers.map(({ price }) => price);
  const [low, high] = [perHour(Math.min(...prices)), perHour(Math.max(...prices))];
  const hours = budget === null ? 0 : budget / (count * podDollarsPerHour(Math.max(...prices), diskGb));
  return [
    `${count} ${count === 1 ? "pod" : "pods"} for fleet "${fleet}"${
      jobId === null ? "" : `, job ${jobId}`
    }, image ${image}`,
    describeOffers(offers),
    `  together ${low === high ? low : `${low} to ${high}`} an hour, with ${diskGb} GB of disk each`,
    budget === null
      ? `  no --budget: ${untilDone ? "until the job is over" : "until you remove them"}`
      : `  ${dollars(budget)} at most, which lasts ${hours.toFixed(1)} h or longer`,
    idleMinutes === null
      ? "  a pod without work stays"
      : `  a pod without work for ${idleMinutes} min removes itself`,
  ].join("\n");
}

/** Makes this command the one that is at work on the fleet. Throws `conflict`. */
async function takeOver(
  state: FleetState,
  { fleet, jobId, budget, untilDone, coordinatorUrl }: UpOptions,
  world: UpWorld,
): Promise<void> {
  if (!state.isOwner) {
    const message = `a different command is at work on fleet ${
      quote(fleet)
    }: wait for it, or choose a different --fleet`;
    throw new LoraFleetError("conflict", message, { param: "fleet" });
  }
  await state.clearStop();
  const pods = (await new RunPodApi(world.connection, world.signal).pods()).filter(({ name }) =>
    isOf(name, fleet)
  );
  const isSameJob = untilDone && state.record.jobId === jobId;
  if (pods.length > 0 && !isSameJob) {
    const message =
      `fleet ${quote(fleet)} has ${pods.length} pods already: remove them with down --fleet ${fleet}, ` +
      "or choose a different --fleet";
    throw new LoraFleetError("conflict", message, { param: "fleet" });
  }
  if (pods.length > 0) {
    world.print(`going on with ${pods.length} pods of an interrupted command, and with what they have cost`);
  } else await state.forget();
  await state.begin(jobId, budget, coordinatorUrl);
}

async function rentAll(
  plan: PodPlan,
  offers: readonly Offer[],
  all: readonly Offer[],
  { count, fleet }: UpOptions,
  state: FleetState,
  world: UpWorld,
): Promise<void> {
  for (let openCount = count; openCount > 0; openCount--) {
    await checkNotStopped(state);
    const rented = await rentPod(world, { plan, offers, state, openCount });
    if (isRefusals(rented)) {
      const got = count - openCount;
      const message = `${got} of ${count} pods could be rented (${rented.join(", ")}); ${
        alternatives(all, plan.maxPrice)
      }`;
      throw new LoraFleetError("conflict", message);
    }
    world.print(describeRented(rented));
  }
  await waitUntilRunning(count, fleet, state, world);
  world.print(`${count} of ${count} pods run; deploy:runpod status, logs and down take --fleet ${fleet}`);
}

/** Throws `aborted` if `down` was started in the meantime. */
async function checkNotStopped(state: FleetState): Promise<void> {
  if (!await state.isAskedToStop()) return;
  throw new LoraFleetError("aborted", "a different command removes the fleet");
}

async function waitUntilRunning(
  count: number,
  fleet: string,
  state: FleetState,
  world: UpWorld,
): Promise<void> {
  const { connection, signal } = world;
  const { clock } = connection;
  const api = new RunPodApi(connection, signal);
  // A pod without a worker does not leave by itself: this command has to be there when its lease ends.
  const leaseEnds = state.left.map(({ leaseEndsAt }) => (leaseEndsAt ?? Infinity) - REMOVE_BEFORE_MS);
  const start = clock.now();
  const deadline = Math.min(start + START_TIMEOUT_MS, ...leaseEnds);
  let before = -1;
  for (;;) {
    await checkNotStopped(state);
    const pods = (await api.pods()).filter(({ name }) => isOf(name, fleet));
    const ended = pods.find(({ status }) => status === "EXITED" || status === "ERROR");
    if (ended !== undefined) {
      throw new LoraFleetError("aborted", `pod ${ended.name} has ended before it ran (${ended.status})`);
    }
    const running = pods.filter(({ status }) => status === "RUNNING").length;
    if (running >= count) return;
    if (running !== before) world.print(`${running} of ${count} pods run`);
    before = running;
    if (clock.now() >= deadline) {
      const minutes = Math.round((clock.now() - start) / 60_000);
      const message = `${running} of ${count} pods run after ${minutes} min`;
      throw new LoraFleetError("timeout", message);
    }
    await clock.sleep(POLL_MS, signal);
  }
}

/** Throws if something may be left. @param reason why; null: the job is over */
async function removeAll(state: FleetState, fleet: string, world: UpWorld, reason: unknown): Promise<void> {
  if (reason !== null) world.print(`${interruptedOr(reason, world)}: removing all pods; Ctrl-C leaves them`);
  const { connection, print, lastSignal } = world;
  const { left, failure } = await teardown({
    ...{ connection, state, fleet, print, patienceMs: PATIENCE_MS, signal: lastSignal },
  });
  if (left.length === 0 && failure === null) return print("no pod is left");
  throw new LoraFleetError("timeout", leftMessage(left.map(({ name }) => name), fleet, failure));
}

function interruptedOr(reason: unknown, { signal }: UpWorld): string {
  return signal.aborted ? "interrupted" : reason instanceof Error ? reason.message : String(reason);
}

function messageOfFinish({ outcome, reason }: Finish, jobId: string): string {
  if (outcome !== "budget") return reason;
  return `${reason}; the job ${jobId} waits on the coordinator, and a larger --budget goes on with it`;
}
