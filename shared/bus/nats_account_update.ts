/** Updates an account on a running broker: clients revoked in it lose their connections at once. */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { type NatsConnectionOptions, openConnection } from "./nats_connection.ts";
import { toLoraFleetError } from "./nats_errors.ts";

const SUBJECT = "$SYS.REQ.CLAIMS.UPDATE";
const TIMEOUT_MS = 5000;

const answerSchema = z.object({
  data: z.object({ code: z.int() }).optional(),
  error: z.object({ description: z.string() }).optional(),
});

/**
 * The account's newest token as the broker has it. `options` connect to the system account. Throws a `LoraFleetError` with code
 * `not_found` if the broker does not know the account, `timeout`, `unauthorized`.
 */
export async function lookUpNatsAccount(options: NatsConnectionOptions, account: string): Promise<string> {
  const nc = await openConnection(options);
  const attempted = `cannot look up the account ${quote(account)} at the broker ${quote(options.servers)}`;
  try {
    const { data } = await nc.request(`$SYS.REQ.ACCOUNT.${account}.CLAIMS.LOOKUP`, "", {
      timeout: TIMEOUT_MS,
    });
    const token = new TextDecoder().decode(data);
    if (token !== "") return token;
  } catch (thrown) {
    throw toLoraFleetError(attempted, thrown);
  } finally {
    await nc.close();
  }
  throw new LoraFleetError("not_found", `${attempted}: the broker does not know it`);
}

/** `options` connect to the broker's system account. Throws a `LoraFleetError` if the broker refuses. */
export async function updateNatsAccount(options: NatsConnectionOptions, accountToken: string): Promise<void> {
  const nc = await openConnection(options);
  try {
    const { data } = await nc.request(SUBJECT, accountToken, { timeout: TIMEOUT_MS });
    const answer = answerSchema.parse(JSON.parse(new TextDecoder().decode(data)));
    if (answer.data?.code === 200) return;
    throw new Error(answer.error?.description ?? "the answer has no reason");
  } catch (cause) {
    const message = `cannot update an account of the broker at ${quote(options.servers)}: ${
      messageOf(cause)
    }`;
    throw new LoraFleetError("timeout", message, { cause });
  } finally {
    await nc.close();
  }
}
