/** The certificate of the API and of our own broker. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { messageOf, quote, usage } from "../../shared/errors.ts";

export interface TlsFiles {
  /** PEM: the certificate and the intermediates up to the authority. */
  readonly certPath: string;
  readonly keyPath: string;
  /** PEM: the authority; null if systems trust it by default. */
  readonly caPath: string | null;
}

export interface Tls extends TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | null;
  /** A name in the certificate: the coordinator reaches its own broker by an address that may not be in it. */
  readonly serverName: string;
}

/** Reads and checks the files. Throws `usage` that names the option. */
export async function readTls(files: TlsFiles): Promise<Tls> {
  const [cert, key] = [await read(files.certPath, "tls-cert"), await read(files.keyPath, "tls-key")];
  const ca = files.caPath === null ? null : await readAuthority(files.caPath, "tls-ca");
  const certificate = parse(files.certPath, "tls-cert", () => new X509Certificate(cert));
  parse(files.keyPath, "tls-key", () => createPrivateKey(key));
  const serverName = nameIn(certificate.subjectAltName ?? "");
  if (serverName !== null) return { ...files, cert, key, ca, serverName };
  const message = `the certificate in ${quote(files.certPath)} names no host: it needs a subjectAltName ` +
    'with the name or address by which workers reach this machine: "DNS:fleet.example" or "IP:10.0.0.1"';
  throw usage("tls-cert", message);
}

/** The authority's certificate, in PEM. Throws `usage` that names the option. */
export async function readAuthority(path: string, option: string): Promise<string> {
  const ca = await read(path, option);
  parse(path, option, () => new X509Certificate(ca));
  return ca;
}

/** The first name of a subjectAltName as text: "DNS:fleet.example, IP Address:10.0.0.1". Null if it has none. */
export function nameIn(subjectAltName: string): string | null {
  const [, kind, name] = /(DNS|IP Address):([^,\s]+)/.exec(subjectAltName) ?? [];
  // Any name below a wildcard will do.
  return name === undefined ? null : kind === "DNS" ? name.replace(/^\*\./, "coordinator.") : name;
}

async function read(path: string, option: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (thrown) {
    throw usage(option, `--${option} ${quote(path)} cannot be read: ${messageOf(thrown)}`);
  }
}

function parse<T>(path: string, option: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw usage(option, `--${option} ${quote(path)} is not in PEM: ${messageOf(thrown)}`);
  }
}
