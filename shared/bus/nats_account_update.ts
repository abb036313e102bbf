/** Tells a running broker of a changed account: who is revoked in it loses the connection at once. */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { type NatsConnectionOptions, openConnection } from "./nats_connection.ts";

const SUBJECT = "$SYS.REQ.CLAIMS.UPDATE";
const TIMEOUT_MS = 5000;

const answerSchema = z.object({
  data: z.object({ code: z.int() }).optional(),
  error: z.object({ description: z.string() }).optional(),
});

/** `options` are those of one who belongs to the broker's system account. Throws a `LoraFleetError` where it is not done. */
export async function updateNatsAccount(options: NatsConnectionOptions, accountToken: string): Promise<void> {
  const nc = await openConnection(options);
  try {
    const { data } = await nc.request(SUBJECT, accountToken, { timeout: TIMEOUT_MS });
    const answer = answerSchema.parse(JSON.parse(new TextDecoder().decode(data)));
    if (answer.data?.code === 200) return;
    throw new Error(answer.error?.description ?? "an answer without a reason");
  } catch (cause) {
    throw new LoraFleetError(
      "timeout",
      `the broker at ${quote(options.servers)} has not taken an account's change: ${messageOf(cause)}`,
      { cause },
    );
  } finally {
    await nc.close();
  }
}
