/**
 * The only place where a NATS subject is spelled. A worker may speak and listen below `lf.` alone
 * (coordinator/nats_server_config.ts).
 *
 *     lf.hello  lf.leave                  worker → coordinator, requests
 *     lf.heartbeat.<worker>               worker → coordinator
 *     lf.fleet                            coordinator → all: who is a member, which job there is
 *     lf.<job>.state                      coordinator → all: the state of the step
 *     lf.<job>.report|update|failure|checkpoint    worker → coordinator, requests
 *     lf.<job>.work.<step>.<attempt>      the work queue of micro-batches
 *     lf.<job>.commits                    the log of commits
 *     lf.<job>.gradients.<generation>.rs.<owner>.<sender>      worker → owner, sums of the owner's range
 *     lf.<job>.gradients.<generation>.ag.<owner>               owner → workers, its finished range
 *     lf.<job>.gradients.<generation>.nack.<target>.<sender>   worker → sender, which chunks have come
 *     lf.<job>.recover.<holder>           worker → worker, requests for the newest committed state
 */
import { assertToken } from "./ids.ts";

const ROOT = "lf";

export const HELLO_SUBJECT = `${ROOT}.hello`;
export const LEAVE_SUBJECT = `${ROOT}.leave`;
export const FLEET_SUBJECT = `${ROOT}.fleet`;
export const ALL_HEARTBEATS = `${ROOT}.heartbeat.*`;

export function heartbeatSubject(worker: string): string {
  return `${ROOT}.heartbeat.${assertToken("the worker's id", worker)}`;
}

const ofJob = (job: string, rest: string): string => `${ROOT}.${assertToken("the job's id", job)}.${rest}`;

export const stateSubject = (job: string): string => ofJob(job, "state");
export const reportSubject = (job: string): string => ofJob(job, "report");
export const updateSubject = (job: string): string => ofJob(job, "update");
export const failureSubject = (job: string): string => ofJob(job, "failure");
export const checkpointSubject = (job: string): string => ofJob(job, "checkpoint");
export const commitsSubject = (job: string): string => ofJob(job, "commits");

export const workSubject = (job: string, step: number, attempt: number): string =>
  ofJob(job, `work.${step}.${attempt}`);
/** All micro-batches of a job, whatever their step and attempt. */
export const allWorkSubject = (job: string): string => ofJob(job, "work.>");

/** Names of streams, which must not hold a dot. */
export const workQueueName = (job: string): string => `${ROOT}_work_${assertToken("the job's id", job)}`;
export const commitLogName = (job: string): string => `${ROOT}_commits_${assertToken("the job's id", job)}`;

/** The lease of the coordinator that leads: of several at one broker one alone may announce and answer. */
export const LEADER_LEASE = `${ROOT}_leader`;

/** The name under which the broker drops the same micro-batch of the same attempt where it is sent twice. */
export const workItemId = (job: string, step: number, attempt: number, index: number): string =>
  `${job}.${step}.${attempt}.${index}`;

/** Where a worker that holds the newest commit answers requests for pieces of it. */
export const recoverSubject = (job: string, holder: string): string =>
  ofJob(job, `recover.${assertToken("the holder's id", holder)}`);

/** The all-reduce's subjects of one job (`worker/allreduce/all_reduce.ts`). Each ends with the worker who speaks. */
export function gradientSubjects(job: string) {
  const of = (rest: string) => ofJob(job, `gradients.${rest}`);
  const id = (worker: string) => assertToken("the worker's id", worker);
  return {
    reduce: (generation: number, owner: string, sender: string) =>
      of(`${generation}.rs.${id(owner)}.${id(sender)}`),
    reduceTo: (owner: string) => of(`*.rs.${id(owner)}.*`),
    broadcast: (generation: number, owner: string) => of(`${generation}.ag.${id(owner)}`),
    receipt: (generation: number, target: string, sender: string) =>
      of(`${generation}.nack.${id(target)}.${id(sender)}`),
    receiptTo: (target: string) => of(`*.nack.${id(target)}.*`),
    senderOf: (subject: string) => subject.slice(subject.lastIndexOf(".") + 1),
  };
}
