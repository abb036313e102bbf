/** The test RunPod refuses what RunPod's document does, and cannot answer what RunPod would not. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { checkAnswer, checkRequest, findOperation } from "./document.ts";

const create = findOperation("POST", "/v2/pods")!;
const POD = { name: "a", image: "b", gpu: { id: "NVIDIA A40", count: 1 } };
const none = new URLSearchParams();

Deno.test("a pod's creation: unknown fields, wrong types and missing ones are refused", () => {
  assertEquals(checkRequest(create, none, POD), []);
  const wrong: [object, RegExp][] = [
    [{ ...POD, imageName: "b" }, /unevaluated properties/],
    [{ ...POD, gpu: { id: "NVIDIA A40", bid: 1 } }, /unevaluated properties/],
    [{ ...POD, env: [{ key: "A", value: "b" }] }, /must be object/],
    [{ ...POD, cloud: "ALL" }, /must be equal to one of the allowed values/],
    [{ ...POD, mounts: { network: [{ volumeId: "v" }] } }, /must have required property 'path'/],
    [{ gpu: POD.gpu, image: "b" }, /must have required property 'name'/],
  ];
  for (const [body, words] of wrong) assertMatch(checkRequest(create, none, body).join(), words);
});

Deno.test("a query: unknown parameters and values are refused", () => {
  const list = findOperation("GET", "/v2/catalog/gpus")!;
  const check = (query: string) => checkRequest(list, new URLSearchParams(query), null).join();
  assertEquals(check("include=AVAILABILITY&product=POD&count=1&cloud=SECURE"), "");
  assertMatch(check("cloud=ALL"), /allowed values/);
  assertMatch(check("gpuId=A40"), /gpuId is not known/);
  assertMatch(check("count=none"), /count/);
});

Deno.test("an answer that the document does not have is a fault of the test", () => {
  assertThrows(() => checkAnswer(create, 201, { id: "p" }), Error, "never answers");
  assertThrows(() => checkAnswer(create, 400, { message: "no" }), Error, "never answers");
  checkAnswer(create, 400, { title: "Bad Request", status: 400, detail: "no" });
  assertEquals(findOperation("POST", "/v2/pods/p/action"), null, "not used, and so not in the cut");
});
