/** Which certificates this worker believes: those of the authorities that its system knows, and of one that it was told of. */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { Fetch } from "../transfer/http.ts";

export interface TlsTrust {
  readonly fetch: Fetch;
  /** PEM; null: no other authority than the system's. */
  readonly ca: string | null;
}

/** Throws a `LoraFleetError` with code `usage` where the file holds no certificate. */
export async function readTlsTrust(caPath: string | null): Promise<TlsTrust> {
  if (caPath === null) return { fetch, ca: null };
  try {
    const ca = await Deno.readTextFile(caPath);
    if (!ca.includes("-----BEGIN CERTIFICATE-----")) throw new Error("there is no certificate in PEM in it");
    const client = Deno.createHttpClient({ caCerts: [ca] });
    return { fetch: (url, init) => fetch(url, { ...init, client }), ca };
  } catch (thrown) {
    throw new LoraFleetError(
      "usage",
      `--tls-ca ${quote(caPath)} cannot be used: ${
        messageOf(thrown)
      }; the PEM file of an authority is needed`,
      { param: "tls-ca", cause: thrown },
    );
  }
}
