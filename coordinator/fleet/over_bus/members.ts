/** Membership over the bus: hellos, heartbeats and leaves in; welcomes, events and looks at the fleet out. */
import type { Subscription } from "../../../shared/bus/bus.ts";
import { encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import {
  fleetStateSchema,
  receivedSchema,
  type Welcome,
  welcomeSchema,
} from "../../../shared/protocol/messages_coordinator.ts";
import {
  heartbeatSchema,
  type Hello,
  helloSchema,
  leaveSchema,
} from "../../../shared/protocol/messages_worker.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import type { JobObserver } from "../fleet.ts";
import { listenToWorkers, type WorkerMessage } from "../listen.ts";
import type { FleetContext } from "./fleet_context.ts";
import {
  decideMembership,
  fleetViewOf,
  type MembershipDecision,
  type MembershipEffect,
  type MembershipEvent,
} from "./membership.ts";

export function listenToMembers(fleet: FleetContext): readonly Subscription[] {
  const { bus, guard } = fleet;
  const received = encodeMessage(receivedSchema, { type: "received" });
  return [
    listenToWorkers(bus, {
      subject: subjects.helloSubject(subjects.ANY),
      schema: helloSchema,
      what: "hello",
      handle: (message) => welcome(fleet, message),
    }, guard),
    listenToWorkers(bus, {
      subject: subjects.leaveSubject(subjects.ANY),
      schema: leaveSchema,
      what: "leave",
      handle: ({ payload: { worker, incarnation, reason }, respond }) => {
        applyToMembership(fleet, { type: "leave", worker, incarnation, reason });
        respond(received);
      },
    }, guard),
    listenToWorkers(bus, {
      subject: subjects.heartbeatSubject(subjects.ANY),
      schema: heartbeatSchema,
      what: "heartbeat",
      handle: ({ payload: heartbeat }) => void applyToMembership(fleet, { type: "heartbeat", heartbeat }),
    }, guard),
  ];
}

function welcome(fleet: FleetContext, { payload: hello, respond }: WorkerMessage<Hello>): void {
  const { coordinatorId, term } = fleet;
  const { state, effects } = applyToMembership(fleet, { type: "hello", hello });
  const refusal = effects.find((effect) => effect.type === "refused");
  const answer: Welcome = refusal === undefined
    ? { type: "welcome", coordinatorId, term, generation: state.generation }
    : { type: "refused", reason: refusal.reason };
  respond(encodeMessage(welcomeSchema, answer));
}

/** Decides on an event and carries out the decision's effects. */
export function applyToMembership(fleet: FleetContext, event: MembershipEvent): MembershipDecision {
  const decision = decideMembership(fleet.membership, event, fleet.clock.now(), fleet.limits);
  const isNews = decision.state.generation !== fleet.membership.generation;
  fleet.membership = decision.state;
  let isUrgent = isNews;
  for (const effect of decision.effects) isUrgent = carryOut(fleet, effect) || isUrgent;
  if (isNews) fleet.announcement.soon();
  if (event.type === "tick" && fleet.hasUnseen) fleet.look.now();
  else if (isUrgent) fleet.look.soon();
  return decision;
}

/** Returns whether the run should see the fleet before the next tick. */
function carryOut(fleet: FleetContext, effect: MembershipEffect): boolean {
  switch (effect.type) {
    case "heartbeat":
      fleet.hasUnseen = true;
      return fleet.run?.heard(effect.heartbeat, effect.before) ?? false;
    case "joined": {
      const { worker, name, gpu } = effect.member;
      reportMember(fleet, "info", `${worker} (${name}, ${gpu}) has joined.`, { worker, name, gpu });
      reportQuarantine(fleet, fleet.observer, worker);
      return false;
    }
    case "lost": {
      const { worker, name } = effect.member;
      reportMember(fleet, "warn", `${worker} (${name}) is gone: ${effect.reason}.`, { worker, name });
      return false;
    }
    case "refused":
      return false;
  }
}

/** An event of the job that trains; without one, a line in the coordinator's log. */
function reportMember(
  { observer, log }: FleetContext,
  level: "info" | "warn",
  message: string,
  data: Record<string, unknown>,
): void {
  if (observer === null) log?.(level, message);
  else observer.event(level, message, data);
}

/** The job's events say why a worker in quarantine gets no work. */
export function reportQuarantine(
  { quarantines }: FleetContext,
  observer: JobObserver | null,
  worker: string,
): void {
  const reasons = quarantines.of(worker)?.reasons.join("; ");
  if (reasons !== undefined) {
    observer?.event("warn", `${worker} gets no work: it is in quarantine (${reasons}).`, { worker });
  }
}

export function publishFleet({ bus, coordinatorId, term, membership, job }: FleetContext): void {
  const members = membership.members.map(({ worker, incarnation }) => ({ worker, incarnation }));
  const state = { coordinatorId, term, generation: membership.generation, members, job };
  bus.publish(subjects.FLEET_SUBJECT, encodeMessage(fleetStateSchema, state));
}

/** Shows the run the whole fleet, with all heartbeats so far. */
export function showFleet(fleet: FleetContext): void {
  fleet.hasUnseen = false;
  fleet.run?.fleetChanged(fleetViewOf(fleet.membership));
}
