/**
 * The addresses of a coordinator on a pod at RunPod, from the variables that RunPod sets there (docs.runpod.io: environment
 * variables; expose ports): a port that is exposed as TCP has another number outside, one that is exposed as HTTP a name.
 */
import { DEFAULT_NATS_PORT } from "./nats_settings.ts";
import { isLoopback } from "./loopback.ts";

/** What a configuration says of its addresses. */
interface Addressed {
  readonly host: string;
  readonly port: number;
  readonly tls: unknown;
  readonly publicUrl: string | null;
  readonly natsUrl: string | null;
  /** 0: the usual one. */
  readonly natsPort: number;
  readonly natsPublicUrl: string | null;
  readonly onePort: boolean;
  readonly warnings: readonly string[];
}

/** The configuration with the pod's addresses where none are given; as it is elsewhere, and if only the pod itself reaches it. */
export function withPodAddresses<C extends Addressed>(config: C, env: (name: string) => string | null): C {
  const [pod, ip] = [env("RUNPOD_POD_ID"), env("RUNPOD_PUBLIC_IP")];
  const { host, port, tls, natsPort } = config;
  if (pod === null || isLoopback(host)) return config;
  const outside = (scheme: string, inside: number): string | null => {
    const mapped = env(`RUNPOD_TCP_PORT_${inside}`);
    return ip === null || mapped === null ? null : `${scheme}://${ip}:${mapped}`;
  };
  const publicUrl = config.publicUrl ?? outside(tls === null ? "http" : "https", port) ??
    `https://${pod}-${port}.proxy.runpod.net`;
  // With one port the broker is where the API is.
  if (config.natsUrl !== null || config.natsPublicUrl !== null || config.onePort) {
    return { ...config, publicUrl };
  }
  const inside = natsPort === 0 ? DEFAULT_NATS_PORT : natsPort;
  const natsPublicUrl = outside(tls === null ? "nats" : "tls", inside);
  if (natsPublicUrl !== null) return { ...config, publicUrl, natsPublicUrl };
  const warning =
    `this pod does not expose TCP port ${inside}: workers outside of it cannot reach its broker. Start the ` +
    `coordinator with --one-port (LORAFLEET_ONE_PORT=1), which needs the API's port alone, add ${inside} to the pod's TCP ports, ` +
    "or name a broker with --nats-url";
  return { ...config, publicUrl, warnings: [...config.warnings, warning] };
}
