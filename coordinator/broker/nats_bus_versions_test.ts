/** The bus with each nats-server but the first, with which shared/bus/nats_bus_test.ts tries it: queues, streams, leases. */
import { connectNatsBus } from "../../shared/bus/nats_bus.ts";
import { systemClock } from "../../shared/clock.ts";
import { runBusContract } from "../../shared/testing/bus_contract/bus_contract.ts";
import { startTestNatsServer } from "../../shared/testing/test_nats_server.ts";
import { natsBinaries } from "./nats_binaries_fixture.ts";

const [, ...others] = natsBinaries();

for (const { binary, version } of others) {
  Deno.test(`the bus keeps its contract with nats-server ${version}, leases included`, async (t) => {
    await using server = await startTestNatsServer({ binary });
    await runBusContract(t, {
      connect: (onError = (_message, thrown) => {
        throw thrown;
      }) => connectNatsBus({ servers: server.url, name: "contract", onError }),
      pass: (milliseconds) => systemClock.sleep(milliseconds),
      during: (_milliseconds, promise) => promise,
    });
  });
}

if (others.length === 0) {
  Deno.test.ignore(
    "the bus keeps its contract with another nats-server [ignored: one version is here]",
    () => {},
  );
}
