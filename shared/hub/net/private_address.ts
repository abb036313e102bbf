/** Private addresses: this machine's, its networks', its cloud's. */
import { BlockList, isIP } from "node:net";

/** From IANA's special-purpose registries: ranges that may serve secrets. */
const PRIVATE = {
  // Clouds serve a machine's credentials at 169.254.169.254.
  ipv4: `0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.168.0.0/16 198.18.0.0/15 224.0.0.0/3`,
  // NAT64 (64:ff9b::) and 6to4 (2002::) lead to any IPv4 address.
  ipv6: "::/127 64:ff9b::/96 2002::/16 fc00::/7 fe80::/10 ff00::/8",
} as const;

const blocked = new BlockList();
for (const type of ["ipv4", "ipv6"] as const) {
  for (const range of PRIVATE[type].split(/\s+/)) {
    const [address, prefix] = range.split("/");
    blocked.addSubnet(address!, Number(prefix), type);
  }
}

/** Whether a numeric address is private; true for any other text. */
export function isPrivateAddress(address: string): boolean {
  const version = isIP(address);
  if (version === 4) return blocked.check(address, "ipv4");
  if (version !== 6) return true;
  const mapped = ipv4Within(address);
  return mapped === null ? blocked.check(address, "ipv6") : isPrivateAddress(mapped);
}

/** The IPv4 address in any spelling of `::ffff:a.b.c.d`; null for other addresses. */
function ipv4Within(address: string): string | null {
  // A URL writes an address in its shortest form: "[::ffff:7f00:1]".
  const [, high, low] =
    /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(new URL(`http://[${address}]`).hostname) ?? [];
  if (high === undefined || low === undefined) return null;
  const [a, b] = [parseInt(high, 16), parseInt(low, 16)];
  return [a >> 8, a & 255, b >> 8, b & 255].join(".");
}
