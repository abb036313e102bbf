/** What every implementation of the bus has to do, as tests. */
import { type BusContractBroker, type Clauses, runClause } from "./clause.ts";
import { LEASE_CLAUSES } from "./leases.ts";
import { MESSAGE_CLAUSES } from "./messages.ts";
import { QUEUE_CLAUSES } from "./queues.ts";
import { REQUEST_CLAUSES } from "./requests.ts";
import { STREAM_CLAUSES } from "./streams.ts";

const CLAUSES: Clauses = {
  ...MESSAGE_CLAUSES,
  ...REQUEST_CLAUSES,
  ...QUEUE_CLAUSES,
  ...STREAM_CLAUSES,
  ...LEASE_CLAUSES,
};

/** Runs every clause as a step of `t`, under names of its own, so that all of them can share one broker. */
export async function runBusContract(t: Deno.TestContext, broker: BusContractBroker): Promise<void> {
  for (const [index, [title, clause]] of Object.entries(CLAUSES).entries()) {
    await t.step(title, () => runClause(clause, broker, `contract${index}`));
  }
}
