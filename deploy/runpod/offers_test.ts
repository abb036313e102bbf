import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { chooseOffers, describeOffer, type Offer, offersOf } from "./offers.ts";

const gpu = (
  name: string,
  secure: number,
  community: number,
  availability: Offer["availability"] = "HIGH",
) => ({
  ...{
    id: `NVIDIA GeForce ${name}`,
    name,
    memory: 24,
    secure: secure > 0,
    community: community > 0,
    availability,
  },
  price: { secure, community },
});
const GPUS = [
  gpu("RTX 3090", 0.46000001, 0.22),
  gpu("RTX 4090", 0.69, 0, "LOW"),
  gpu("L40S", 0.86, 0.79, "NONE"),
];
const ALL = [...offersOf(GPUS, "SECURE", null), ...offersOf(GPUS, "COMMUNITY", null)];
const chosen = (wanted: string[], maxPrice: number | null = null) =>
  chooseOffers(ALL, wanted, maxPrice).map((offer) => `${offer.gpu} ${offer.cloud} ${offer.price}`);

Deno.test("the favourite comes first, and of each kind the cheaper cloud", () => {
  assertEquals(chosen(["RTX 4090", "rtx3090"]), [
    "RTX 4090 SECURE 0.69",
    "RTX 3090 COMMUNITY 0.22",
    "RTX 3090 SECURE 0.46000001",
  ]);
  assertEquals(chosen(["NVIDIA GeForce RTX 4090"]), ["RTX 4090 SECURE 0.69"]);
});

Deno.test("the price limit is inclusive, and RunPod's rounding does not pass for a higher price", () => {
  assertEquals(chosen(["RTX 3090"], 0.46).length, 2);
  assertEquals(chosen(["RTX 3090"], 0.45), ["RTX 3090 COMMUNITY 0.22"]);
});

Deno.test("what cannot be had is told with the reason, and with what can", () => {
  const conflict = assertThrows(() => chosen(["L40S", "RTX 4090"], 0.5), LoraFleetError);
  assertEquals(
    conflict.message,
    "L40S (24 GB, community, $0.79/h) is sold out, L40S (24 GB, secure, $0.86/h) is sold out, " +
      "RTX 4090 (24 GB, secure, $0.69/h) is above --max-price; free at up to $0.50/h: RTX 3090 (24 GB, community, $0.22/h); " +
      "--gpu takes several, with commas between",
  );
  assertThrows(() => chosen(["RTX 4090"], 0.1), LoraFleetError, "nothing is free at up to $0.10/h");
  assertThrows(
    () => chosen(["RTX 5090"]),
    LoraFleetError,
    '--gpu has "RTX 5090"; RunPod has L40S, RTX 3090, RTX 4090',
  );
});

Deno.test("a spot pod costs its bid; a kind without one is sold out", () => {
  const offers = offersOf(GPUS, "COMMUNITY", new Map([["NVIDIA GeForce RTX 3090", 0.19]]));
  assertEquals(offers.map((offer) => [describeOffer(offer), offer.availability]), [
    ["RTX 3090 (24 GB, community, spot, $0.19/h)", "HIGH"],
    ["L40S (24 GB, community, spot, $0.79/h)", "NONE"],
  ]);
});
