import { LoraFleetError } from "../../../shared/errors.ts";
import type { MissingFrom } from "./peers.ts";
import { describeRound, type RoundId } from "./round_id.ts";

const MAX_NAMED_MEMBERS = 8;

/** The deadline of a round has passed; the message names the missing chunks. */
export class RoundTimeout extends LoraFleetError {
  /**
   * Ids of the members to blame: those whose gradient sums are missing here, or, if none are, those whose finished ranges are. An
   * owner cannot finish while it waits for others, so its range alone proves less.
   */
  readonly suspects: readonly string[];

  constructor(
    round: RoundId,
    deadlineMs: number,
    members: readonly string[],
    missing: readonly MissingFrom[],
  ) {
    const owed = missing.slice(0, MAX_NAMED_MEMBERS).map(({ member, reduceScatterChunks, allGatherChunks }) =>
      `${members[member]} (${reduceScatterChunks} of its sums, ${allGatherChunks} of its finished range)`
    );
    const more = missing.length > MAX_NAMED_MEMBERS ? ` and ${missing.length - MAX_NAMED_MEMBERS} more` : "";
    super(
      "timeout",
      `the all-reduce of ${describeRound(round)} is not done after ${deadlineMs} ms: ` +
        (missing.length > 0
          ? `chunks are missing from ${owed.join(", ")}${more}`
          : "all chunks have arrived, but this worker's range waits for acks"),
    );
    const late = missing.filter(({ reduceScatterChunks }) => reduceScatterChunks > 0);
    this.suspects = (late.length > 0 ? late : missing).map(({ member }) => members[member]!);
  }
}
