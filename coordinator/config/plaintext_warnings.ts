/** Warnings about traffic that is not encrypted. */
import type { CoordinatorConfig } from "./config.ts";
import { isLoopback } from "./loopback.ts";

/** One warning with what others on the network could read and what to do about it; empty if they cannot. */
export function plaintextWarnings(
  config: Pick<
    CoordinatorConfig,
    "tls" | "host" | "publicUrl" | "natsUrl" | "natsHost" | "natsPublicUrl" | "onePort"
  >,
): readonly string[] {
  if (config.tls !== null) return [];
  const what: string[] = [];
  const isBehindTls = (url: string | null) => url !== null && /^(https|tls|wss):/.test(url);
  if (!isLoopback(config.host) && !isBehindTls(config.publicUrl)) {
    const more = config.onePort ? ", the rows of datasets, gradients" : "";
    what.push(`the API on ${config.host}: keys, uploads, adapters${more}`);
  }
  if (config.natsUrl === null && !isLoopback(config.natsHost) && !isBehindTls(config.natsPublicUrl)) {
    what.push(`the broker on ${config.natsHost}: the rows of datasets, gradients`);
  }
  if (what.length === 0) return [];
  return [
    `NOT ENCRYPTED: anyone on the network path can read or alter the traffic of ${what.join("; and ")}. ` +
    "Set --tls-cert and --tls-key, or use a private network (docs/security.md)",
  ];
}
