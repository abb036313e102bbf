/**
 * The bytes of an all-reduce without the all-reduce: the same publishes of the same sizes, reduce-scatter and then
 * all-gather, over the same bus. No frames, no checksums, no sums, and no chunk may get lost. Its time is that of broker,
 * client and machine alone: the measured bound of the design.
 */
import { setImmediate } from "node:timers";
import type { Bus, BusMessage } from "../../../shared/bus/bus.ts";
import { BareRound, type BareRoundPlan } from "./bare_round.ts";

export interface BarePattern {
  /** Chunks that arrive from now on belong to this round. */
  prepare(round: BareRoundPlan): void;
  /** Sends, and resolves when all chunks of the round were sent and received. */
  run(): Promise<void>;
}

const NOTHING = new Uint8Array();

export function createBarePattern(bus: Bus, self: number): BarePattern {
  let round: BareRound | null = null;
  let wake = () => {};
  const gathered = new Set<number>();

  /** `bare.<round>.rs.<to>.<from>`, `bare.<round>.ag.<from>`, and their acks. */
  function onMessage({ subject, data }: BusMessage): void {
    const [, number, kind, to, from] = subject.split(".");
    if (round === null || Number(number) !== round.number) return;
    const ack = (verb: string, member: number) =>
      bus.publish(`bare.${number}.${verb}.${member}.${self}`, NOTHING);
    if (kind === "rs" && round.receive("sums", Number(from), data)) ack("rsAck", Number(from));
    else if (kind === "ag" && round.receive("range", Number(to), data)) ack("agAck", Number(to));
    else if (kind === "rsAck") round.receiveAck("sums", Number(from));
    else if (kind === "agAck") round.receiveAck("range", Number(from));
    wake();
  }

  for (const kind of ["rs", "rsAck", "agAck"]) bus.subscribe(`bare.*.${kind}.${self}.*`, onMessage);

  return {
    prepare(plan) {
      plan.ranges.forEach((_, member) => {
        if (member === self || gathered.has(member)) return;
        gathered.add(member);
        bus.subscribe(`bare.*.ag.${member}`, onMessage);
      });
      round = new BareRound(plan, self);
    },
    async run() {
      const running = round!;
      for (let turn = self + 1; !running.isDone; turn++) {
        const chunk = running.takeNext(turn);
        if (chunk === null) {
          await new Promise<void>((resolve) => void (wake = resolve));
          continue;
        }
        const { owner, bytes } = chunk;
        const place = owner === self ? `ag.${self}` : `rs.${owner}.${self}`;
        bus.publish(`bare.${running.number}.${place}`, bytes);
        await new Promise<void>((resolve) => void setImmediate(resolve));
      }
    },
  };
}
