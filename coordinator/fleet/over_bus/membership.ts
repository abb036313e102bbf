/** The fleet's members. Pure: (membership, event, now) → (membership, effects, reason). */
import { type Limits, lostAt } from "../../../shared/protocol/limits.ts";
import {
  type Heartbeat,
  type Hello,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
} from "../../../shared/protocol/messages_worker.ts";
import { memberAmong, placeAmong } from "../../../shared/protocol/sorted_members.ts";
import type { FleetView } from "../../training/state/fleet_view.ts";

export interface Member {
  readonly worker: string;
  readonly incarnation: string;
  readonly name: string;
  readonly gpu: string;
  readonly protocolVersion: number;
  readonly joinedAt: number;
  readonly lastHeartbeatAt: number;
  /** How long since then the coordinator could not hear any worker. */
  readonly blackoutMs: number;
  /** Its last one; null before the first. */
  readonly heartbeat: Heartbeat | null;
}

/** A member that is gone, kept for a while so that users see why. */
interface Departed extends Member {
  readonly reason: string;
}

export interface Membership {
  /** Grows with each change of the set. */
  readonly generation: number;
  /** Sorted by worker id. */
  readonly members: readonly Member[];
  /** Newest last. */
  readonly departed: readonly Departed[];
}

export type MembershipEvent =
  | { readonly type: "hello"; readonly hello: Hello }
  | { readonly type: "heartbeat"; readonly heartbeat: Heartbeat }
  | { readonly type: "leave"; readonly worker: string; readonly incarnation: string; readonly reason: string }
  /** The coordinator could not hear any worker for this long: it slept, or had no connection to the broker. */
  | { readonly type: "blackout"; readonly milliseconds: number }
  | { readonly type: "tick" };

export type MembershipEffect =
  | { readonly type: "joined"; readonly member: Member }
  /** `before`: the heartbeat before it; null for the first one of an incarnation. */
  | { readonly type: "heartbeat"; readonly heartbeat: Heartbeat; readonly before: Heartbeat | null }
  | { readonly type: "lost"; readonly member: Member; readonly reason: string }
  | { readonly type: "refused"; readonly reason: string };

export interface MembershipDecision {
  readonly state: Membership;
  readonly effects: readonly MembershipEffect[];
  readonly reason: string;
}

const KEPT_DEPARTED = 100;

export const NO_MEMBERS: Membership = { generation: 0, members: [], departed: [] };

export function decideMembership(
  state: Membership,
  event: MembershipEvent,
  now: number,
  limits: Limits,
): MembershipDecision {
  switch (event.type) {
    case "hello":
      return hello(state, event.hello, now);
    case "heartbeat":
      return heartbeat(state, event.heartbeat, now);
    case "leave": {
      const member = memberAmong(state.members, event);
      if (member === undefined) return unchanged(state, `${event.worker} leaves, but is no member`);
      return remove(state, [member], () => event.reason);
    }
    case "blackout": {
      // A member heard since then was silent for less: messages that waited in the socket may arrive first.
      const extended = (member: Member) => ({
        ...member,
        blackoutMs: Math.min(member.blackoutMs + event.milliseconds, now - member.lastHeartbeatAt),
      });
      const reason = `no worker could be heard for ${event.milliseconds} ms`;
      return unchanged({ ...state, members: state.members.map(extended) }, reason);
    }
    case "tick": {
      const silent = state.members.filter(({ lastHeartbeatAt, blackoutMs }) =>
        lostAt(lastHeartbeatAt + blackoutMs, limits) <= now
      );
      if (silent.length === 0) return unchanged(state, "all members were heard in time");
      const secondsOf = ({ lastHeartbeatAt }: Member) => ((now - lastHeartbeatAt) / 1000).toFixed(1);
      return remove(state, silent, (member) => `no heartbeat for ${secondsOf(member)} s`);
    }
  }
}

