/**
 * All NATS subjects. Every subject on which a worker speaks ends with its id, so that the broker can check the sender's
 * right (`workerRights`, decision 0010) and receivers know the sender.
 *
 *     lf.hello|leave.<worker>             worker → coordinator, requests
 *     lf.heartbeat.<worker>               worker → coordinator
 *     lf.fleet                            coordinator → all: who is a member, which job there is
 *     lf.measurement                      coordinator → all: which worker measures which export
 *     lf.<job>.state                      coordinator → all: the state of the step
 *     lf.<job>.report|update|failure|checkpoint|evaluation.<worker>    worker → coordinator, requests
 *     lf.<job>.item.<worker>              worker → coordinator, requests for the work item of an assignment
 *     lf.<job>.rows.<worker>              worker → coordinator, requests for the micro-batches of an inner loop (local steps)
 *     lf.<job>.work.<step>.<attempt>      the work queue of micro-batches, or of inner loops
 *     lf.<job>.work.<step>.evaluation     the same queue: micro-batches to evaluate after that step
 *     lf.<job>.commits                    the log of commits
 *     lf.<job>.gradients.<generation>.reduce_scatter.<owner>.<sender>      worker → owner, sums of the owner's range
 *     lf.<job>.gradients.<generation>.all_gather.<owner>               owner → workers, its finished range
 *     lf.<job>.gradients.<generation>.ack.<target>.<sender>   worker → sender, which chunks have arrived
 *     lf.<job>.recover.<holder>           worker → worker, requests for the newest committed state
 */
import { assertToken } from "./ids.ts";
import { LoraFleetError, quote } from "../errors.ts";

const ROOT = "lf";

/** Every worker, job or generation, in a subscription or a right. */
export const ANY = "*";

const idOf = (what: string, id: string): string => id === ANY ? ANY : assertToken(what, id);
const workerOf = (worker: string): string => idOf("the worker's id", worker);
const ofJob = (job: string, rest: string): string => `${ROOT}.${idOf("the job's id", job)}.${rest}`;

/** Subjects of a job on which a worker speaks. */
const byWorker = (what: string) => (job: string, worker: string): string =>
  ofJob(job, `${what}.${workerOf(worker)}`);

export const FLEET_SUBJECT = `${ROOT}.fleet`;
export const MEASUREMENT_SUBJECT = `${ROOT}.measurement`;

export const helloSubject = (worker: string): string => `${ROOT}.hello.${workerOf(worker)}`;
export const leaveSubject = (worker: string): string => `${ROOT}.leave.${workerOf(worker)}`;
export const heartbeatSubject = (worker: string): string => `${ROOT}.heartbeat.${workerOf(worker)}`;

export const stateSubject = (job: string): string => ofJob(job, "state");
export const reportSubject = byWorker("report");
export const updateSubject = byWorker("update");
export const failureSubject = byWorker("failure");
export const checkpointSubject = byWorker("checkpoint");
export const evaluationSubject = byWorker("evaluation");
export const itemSubject = byWorker("item");
export const rowsSubject = byWorker("rows");
export const commitsSubject = (job: string): string => ofJob(job, "commits");

/** The worker that sent a message to `subject`. */
export function senderOf(subject: string): string {
  return subject.slice(subject.lastIndexOf(".") + 1);
}

/** Throws a `LoraFleetError` with code `corrupt` if `worker`, whom the message names, is not its sender. */
export function assertSpokenBy(subject: string, worker: string): void {
  if (senderOf(subject) === worker) return;
  throw new LoraFleetError(
    "corrupt",
    `a message to ${quote(subject)} is in the name of ${quote(worker)}: a worker speaks for itself alone`,
  );
}

export const workSubject = (job: string, step: number, attempt: number): string =>
  ofJob(job, `work.${step}.${attempt}`);
export const evaluationWorkSubject = (job: string, step: number): string =>
  ofJob(job, `work.${step}.evaluation`);
