/** Which certificates this worker trusts: those signed by the system's authorities, and by one given on the command line. */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

export interface TlsTrust {
  readonly fetch: typeof globalThis.fetch;
  /** PEM; null: the system's authorities alone. */
  readonly ca: string | null;
}

/** Throws a `LoraFleetError` with code `usage` if the file cannot be read or holds no certificate. */
export async function readTlsTrust(caPath: string | null): Promise<TlsTrust> {
  if (caPath === null) return { fetch, ca: null };
  try {
    const ca = await Deno.readTextFile(caPath);
    if (!ca.includes("-----BEGIN CERTIFICATE-----")) throw new Error("it holds no certificate in PEM");
    const client = Deno.createHttpClient({ caCerts: [ca] });
    return { fetch: (input, init) => fetch(input, { ...init, client }), ca };
  } catch (thrown) {
    const message = `cannot use --tls-ca ${quote(caPath)}: ${
      messageOf(thrown)
    }; the PEM file of an authority is needed`;
    throw new LoraFleetError("usage", message, { param: "tls-ca", cause: thrown });
  }
}