function hello(state: Membership, hello: Hello, now: number): MembershipDecision {
  const { worker, incarnation, name, gpu, protocolVersion } = hello;
  const refused = (reason: string) => ({ state, effects: [{ type: "refused" as const, reason }], reason });
  if (protocolVersion < OLDEST_PROTOCOL_VERSION || protocolVersion > PROTOCOL_VERSION) {
    const older = protocolVersion < PROTOCOL_VERSION ? "worker" : "coordinator";
    const served = OLDEST_PROTOCOL_VERSION < PROTOCOL_VERSION
      ? `versions ${OLDEST_PROTOCOL_VERSION} to ${PROTOCOL_VERSION}`
      : `version ${PROTOCOL_VERSION}`;
    return refused(
      `the worker speaks protocol version ${protocolVersion}, the coordinator ${served}: update the ` +
        `${older}, so that both run the same release`,
    );
  }
  if (state.departed.some((gone) => gone.incarnation === incarnation)) {
    return refused(`incarnation ${incarnation} of ${worker} has left: a new one is needed`);
  }
  const present = state.members[placeAmong(state.members, worker)];
  if (present?.incarnation === incarnation) return unchanged(state, `${worker} says hello again`);

  const member: Member = {
    ...{
      worker,
      incarnation,
      name,
      gpu,
      protocolVersion,
      joinedAt: now,
      lastHeartbeatAt: now,
      blackoutMs: 0,
      heartbeat: null,
    },
  };
  const before = present === undefined
    ? unchanged(state, "")
    : remove(state, [present], () => "it has joined again as a new incarnation");
  const { members } = before.state;
  return {
    state: {
      ...before.state,
      generation: state.generation + 1,
      members: members.toSpliced(-1 - placeAmong(members, worker), 0, member),
    },
    effects: [...before.effects, { type: "joined", member }],
    reason: present === undefined
      ? `${worker} has joined`
      : `${worker} has joined again: what its incarnation ${present.incarnation} was doing is lost`,
  };
}

function heartbeat(state: Membership, heartbeat: Heartbeat, now: number): MembershipDecision {
  const place = placeAmong(state.members, heartbeat.worker);
  const member = state.members[place];
  // The next announcement shows the worker that it is no member, and it joins again.
  if (member?.incarnation !== heartbeat.incarnation) {
    return unchanged(state, `${heartbeat.worker} is no member under this incarnation`);
  }
  const updated = { ...member, gpu: heartbeat.gpu, lastHeartbeatAt: now, blackoutMs: 0, heartbeat };
  return {
    state: { ...state, members: state.members.with(place, updated) },
    effects: [{ type: "heartbeat", heartbeat, before: member.heartbeat }],
    reason: `${heartbeat.worker} was heard`,
  };
}

function remove(
  state: Membership,
  gone: readonly Member[],
  reasonOf: (member: Member) => string,
): MembershipDecision {
  const departed = gone.map((member) => ({ ...member, reason: reasonOf(member) }));
  return {
    state: {
      generation: state.generation + 1,
      members: state.members.filter((member) => !gone.includes(member)),
      departed: [...state.departed, ...departed].slice(-KEPT_DEPARTED),
    },
    effects: departed.map(({ reason }, i) => ({ type: "lost", member: gone[i]!, reason })),
    reason: departed.map(({ worker, reason }) => `${worker} is gone: ${reason}`).join("; "),
  };
}

/** The members as a job's training sees them. */
export function fleetViewOf({ generation, members }: Membership): FleetView {
  return {
    generation,
    oldestProtocolVersion: Math.min(...members.map(({ protocolVersion }) => protocolVersion)),
    members: members.map(({ worker, incarnation, gpu, heartbeat }) => ({
      ...{ worker, incarnation, gpu, draining: heartbeat?.draining ?? false, job: heartbeat?.job ?? null },
      ...{ busy: heartbeat?.busy ?? null, microBatchesDone: heartbeat?.microBatchesDone ?? 0 },
      linkBytesPerSecond: heartbeat?.linkBytesPerSecond ?? null,
    })),
  };
}

function unchanged(state: Membership, reason: string): MembershipDecision {
  return { state, effects: [], reason };
}