export const allWorkSubject = (job: string): string => ofJob(job, "work.>");

/** Names of streams, which must not hold a dot. */
export const workQueueName = (job: string): string => `${ROOT}_work_${assertToken("the job's id", job)}`;
export const commitLogName = (job: string): string => `${ROOT}_commits_${assertToken("the job's id", job)}`;

/** The leading coordinator's lease: of several at one broker only the holder may announce and answer. */
export const LEADER_LEASE = `${ROOT}_leader`;

/** The id by which the broker drops a second copy of an attempt's micro-batch. */
export const workItemId = (job: string, step: number, attempt: number, index: number): string =>
  `${job}.${step}.${attempt}.${index}`;
export const evaluationItemId = (job: string, step: number, index: number): string =>
  `${job}.${step}.evaluation.${index}`;

/** Where a worker that holds the newest commit answers requests for pieces of it. */
export const recoverSubject = (job: string, holder: string): string =>
  ofJob(job, `recover.${idOf("the holder's id", holder)}`);

/** The subjects of a job's all-reduce (`worker/allreduce/all_reduce.ts`). */
export function gradientSubjects(job: string) {
  const of = (generation: number | typeof ANY, rest: string) => ofJob(job, `gradients.${generation}.${rest}`);
  return {
    reduceScatter: (generation: number | typeof ANY, owner: string, sender: string) =>
      of(generation, `reduce_scatter.${workerOf(owner)}.${workerOf(sender)}`),
    reduceScatterTo: (owner: string) => of(ANY, `reduce_scatter.${workerOf(owner)}.${ANY}`),
    allGather: (generation: number | typeof ANY, owner: string) =>
      of(generation, `all_gather.${workerOf(owner)}`),
    ack: (generation: number | typeof ANY, target: string, sender: string) =>
      of(generation, `ack.${workerOf(target)}.${workerOf(sender)}`),
    ackTo: (target: string) => of(ANY, `ack.${workerOf(target)}.${ANY}`),
    senderOf,
  };
}

/** Requests are answered only below this subject. */
export const INBOXES = "_INBOX";
/** Answers to one worker come here, and only it may subscribe. */
export const inboxPrefix = (worker: string): string => `${INBOXES}.${workerOf(worker)}`;

/** The consumer that all workers share: a work queue allows no second one for the same subjects. */
export const WORK_CONSUMER = "workers";
/** Pulling from any work queue. */
export const PULL_SUBJECT = `$JS.API.CONSUMER.MSG.NEXT.${ANY}.${WORK_CONSUMER}`;
/** ack, nak and working of its items. */
export const ACK_SUBJECT = `$JS.ACK.${ANY}.${WORK_CONSUMER}.>`;

/** All that one worker may publish and receive, besides its answers to requests. */
export function workerRights(worker: string): Readonly<Record<"publish" | "subscribe", readonly string[]>> {
  const gradients = gradientSubjects(ANY);
  return {
    publish: [
      helloSubject(worker),
      leaveSubject(worker),
      heartbeatSubject(worker),
      reportSubject(ANY, worker),
      updateSubject(ANY, worker),
      failureSubject(ANY, worker),
      checkpointSubject(ANY, worker),
      evaluationSubject(ANY, worker),
      itemSubject(ANY, worker),
      rowsSubject(ANY, worker),
      gradients.reduceScatter(ANY, ANY, worker),
      gradients.allGather(ANY, worker),
      gradients.ack(ANY, ANY, worker),
      recoverSubject(ANY, ANY),
      PULL_SUBJECT,
      ACK_SUBJECT,
    ],
    subscribe: [
      FLEET_SUBJECT,
      MEASUREMENT_SUBJECT,
      stateSubject(ANY),
      gradients.reduceScatterTo(worker),
      gradients.allGather(ANY, ANY),
      gradients.ackTo(worker),
      recoverSubject(ANY, worker),
      `${inboxPrefix(worker)}.>`,
    ],
  };
}
