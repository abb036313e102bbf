import { assertEquals } from "@std/assert";
import { isPrivateAddress } from "./private_address.ts";

Deno.test("addresses of this machine, its networks and its cloud are private", () => {
  const addresses = [
    ...["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255", "192.168.0.1"],
    ...["198.18.0.1", "224.0.0.1", "255.255.255.255"],
    ...["::", "::1", "fc00::1", "fd12:3456::1", "fe80::1", "ff02::1", "64:ff9b::7f00:1", "2002:7f00:1::"],
    ...["::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "0:0:0:0:0:ffff:10.0.0.1"],
  ];
  for (const address of addresses) assertEquals(isPrivateAddress(address), true, address);
  for (const text of ["", "localhost", "1.2.3", "127.1", "2130706433"]) {
    assertEquals(isPrivateAddress(text), true, "no address, so no public one");
  }
});

Deno.test("all other addresses are public", () => {
  const addresses = ["1.1.1.1", "9.255.255.255", "172.32.0.1", "192.0.1.1", "223.255.255.255", "100.128.0.1"];
  for (const address of [...addresses, "2606:4700::1111", "::ffff:8.8.8.8"]) {
    assertEquals(isPrivateAddress(address), false, address);
  }
});
