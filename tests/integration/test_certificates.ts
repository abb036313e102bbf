/** An authority for one test and a certificate that it has signed, made by openssl. */
import { assert } from "@std/assert";
import { join } from "@std/path";

export interface TestCertificates {
  readonly caPath: string;
  readonly certPath: string;
  readonly keyPath: string;
}

/** `names` as in a subjectAltName: "DNS:fleet.example,IP:127.0.0.1". Where openssl is missing, the test fails. */
export async function makeTestCertificates(folder: string, names: string): Promise<TestCertificates> {
  const at = (name: string) => join(folder, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl([
    ...["req", "-x509", ...key, "-days", "2", "-subj", "/CN=authority of a test"],
    ...["-keyout", at("ca.key"), "-out", at("ca.pem")],
  ]);
  await openssl([
    "req",
    ...key,
    "-subj",
    "/CN=lorafleet",
    "-keyout",
    at("key.pem"),
    "-out",
    at("request.pem"),
  ]);
  await Deno.writeTextFile(at("extensions"), `subjectAltName=${names}\n`);
  await openssl([
    ...["x509", "-req", "-in", at("request.pem"), "-days", "2", "-extfile", at("extensions")],
    ...["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-set_serial", "7", "-out", at("cert.pem")],
  ]);
  return { caPath: at("ca.pem"), certPath: at("cert.pem"), keyPath: at("key.pem") };
}

async function openssl(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args: [...args], stdin: "null" }).output();
  assert(success, `openssl ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
