/** Writes the files of a cluster: one folder for each machine, to be copied there. */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { ensureAuthority, ensureCertificate } from "./certificates.ts";
import {
  type ClusterKeys,
  clusterKeysSchema,
  createClusterKeys,
  credentialsBeside,
  publicAccounts,
} from "./cluster_keys.ts";
import type { NatsTaskOptions } from "./options.ts";
import { type ClusterServer, clusterServerConfig, leafConfig, type TlsPaths } from "./server_config.ts";

const PRIVATE_FILE = 0o600;
const PRIVATE_FOLDER = 0o700;

export interface WrittenCluster {
  /** One for each machine, by the server's name or "coordinator". */
  readonly folders: ReadonlyMap<string, string>;
  /** What the coordinator's environment needs. */
  readonly environment: Readonly<Record<string, string>>;
  readonly isNew: boolean;
}

/** `now` is in seconds since 1970. Throws `storage`, `missing_dependency` (openssl). */
export async function writeCluster(options: NatsTaskOptions, now: number): Promise<WrittenCluster> {
  const { servers, leafs, coordinatorLeaf, domain, outFolder, isEncrypted } = options;
  await makeFolder(outFolder);
  const { keys, isNew } = await ensureKeys(`${outFolder}/keys.json`, now);
  const { accounts, publicKeys } = publicAccounts(keys);
  if (isEncrypted) await ensureAuthority(outFolder);
  const folders = new Map<string, string>();

  async function prepare({ name, host }: ClusterServer) {
    const folder = `${outFolder}/${name}`;
    folders.set(name, folder);
    await makeFolder(folder);
    const at = (file: string) => `${options.configFolder.replaceAll("{name}", name)}/${file}`;
    if (isEncrypted) {
      await ensureCertificate(outFolder, folder, host);
      await Deno.copyFile(`${outFolder}/ca.pem`, `${folder}/ca.pem`);
    }
    const tls: TlsPaths | null = isEncrypted
      ? { cert: at("cert.pem"), key: at("key.pem"), ca: at("ca.pem") }
      : null;
    return {
      folder,
      at,
      options: { accounts, tls, domain, storeFolder: options.storeFolder.replaceAll("{name}", name) },
    };
  }

  for (const server of servers) {
    const { folder, options } = await prepare(server);
    await write(`${folder}/nats-server.conf`, clusterServerConfig(server, servers, publicKeys, options));
  }
  for (const leaf of [...leafs, ...coordinatorLeaf === null ? [] : [coordinatorLeaf]]) {
    const { folder, at, options } = await prepare(leaf);
    const { leafFleet, leafSystem, besideCoordinator } = keys.credentials;
    const beside = leaf === coordinatorLeaf ? besideCoordinator! : null;
    const credentials = {
      ...{ fleet: at("fleet.creds"), system: at("system.creds") },
      ...(beside === null ? {} : { streams: at("streams.creds") }),
    };
    await write(`${folder}/fleet.creds`, leafFleet);
    await write(`${folder}/system.creds`, beside?.system ?? leafSystem);
    if (beside !== null) await write(`${folder}/streams.creds`, beside.streams);
    await write(`${folder}/nats-server.conf`, leafConfig(leaf, servers, credentials, publicKeys, options));
  }
  const folder = `${outFolder}/coordinator`;
  folders.set("coordinator", folder);
  return { folders, isNew, environment: await writeCoordinator(folder, keys, options) };
}

async function writeCoordinator(
  folder: string,
  keys: ClusterKeys,
  { servers, coordinatorLeaf, domain, outFolder, isEncrypted }: NatsTaskOptions,
): Promise<Record<string, string>> {
  await makeFolder(folder);
  if (isEncrypted) await Deno.copyFile(`${outFolder}/ca.pem`, `${folder}/ca.pem`);
  await write(`${folder}/fleet.nk`, `${keys.fleet}\n`);
  await write(`${folder}/operator.nk`, `${keys.operator}\n`);
  await write(`${folder}/streams.creds`, keys.credentials.coordinatorStreams);
  await write(`${folder}/system.creds`, keys.credentials.coordinatorSystem);
  const scheme = isEncrypted ? "tls" : "nats";
  const url = ({ host, port }: ClusterServer) =>
    `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const environment = {
    NATS_URL: coordinatorLeaf === null ? servers.map(url).join(",") : url(coordinatorLeaf),
    ...(coordinatorLeaf === null ? {} : { LORAFLEET_NATS_DOMAIN: domain! }),
    NATS_CREDS: `${folder}/streams.creds`,
    ...(isEncrypted ? { NATS_CA: `${folder}/ca.pem` } : {}),
    LORAFLEET_NATS_ACCOUNT_KEY: `${folder}/fleet.nk`,
    LORAFLEET_NATS_OPERATOR_KEY: `${folder}/operator.nk`,
    LORAFLEET_NATS_SYSTEM_CREDS: `${folder}/system.creds`,
  };
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`);
  await write(`${folder}/coordinator.env`, lines.join(""));
  return environment;
}

/** Reads the keys of an earlier run, or makes new ones. */
async function ensureKeys(path: string, now: number): Promise<{ keys: ClusterKeys; isNew: boolean }> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.NotFound)) throw unusable(path, messageOf(thrown));
    const keys = createClusterKeys(now);
    await write(path, `${JSON.stringify(keys, null, 2)}\n`);
    return { keys, isNew: true };
  }
  let keys: ClusterKeys;
  try {
    keys = clusterKeysSchema.parse(JSON.parse(text));
  } catch {
    throw unusable(path, "it does not hold a cluster's keys; name another folder with --out");
  }
  if (keys.credentials.besideCoordinator !== undefined) return { keys, isNew: false };
  const added = { ...keys, credentials: { ...keys.credentials, besideCoordinator: credentialsBeside(keys) } };
  await write(path, `${JSON.stringify(added, null, 2)}\n`);
  return { keys: added, isNew: false };
}

async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true, mode: PRIVATE_FOLDER });
  } catch (thrown) {
    throw unusable(path, messageOf(thrown));
  }
}

/** As a whole or not at all. */
async function write(path: string, text: string): Promise<void> {
  try {
    await Deno.writeTextFile(`${path}.new`, text, { mode: PRIVATE_FILE });
    await Deno.rename(`${path}.new`, path);
  } catch (thrown) {
    throw unusable(path, messageOf(thrown));
  }
}

function unusable(path: string, why: string): LoraFleetError {
  return new LoraFleetError("storage", `cannot use ${quote(path)}: ${why}`, { param: "out" });
}
