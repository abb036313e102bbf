/** An authority of the cluster's own, and a certificate for each of its servers, made by openssl. */
import { isIP } from "node:net";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";

/** For a server's whole life; its keys are renewed with a new run. */
const DAYS = "3650";
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** Writes `ca.pem` and `ca.key` into the folder unless they are there. */
export async function ensureAuthority(folder: string): Promise<void> {
  if (await exists(`${folder}/ca.key`)) return;
  await openssl([
    ...["req", "-x509", ...KEY, "-days", DAYS, "-subj", "/CN=lorafleet cluster"],
    ...["-keyout", `${folder}/ca.key`, "-out", `${folder}/ca.pem`],
  ]);
}

/** Writes `cert.pem` and `key.pem` for a host into `serverFolder` unless they are there. The authority lies in `folder`. */
export async function ensureCertificate(folder: string, serverFolder: string, host: string): Promise<void> {
  if (await exists(`${serverFolder}/cert.pem`)) return;
  const [request, names] = [`${serverFolder}/request.pem`, `${serverFolder}/names`];
  try {
    await openssl([
      ...["req", ...KEY, "-subj", "/CN=nats-server"],
      ...["-keyout", `${serverFolder}/key.pem`, "-out", request],
    ]);
    await Deno.writeTextFile(names, `subjectAltName=${isIP(host) === 0 ? "DNS" : "IP"}:${host}\n`);
    const serial = crypto.getRandomValues(new Uint8Array(8)).toHex();
    await openssl([
      ...["x509", "-req", "-in", request, "-days", DAYS, "-extfile", names, "-set_serial", `0x${serial}`],
      ...["-CA", `${folder}/ca.pem`, "-CAkey", `${folder}/ca.key`, "-out", `${serverFolder}/cert.pem`],
    ]);
  } finally {
    for (const path of [request, names]) await Deno.remove(path).catch(() => {});
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Its files are for their owner alone. Throws `missing_dependency`. */
async function openssl(args: readonly string[]): Promise<void> {
  const umasked = ["-c", 'umask 077; exec "$@"', "sh", "openssl", ...args];
  let problem: string;
  try {
    const { success, stderr } = await new Deno.Command("sh", { args: umasked, stdin: "null", stdout: "null" })
      .output();
    if (success) return;
    problem = new TextDecoder().decode(stderr).trim().split("\n").slice(-3).join(" | ");
  } catch (thrown) {
    problem = messageOf(thrown);
  }
  const message =
    `openssl makes no certificate: ${problem}; install openssl, or use --no-tls and certificates of your own`;
  throw new LoraFleetError("missing_dependency", message);
}
