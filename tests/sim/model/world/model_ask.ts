/** A model worker's requests to the coordinator, repeated until they are answered, as in `worker/async/ask.ts`. */
import type { z } from "zod";
import { decodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import type { ModelLink } from "./model_link.ts";

const PAUSE_MS = 50;

export interface ModelQuestion<S extends z.ZodType> {
  readonly link: ModelLink;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly answer: S;
  /** Timeout of one try. */
  readonly timeoutMs: number;
  /** False ends the repetition. */
  readonly isWanted: () => boolean;
  readonly take: (answer: z.output<S>) => void;
}

export function askUntilAnswered<S extends z.ZodType>(question: ModelQuestion<S>): void {
  const { link, subject, data, answer, timeoutMs, isWanted, take } = question;
  if (!isWanted()) return;
  link.ask(subject, data, timeoutMs, (bytes) => {
    if (!isWanted()) return;
    if (bytes !== null) take(decodeMessage(answer, bytes, `the answer on ${subject}`));
    else link.after(PAUSE_MS, () => askUntilAnswered(question));
  });
}
