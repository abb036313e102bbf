/** `deno task nats`: writes keys and configurations of a NATS cluster. Exit codes: 0 written, 1 failed, 2 usage. */
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { type NatsTaskOptions, parseOptions, USAGE } from "./options.ts";
import { writeCluster } from "./write_cluster.ts";

async function write(options: NatsTaskOptions): Promise<void> {
  const { folders, isNew } = await writeCluster(options, Math.floor(systemClock.now() / 1000));
  const { outFolder, configFolder, servers, leafs, coordinatorLeaf } = options;
  console.log(
    `${
      isNew ? "New keys" : "The keys that were there"
    }: ${outFolder}/keys.json. Keep it where no server is: it signs everything.`,
  );
  for (const { name, host } of [...servers, ...leafs, ...coordinatorLeaf === null ? [] : [coordinatorLeaf]]) {
    console.log(`  ${folders.get(name)} → ${host}:${configFolder.replaceAll("{name}", name)}`);
  }
  console.log(
    `Start each server with "nats-server --config ${configFolder}/nats-server.conf" (nats-server 2.12 or newer),`,
  );
  console.log(`and the coordinator with the variables in ${folders.get("coordinator")}/coordinator.env.`);
}

try {
  const options = parseOptions(Deno.args);
  if (options === null) console.log(USAGE);
  else await write(options);
} catch (thrown) {
  if (!(thrown instanceof LoraFleetError)) throw thrown;
  console.error(`nats: ${thrown.message}`);
  Deno.exit(thrown.code === "usage" ? 2 : 1);
}
